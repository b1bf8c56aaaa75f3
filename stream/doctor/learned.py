"""The model and the device it runs on, looked at in a process of their own.

PyTorch takes seconds to import, and a broken GPU driver can end a process or let it hang: neither keeps `doctor` from
telling the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stream.doctor.finding import Finding, size
from stream.errors import SettingsError
from stream.processes import dying_with_parent
from stream.settings import Settings, in_force

if TYPE_CHECKING:
    from stream.model_file import LoadedModel

NAME = "gpu, model"  # where neither can be looked at
_PROGRAM = "import sys; from stream.doctor import learned; learned.main(sys.argv[1])"
_KILLED_SECS = 1.0  # a process that waits in a broken driver does not end, even by SIGKILL


async def look(settings: Settings) -> list[Finding]:
    """Both checks in a child process, which is killed where this is cancelled."""
    wanted = msgspec.json.encode(in_force(settings)).decode()
    child = await asyncio.create_subprocess_exec(
        *dying_with_parent([sys.executable, "-c", _PROGRAM, wanted]),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, errors = await child.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILLED_SECS):
                await child.wait()
    if child.returncode:
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        found = f"looking at it ended with code {child.returncode}: {last[0]}"
        return [Finding(NAME, "error", found, "a worker would end so too: reinstall PyTorch, or its driver")]
    return msgspec.json.decode(out, type=list[Finding])


def main(wanted: str) -> None:
    """The child: findings as JSON on standard output."""
    settings = msgspec.json.decode(wanted, type=Settings, dec_hook=lambda _, value: Path(value))
    sys.stdout.buffer.write(msgspec.json.encode([*check_gpu(settings), *check_model(settings)]))


def check_model(settings: Settings) -> list[Finding]:
    """Whether it loads, what it foretells, and what it has learned from."""
    from stream import model_file

    try:
        loaded = model_file.load(settings.model)
    except SettingsError as error:
        return [Finding("model", "error", str(error), "set --model to a shipped model, or to a whole one's file")]
    return judge_model(loaded)


def judge_model(loaded: LoadedModel) -> list[Finding]:
    """The same, of one that is loaded."""
    sizes = loaded.card.sizes
    *horizons, last = (name.replace("session", "the session") for name in sizes.horizons)
    within = f"{', '.join(horizons)} and {last}" if horizons else last
    found = f"{loaded.name}, hash {loaded.hash}, H = {sizes.hidden}, purchases within {within}"
    simulated = loaded.card.made.get("simulated")
    if simulated is None:
        to_do = "see how it was made: anomaly scores mean little on events of another kind"
        return [Finding("model", "warning", f"{found}; its card does not say what it learned from", to_do)]
    if simulated:
        to_do = "take its anomaly scores for a demonstration, until it is trained on this shop's events"
        return [Finding("model", "warning", f"{found}; it has learned from simulated shoppers only", to_do)]
    return [Finding("model", "ok", f"{found}; it has learned from real events")]


def check_gpu(settings: Settings) -> list[Finding]:
    """What `--device` comes to on this machine."""
    import torch

    with warnings.catch_warnings():  # of a driver that is too old: said below
        warnings.simplefilter("ignore")
        there = torch.cuda.is_available()
    build = f"PyTorch {torch.__version__}, " + (f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "CPU")
    driver = _driver()
    if there:
        properties = torch.cuda.get_device_properties(0)
        gpu = f"{properties.name} with {size(properties.total_memory)}, driver {driver or 'unknown'}; {build}"
        return [Finding("gpu", "ok", f"--device={settings.device}: {_runs_on(settings.device)}; {gpu}")]
    if not torch.version.cuda:
        none, remedy = f"no GPU can be used: this build is for CPUs ({build})", "install PyTorch built for CUDA"
    elif driver is None:
        none, remedy = f"no GPU: no NVIDIA driver here ({build}, which is fine on a CPU)", "install the driver"
    else:
        none, remedy = f"no GPU can be used, though a driver is there, {driver} ({build})", "update the driver"
    if settings.device == "cuda":
        return [Finding("gpu", "error", f"--device=cuda: {none}", f"{remedy}, or set --device auto or cpu")]
    if driver is not None and settings.device == "auto":
        to_do = "if it is meant to be used, update the driver or install a PyTorch built for it; else --device cpu"
        return [Finding("gpu", "warning", f"--device=auto: the LSTM runs on the CPU; {none}", to_do)]
    return [Finding("gpu", "ok", f"--device={settings.device}: the LSTM runs on the CPU; {none}")]


def _runs_on(device: str) -> str:
    return "the LSTM runs on the CPU, by choice" if device == "cpu" else "the LSTM runs on the GPU"


def _driver() -> str | None:
    """The version of the NVIDIA driver that the kernel has loaded."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text().split()
    except OSError:
        return None
    return next((word for word in words if word[0].isdigit() and "." in word), "of unknown version")
