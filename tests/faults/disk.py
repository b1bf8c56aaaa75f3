"""A file system of a few megabytes in memory that can be filled up, where this process may mount one."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Self

SIZE_MB = 48  # RocksDB keeps 4 MB of a partition before anything is in it


class SmallDisk:
    """Mounted at `folder` while it is entered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(self.folder)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        unmount(self.folder)

    def fill(self) -> None:
        """Leave no space."""
        with contextlib.suppress(OSError), (self.folder / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(b"\0" * 65_536)

    def free(self) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)


def unmount(folder: Path) -> None:
    """Also where something still has files open in it."""
    subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def why_not(folder: Path) -> str:
    """Why none can be mounted; empty if one can."""
    try:
        with SmallDisk(folder):
            return ""
    except OSError as error:
        return str(error)
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip() or f"mount ended with {error.returncode}"


def left_behind(under: Path) -> list[Path]:
    """What a campaign that was killed has left mounted below this folder."""
    told = Path("/proc/mounts")  # of Linux
    mounts = (line.split()[1] for line in told.read_text().splitlines()) if told.exists() else ()
    return [path for path in map(Path, mounts) if path.is_relative_to(under)]
