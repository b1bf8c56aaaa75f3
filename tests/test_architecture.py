"""The folder is the architecture: who may import whom, read from the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import stream

ROOT = Path(stream.__file__).parent
MODULES = {
    ".".join(("stream", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}

# In reading order: none imports one that comes after it.
CORE = (
    "errors", "structured", "events", "decode", "merge", "deferred", "intake", "erasures", "cuts", "rows", "standing",
    "sequences", "slots", "carries", "table", "admission", "expiry", "habits", "features", "model", "anomaly", "scorer",
    "encode", "pipeline",
)  # fmt: skip
CORE_PACKAGES = {"numpy", "torch", "msgspec", "orjson", "xxhash"}
# What talks to anything outside of the arguments.
OUTSIDE = {
    "asyncio", "concurrent", "ctypes", "fcntl", "glob", "http", "importlib", "io", "multiprocessing", "os", "pathlib",
    "pickle", "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess",
    "sys", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip

FAUST = {
    "stream.kafka.transport", "stream.kafka.frame_app", "stream.kafka.fetching", "stream.kafka.faust_contract",
    "stream.app", "stream.worker", "stream.scoring_loop", "stream.committing", "stream.erasing", "stream.flow",
}  # fmt: skip
ENVIRONMENT = {"stream.settings", "stream.kafka.embedded", "stream.anew"}


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_bytes())


@cache
def _imports(module: str) -> frozenset[str]:
    """Every module that this one imports, at its top or in a function; a `from` import with the names it takes."""
    found: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            found.add(str(node.module))
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found - {"__future__"})


def _ours(module: str) -> set[str]:
    """The modules of this package that a module imports."""
    return {name for name in _imports(module) if name in MODULES and name != "stream"}


def _packages(module: str) -> set[str]:
    return {name.split(".")[0] for name in _imports(module)}


def test_the_parser_sees_what_is_there() -> None:
    assert "stream.events" in _ours("stream.merge")
    assert {"stream.features", "stream.sequences"} <= _ours("stream.pipeline")  # from stream import features, sequences
    assert "faust" in _packages("stream.kafka.transport")
    assert {f"stream.{name}" for name in CORE} <= MODULES.keys()
    assert MODULES.keys() >= FAUST | ENVIRONMENT


@pytest.mark.parametrize("name", CORE)
def test_a_core_module_imports_no_package_but_those_of_arrays_and_json(name: str) -> None:
    allowed = CORE_PACKAGES | (sys.stdlib_module_names - OUTSIDE) | {"stream"}
    assert _packages(f"stream.{name}") <= allowed


@pytest.mark.parametrize("name", CORE)
def test_a_core_module_imports_only_core_modules_that_come_before_it(name: str) -> None:
    before = {f"stream.{earlier}" for earlier in CORE[: CORE.index(name)]}
    assert _ours(f"stream.{name}") <= before


@pytest.mark.parametrize("name", CORE)
def test_a_core_module_reads_no_file_no_clock_and_prints_nothing(name: str) -> None:
    for node in ast.walk(_tree(f"stream.{name}")):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "exec", "eval", "__import__"}, f"line {node.lineno}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in {"now", "utcnow", "today"}, f"line {node.lineno}"


def test_the_reading_order_that_the_package_tells_is_one_that_imports_follow() -> None:
    (told,) = re.findall(r"^ +(\w+(?:\s+-> \w+)+),", stream.__doc__ or "", re.MULTILINE)
    for earlier, later in pairwise(order := re.findall(r"\w+", told)):
        assert later in CORE
        assert not _ours(f"stream.{earlier}") & {f"stream.{name}" for name in order[order.index(later) :]}


def test_no_import_goes_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way, module))
        if module not in done:
            for imported in sorted(_ours(module)):
                visit(imported, (*way, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_nothing_but_the_shell_around_faust_imports_faust_or_mode() -> None:
    assert {module for module in MODULES if _packages(module) & {"faust", "mode"}} <= FAUST


def test_only_the_transport_subclasses_faust_besides_the_app_and_the_worker() -> None:
    subclassing = {
        module
        for module in MODULES
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if re.match(r"(faust|driver|mode)\.|(FrameApp|Collection|TableManager)$", ast.unparse(base))
    }
    assert subclassing == {
        "stream.kafka.transport",
        "stream.kafka.frame_app",
        "stream.kafka.fetching",
        "stream.app",
        "stream.worker",
    }


def _environment_readers() -> Iterator[str]:
    words = {"environ", "environb", "getenv", "getenvb", "expandvars"}
    for module in MODULES:
        for node in ast.walk(_tree(module)):
            if isinstance(node, ast.Attribute) and node.attr in words and ast.unparse(node.value) in {"os", "os.path"}:
                yield module
            elif isinstance(node, ast.ImportFrom) and node.module in {"os", "os.path"}:
                if words & {alias.name for alias in node.names}:
                    yield module
            elif isinstance(node, ast.keyword) and node.arg in {"envvar", "auto_envvar_prefix"}:
                yield module  # click's own way


def test_only_settings_read_the_environment() -> None:
    readers = set(_environment_readers())
    assert "stream.settings" in readers
    assert readers <= ENVIRONMENT


def test_no_module_makes_an_app_or_starts_anything_where_it_is_read() -> None:
    """At the top of a module, calls make constants; what starts something has one of these names."""
    starting = re.compile(r"(App|Worker|Thread|Producer|Consumer|Popen|create_task|start|run|main|build_app|register)$")
    for module in MODULES:
        for statement in _tree(module).body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if isinstance(statement, ast.If) and ast.unparse(statement.test) == "__name__ == '__main__'":
                continue
            for node in ast.walk(statement):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    assert not starting.search(called), f"{module}:{node.lineno}: {called}()"


_IMPORT_ALL = """
import importlib, os, sys, threading
from pathlib import Path
before = dict(os.environ)
for name in sys.argv[1:]:
    importlib.import_module(name)
import faust
modules = [sys.modules[name] for name in sys.argv[1:]]
made = [f"{m.__name__}.{k}" for m in modules for k, v in vars(m).items() if isinstance(v, faust.App)]
assert not made, made
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
children = Path(f"/proc/self/task/{os.getpid()}/children")
assert not children.exists() or not children.read_text(), "a child process"
sockets = [fd for fd in Path("/proc/self/fd").iterdir() if fd.exists() and os.readlink(fd).startswith("socket:")]
assert not sockets, sockets
ours = {name for name in os.environ.keys() - before.keys() if name.startswith("BEHAVIOUR_")}
assert not ours, ours
from aiokafka.consumer.fetcher import PartitionRecords
assert PartitionRecords._consumer_record.__module__.startswith("aiokafka"), "registered at import"
assert not list(Path.cwd().iterdir()), "a file was made"
"""


def test_importing_every_module_starts_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, *sorted(MODULES)],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
