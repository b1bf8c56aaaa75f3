"""The peers on Kafka Streams: which JDK runs them, how they are built, and the command of each.

    kafka-streams-onnx     ONNX Runtime for each event, rows in RocksDB behind the stock cache
    kafka-streams-vector   the step by hand on the Vector API, for many users at once, rows in the heap
    kafka-streams-batched  ONNX Runtime for many users at once, rows in the heap

The sources in `kafka_streams_java/` are compiled once into a folder that git ignores. Consumer, producer and store are
set in `Settings.java`; the JVM here. `--threads` is that of Kafka Streams' own threads.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_SOURCES = Path(__file__).with_name("kafka_streams_java") / "src"
_BUILT = Path(__file__).parents[3] / ".behaviour-stream" / "peers" / "kafka-streams"
_VARIANTS = {"kafka-streams-onnx": "onnx", "kafka-streams-vector": "vector", "kafka-streams-batched": "batched"}

KAFKA_VERSION = "4.4.0"
ONNX_VERSION = "1.23.2"
_JARS = "+".join(
    (
        f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}",
        "org.rocksdb:rocksdbjni:10.1.3",  # the one that this Kafka Streams is made for
        f"com.microsoft.onnxruntime:onnxruntime:{ONNX_VERSION}",
        "org.slf4j:slf4j-simple:1.7.36",
    )
)

_LEAST_JDK = 22  # memory outside the heap became a part of Java
_VECTOR_MODULE = "jdk.incubator.vector"
_USUAL_PLACES = ("/usr/lib/jvm/*", "/opt/*", "/usr/local/*", "~/.sdkman/candidates/java/*", "~/.jdks/*")

_JVM_FLAGS = (
    "-Xms3g",
    "-Xmx3g",  # 500,000 rows of 1.5 kB, three times over
    "-Xmn1g",  # an event leaves some kB of Kafka's objects behind, all dead by the next collection
    "-XX:+UseParallelGC",  # what lives long is rows, and they stay: it does least beside the work
    "-XX:+UseTransparentHugePages",  # rows of 50,000 users are 18,000 small pages
    f"--add-modules={_VECTOR_MODULE}",
    "--enable-native-access=ALL-UNNAMED",  # RocksDB's and ONNX Runtime's libraries
    "-Djdk.incubator.vector.VECTOR_ACCESS_OOB_CHECK=0",  # one check per load, in loops of nothing but loads
    "-XX:CompileCommand=quiet",
    "-XX:CompileCommand=dontinline,peer.Kernels::*",  # Kernels.java says why
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


class Jdk(NamedTuple):
    """A JDK that can build and run the peers."""

    version: int
    home: Path


def command(system: str) -> list[str] | str:
    """What starts a system, but for the flags of every peer; or a sentence that says why it cannot be."""
    jdk = find_jdk()
    if jdk is None:
        return (
            f"{system}: expected a JDK {_LEAST_JDK} or newer with the module {_VECTOR_MODULE} in JAVA_HOME, on PATH or "
            f"in {', '.join(_USUAL_PLACES)}, found none"
        )
    try:
        class_path = [str(_built(jdk)), *_jars()]
    except (ImportError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        told = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return f"{system}: cannot be built: {told[0] if told else error!r}"
    java = str(jdk.home / "bin" / "java")
    return [java, *_JVM_FLAGS, "-cp", os.pathsep.join(class_path), "peer.Main", "--variant", _VARIANTS[system]]


def find_jdk() -> Jdk | None:
    """The newest that fits, but JAVA_HOME before all others."""
    chosen = os.environ.get("JAVA_HOME")
    if chosen and (jdk := _jdk(Path(chosen))):
        return jdk
    return max(filter(None, map(_jdk, _homes())), default=None)


def _homes() -> Iterator[Path]:
    if compiler := shutil.which("javac"):
        yield Path(compiler).resolve().parents[1]
    for place in _USUAL_PLACES:
        pattern = Path(place).expanduser()
        yield from pattern.parent.glob(pattern.name)


def _jdk(home: Path) -> Jdk | None:
    """What its file `release` says, if it is one that fits."""
    try:
        told = (home / "release").read_text()
    except OSError:
        return None
    version = re.search(r'^JAVA_VERSION="(\d+)', told, re.MULTILINE)
    fits = version and int(version[1]) >= _LEAST_JDK and _VECTOR_MODULE in told and (home / "bin" / "javac").exists()
    return Jdk(int(version[1]), home) if version and fits else None


def _built(jdk: Jdk) -> Path:
    """Where the compiled classes lie; compiled now if they are not there."""
    sources = sorted(_SOURCES.rglob("*.java"))
    text = b"".join(source.read_bytes() for source in sources)
    name = hashlib.sha256(text + f"{_JARS} {jdk.version}".encode()).hexdigest()[:16]
    classes = _BUILT / name
    if not classes.exists():
        shutil.rmtree(_BUILT, ignore_errors=True)
        unfinished = _BUILT / "unfinished"
        subprocess.run(
            [
                str(jdk.home / "bin" / "javac"),
                f"--add-modules={_VECTOR_MODULE}",
                "-nowarn",
                *("-cp", os.pathsep.join(_jars())),
                *("-d", str(unfinished)),
                *map(str, sources),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        unfinished.rename(classes)
    return classes


def _jars() -> list[str]:
    """From Maven Central, kept by jgo."""
    import jgo

    environment = jgo.build(endpoint=_JARS)
    return [str(folder / "*") for folder in (environment.jars_dir, environment.modules_dir)]
