"""The Python peers' own environment: made with the project's uv, above the project's, which it leaves as it is.

Where both have a package, the peers' is imported; Faust, aiokafka and PyTorch are the project's.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]  # of the repository
FOLDER = ROOT / ".behaviour-stream" / "peers"  # git ignores it
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_VENV = FOLDER / "venv"
_STAMP = _VENV / "complete"


def python() -> Path | None:
    """Its interpreter, where it is there and of these requirements."""
    complete = _STAMP.exists() and _STAMP.read_text() == _wanted()
    return _VENV / "bin" / "python" if complete else None


def site_packages() -> Path:
    """Where its packages lie."""
    return _VENV / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def make(say: Callable[[str], None]) -> Path:
    """Make it, if it is not there, and return its interpreter. Raises OSError or CalledProcessError."""
    if (there := python()) is not None:
        return there
    say(f"installing the Python peers into {_VENV}")
    uv = Path(sys.executable).with_name("uv")
    shutil.rmtree(_VENV, ignore_errors=True)
    for command in (
        ["venv", "--quiet", "--python", sys.executable, str(_VENV)],
        ["pip", "install", "--quiet", "--python", str(_VENV / "bin" / "python"), "-r", str(REQUIREMENTS)],
    ):
        subprocess.run([str(uv), *command], check=True)
    (site_packages() / "project.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    _STAMP.write_text(_wanted())
    return _VENV / "bin" / "python"


def _wanted() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
