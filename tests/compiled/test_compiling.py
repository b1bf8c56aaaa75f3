"""Where machine code is kept: never that of other sources than there are."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import numba
import pytest

import stream
from stream.compiled import compiling

_ROOT = Path(stream.__file__).parent


def _imported() -> set[str]:
    """The modules of `stream` outside of `compiled` that any module in it imports from, wherever the import stands."""
    found = set()
    for path in (_ROOT / "compiled").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    words = (name.split(".") for name in found if name.startswith("stream."))
    return {second for _, second, *_ in words if second != "compiled" and (_ROOT / f"{second}.py").exists()}


def test_every_module_that_constants_may_come_from_is_known() -> None:
    assert {"events", "decode", "habits"} <= _imported()
    assert {*compiling.CONSTANTS_OF} == _imported()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources, where they may be changed."""
    root = tmp_path / "stream"
    shutil.copytree(_ROOT / "compiled", root / "compiled", ignore=shutil.ignore_patterns("__pycache__"))
    for name in compiling.CONSTANTS_OF:
        shutil.copy(_ROOT / f"{name}.py", root)
    monkeypatch.setattr(compiling, "_HERE", root / "compiled")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    return root


def test_a_change_of_any_source_or_of_constants_elsewhere_is_another_folder(copied: Path) -> None:
    before = compiling._folder()
    assert before is not None and before == compiling._folder()
    folders = {before}
    paths = [*(copied / "compiled").glob("*.py"), *(copied / f"{name}.py" for name in compiling.CONSTANTS_OF)]
    for path in paths:
        source = path.read_bytes()
        path.write_bytes(source + b"\n")
        changed = compiling._folder()
        assert changed is not None
        folders.add(changed)
        path.write_bytes(source)
        assert compiling._folder() == before
    assert len(folders) == 1 + len(paths)


def test_a_module_that_is_new_or_a_change_of_numba_is_another_folder(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = compiling._folder()
    (copied / "compiled" / "another.py").write_text("X = 1\n")
    assert (with_another := compiling._folder()) != before
    monkeypatch.setattr(numba, "__version__", "999")
    assert compiling._folder() not in (before, with_another)


def test_it_is_kept_beside_the_sources_or_where_it_is_said_to_be(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = compiling._folder()
    assert beside is not None and beside.parent == copied / "compiled" / "__pycache__"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "told"))
    told = compiling._folder()
    assert told is not None and told == tmp_path / "told" / beside.name and told.is_dir()


def test_where_nothing_can_be_written_it_is_kept_nowhere(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "compiled" / "__pycache__").touch()  # a file where the folder would be
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert (folder := compiling._folder()) is not None and tmp_path / "home" in folder.parents
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert compiling._folder() is None
