"""Which JDK the peers on Kafka Streams take, and what is said without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.peers import kafka_streams
from tests.bench.peers.kafka_streams import Jdk

VECTOR = 'MODULES="java.base jdk.incubator.vector"'


def home(folder: Path, version: str, modules: str = VECTOR) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "javac").touch()
    (folder / "release").write_text(f'JAVA_VERSION="{version}"\n{modules}\n')
    return folder


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any; the folder is a usual place."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(kafka_streams, "_USUAL_PLACES", (f"{tmp_path}/*",))
    return tmp_path


def test_without_a_jdk_one_sentence_says_what_is_missing(nowhere: Path) -> None:
    home(nowhere / "17", "17.0.15")
    home(nowhere / "25", "25.0.1", 'MODULES="java.base"')
    said = kafka_streams.command("kafka-streams-vector")
    assert isinstance(said, str)
    assert said.startswith("kafka-streams-vector: expected a JDK 22 or newer with the module jdk.incubator.vector")


def test_the_newest_is_taken_but_java_home_before_all(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home(nowhere / "a", "25.0.1")
    home(nowhere / "b", "24.0.2")
    assert kafka_streams.find_jdk() == Jdk(25, nowhere / "a")
    monkeypatch.setenv("JAVA_HOME", str(nowhere / "b"))
    assert kafka_streams.find_jdk() == Jdk(24, nowhere / "b")
    monkeypatch.setenv("JAVA_HOME", str(nowhere / "none"))
    assert kafka_streams.find_jdk() == Jdk(25, nowhere / "a")


def test_what_another_version_of_the_sources_left_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled once for the same sources, jars and JDK."""
    if (jdk := kafka_streams.find_jdk()) is None:
        pytest.skip("no JDK here that fits")
    sources = tmp_path / "src"
    sources.mkdir()
    monkeypatch.setattr(kafka_streams, "_SOURCES", sources)
    monkeypatch.setattr(kafka_streams, "_BUILT", tmp_path / "built")
    monkeypatch.setattr(kafka_streams, "_jars", list)
    (sources / "A.java").write_text("class A {}")
    first = kafka_streams._built(jdk)
    assert kafka_streams._built(jdk) == first and (first / "A.class").exists()
    (sources / "A.java").write_text("class A { int a; }")
    assert kafka_streams._built(jdk) != first and not first.exists()
