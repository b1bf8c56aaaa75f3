"""The Dockerfile, as far as it can be tried without a container engine: its shell, its health check, its wheel."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pytest
from prometheus_client import CollectorRegistry

from stream.cli import cli
from stream.metrics_server import MetricsServer
from stream.settings import load
from tests.deploy.deployment import DEPLOY, ROOT, image_environment, instructions, tool

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _all(word: str) -> list[str]:
    return [rest for found, rest in instructions() if found == word]


def _last(word: str) -> str:
    return _all(word)[-1]


def _ignored(path: PurePosixPath) -> bool:
    """Whether .dockerignore keeps a path out of the build: its last line that fits says so."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    fitting = [line for line in lines if _fits(path, line.removeprefix("!"))]
    return bool(fitting) and not fitting[-1].startswith("!")


def _fits(path: PurePosixPath, pattern: str) -> bool:
    """A pattern is of the path or of a folder that it lies in; after **/, of a name anywhere."""
    places = [path, *path.parents]
    if pattern.startswith("**/"):
        return any(fnmatchcase(place.name, pattern.removeprefix("**/")) for place in places)
    return any(fnmatchcase(str(place), pattern) for place in places)


def _context() -> Iterator[PurePosixPath]:
    """The files that a build is given."""
    for top in ROOT.iterdir():
        for path in [top, *top.rglob("*")] if not top.name.startswith(".") else ():
            relative = PurePosixPath(path.relative_to(ROOT))
            if path.is_file() and not _ignored(relative):
                yield relative


def test_the_build_is_given_the_project_and_nothing_else() -> None:
    given = set(_context())
    assert {path.parts[0] for path in given} == {"LICENSE", "README.md", "deploy", "pyproject.toml", "stream"}
    assert {path for path in given if path.parts[0] == "deploy"} == {PurePosixPath("deploy/constraints.txt")}
    assert not any("__pycache__" in path.parts for path in given)


def test_all_that_is_copied_is_there() -> None:
    given = {part for path in _context() for part in (path, *path.parents)}
    copied = [shlex.split(rest) for rest in _all("COPY") if not rest.startswith("--from")]
    assert copied
    for *sources, _ in copied:
        assert {PurePosixPath(source) for source in sources} <= given


def test_both_stages_are_the_same_python_one_that_the_project_takes() -> None:
    images = {rest.split()[0] for rest in _all("FROM")}
    (image,) = images
    (version,) = re.findall(r"^python:(3\.\d+)-slim-\w+$", image)
    assert PROJECT["requires-python"].startswith(f">={version},")
    assert f'org.opencontainers.image.base.name="{image}"' in _last("LABEL")


def test_it_runs_as_a_user_with_a_fixed_number_who_owns_the_state() -> None:
    uid = re.fullmatch(r"(\d+):\1", _last("USER"))
    assert uid is not None
    assert int(uid.group(1)) > 0
    made = next(rest for rest in _all("RUN") if "useradd" in rest)
    assert f"--uid {uid.group(1)} " in made
    assert made.endswith(str(load(environ=image_environment()).data_dir))
    assert instructions().index(("USER", _last("USER"))) > max(
        n for n, (word, _) in enumerate(instructions()) if word in {"RUN", "COPY"}
    )


def test_it_starts_the_worker_and_stops_it_with_the_signal_that_it_awaits() -> None:
    (program,) = json.loads(_last("ENTRYPOINT"))
    assert program in PROJECT["scripts"]
    with cli.make_context(program, json.loads(_last("CMD"))) as context:
        name, command, _ = cli.resolve_command(context, json.loads(_last("CMD")))
    assert (name, command) == ("worker", cli.commands["worker"])
    assert _last("STOPSIGNAL") == "SIGTERM"
    assert int(_last("EXPOSE")) == load(environ={}).metrics_port


@pytest.mark.parametrize("healthy", [True, False])
def test_the_health_check_asks_the_worker_itself_and_believes_it(healthy: bool) -> None:
    program, *arguments = json.loads(_last("HEALTHCHECK").partition(" CMD ")[2])
    assert program == "python"
    port = load(environ={}).metrics_port
    server = MetricsServer("127.0.0.1", 0, CollectorRegistry(), lambda: (healthy, {}))
    try:
        here = [argument.replace(f":{port}/", f":{server.port}/") for argument in arguments]
        assert here != arguments
        proxy = {"http_proxy": "http://127.0.0.1:1"}  # as Docker hands it to containers; nobody is there
        done = subprocess.run([sys.executable, *here], env=proxy, capture_output=True, check=False, timeout=30)
    finally:
        server.close()
    assert (done.returncode == 0) == healthy


@pytest.mark.parametrize(
    ("torch", "code", "flags"), [("cpu", 0, ["--torch-backend=cpu"]), ("cuda", 0, []), ("gpu", 1, None)]
)
def test_the_build_argument_picks_the_torch(tmp_path: Path, torch: str, code: int, flags: list[str] | None) -> None:
    script = next(rest for rest in _all("RUN") if "$TORCH" in rest).partition(" case ")[2]
    stub = tmp_path / "uv"
    stub.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; print(sys.argv[1:])" "$@"\n')
    stub.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", f"case {script}"], env={"PATH": f"{tmp_path}:/usr/bin:/bin", "TORCH": torch},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == code
    if flags is None:
        assert done.stderr == f"TORCH={torch}: expected cpu or cuda\n"
    else:
        rest = ["-c", "deploy/constraints.txt", "-r", "pyproject.toml"]
        assert ast.literal_eval(done.stdout) == ["pip", "install", *flags, *rest]


def test_the_cache_of_the_build_is_where_uv_looks_for_it_and_in_nobody_s_home() -> None:
    (cache,) = re.findall(r"UV_CACHE_DIR=(\S+)", " ".join(_all("ENV")))
    mounts = re.findall(r"--mount=type=cache,target=(\S+)", " ".join(_all("RUN")))
    assert mounts == [cache] * sum("uv pip" in rest for rest in _all("RUN"))
    assert PurePosixPath(cache).is_absolute()
    assert PurePosixPath(cache).parts[1] not in {"root", "home"}
    assert "UV_CACHE_DIR" not in image_environment()  # of the build alone


def test_constraints_pin_what_the_build_installs_first() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (DEPLOY / "constraints.txt").read_text(), re.MULTILINE))
    assert pinned.keys() >= {"uv", "torch", "setuptools"}


def test_the_wheel_of_the_build_holds_all_that_the_program_reads(tmp_path: Path) -> None:
    context = tmp_path / "context"
    for path in _context():
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, context / path)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--disable-pip-version-check", "--wheel-dir", tmp_path, context],
        check=True, timeout=120,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("behaviour_stream-*.whl")
    with zipfile.ZipFile(wheel) as content:
        held = {name for name in content.namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert held == {str(path) for path in _context() if path.parts[0] == "stream"}
    for kind in (".safetensors", "anomaly-scores.v1.json", "/py.typed", "stream/cli.py"):
        assert any(name.endswith(kind) for name in held)


def test_hadolint_finds_nothing() -> None:
    found = tool("hadolint")
    if found is None:
        pytest.skip("hadolint is not installed: the Dockerfile was not linted")
    done = subprocess.run([found, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
