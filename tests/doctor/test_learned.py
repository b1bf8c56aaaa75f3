"""The model, and the device that it runs on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]
import pytest
import torch

from stream import model_file
from stream.doctor import learned
from stream.doctor.finding import Finding
from stream.settings import Settings
from tests.running import lives


def one(findings: list[Finding], name: str) -> Finding:
    (finding,) = [finding for finding in findings if finding.name == name]
    return finding


async def test_what_a_child_process_has_found_comes_back() -> None:
    findings = await learned.look(Settings())
    assert one(findings, "gpu").status in {"ok", "warning"}
    model = one(findings, "model")
    assert model.status == "warning"
    assert "purchases within 30m, 24h and the session" in model.found
    assert "simulated shoppers" in model.found


async def test_a_child_that_cannot_look_says_the_last_line_of_why() -> None:
    (finding,) = await learned.look(msgspec.structs.replace(Settings(), model=None))
    assert finding.status == "error"
    assert "ended with code 1" in finding.found
    assert "ValidationError" in finding.found


def test_a_child_that_hangs_ends_with_its_parent_even_by_sigkill() -> None:
    hanging = "import time; time.sleep(600)"
    program = "import asyncio; from stream.doctor import learned; from stream.settings import Settings; "
    program += f"learned._PROGRAM = {hanging!r}; asyncio.run(learned.look(Settings()))"
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        deadline = time.monotonic() + 60
        try:
            while not (children := psutil.Process(parent.pid).children()):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            (child,) = children
            while child.cmdline()[1:3] != ["-c", hanging]:  # what starts it has not become it yet
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            parent.kill()
    try:
        while lives(child):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        child.kill()


async def test_a_child_that_no_signal_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck:  # in a call into the driver
        async def communicate(self) -> None:
            await asyncio.Event().wait()

        def kill(self) -> None: ...

        async def wait(self) -> None:
            await asyncio.Event().wait()

    async def start(*_: object, **__: object) -> Stuck:
        return Stuck()

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await learned.look(Settings())
    assert time.monotonic() - started < 30


def test_a_model_that_has_learned_from_a_shop_is_ok_and_one_that_does_not_say_is_not() -> None:
    loaded = model_file.load("shoppers-h64")

    def judged(made: dict[str, object]) -> Finding:
        card = msgspec.structs.replace(loaded.card, made=made)
        return one(learned.judge_model(dataclasses.replace(loaded, card=card)), "model")

    assert (judged({"simulated": False}).status, judged({}).status) == ("ok", "warning")
    assert "does not say what it learned from" in judged({}).found


def test_a_broken_model_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    shipped = Path(model_file.__file__).parent / "models" / "shoppers-h64.safetensors"
    broken = tmp_path / "mine.safetensors"
    broken.write_bytes(shipped.read_bytes()[:-4] + b"\0\0\0\1")
    broken.with_suffix(".json").write_bytes(shipped.with_suffix(".json").read_bytes())
    finding = one(learned.check_model(msgspec.structs.replace(Settings(), model=str(broken))), "model")
    assert finding.status == "error"
    assert str(broken) in finding.found
    assert "SHA-256" in finding.found

    card = json.loads(shipped.with_suffix(".json").read_bytes()) | {"features_format": 99}
    broken.write_bytes(shipped.read_bytes())
    broken.with_suffix(".json").write_text(json.dumps(card))
    finding = one(learned.check_model(msgspec.structs.replace(Settings(), model=str(broken))), "model")
    assert "another version made it" in finding.found


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_cuda_is_an_error_without_a_gpu_and_auto_is_not() -> None:
    asked = {device: msgspec.structs.replace(Settings(), device=device) for device in ("cuda", "auto", "cpu")}
    found = {device: one(learned.check_gpu(settings), "gpu") for device, settings in asked.items()}
    assert found["cuda"].status == "error"
    assert "or set --device auto or cpu" in found["cuda"].to_do
    assert found["cpu"].status == "ok"
    assert "the LSTM runs on the CPU" in found["auto"].found
    assert all(torch.__version__ in finding.found for finding in found.values())


@pytest.mark.parametrize(
    ("cuda", "driver", "remedy"),
    [
        (None, None, "install PyTorch built for CUDA"),
        (None, "570.86", "install PyTorch built for CUDA"),
        ("12.8", None, "install the driver"),
        ("12.8", "390.157", "update the driver"),
    ],
)
def test_what_to_do_for_cuda_is_what_lacks_of_pytorch_and_driver(
    cuda: str | None, driver: str | None, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(learned, "_driver", lambda: driver)
    finding = one(learned.check_gpu(msgspec.structs.replace(Settings(), device="cuda")), "gpu")
    assert (finding.status, finding.to_do) == ("error", f"{remedy}, or set --device auto or cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
def test_a_gpu_is_named_with_its_memory_and_driver() -> None:
    finding = one(learned.check_gpu(msgspec.structs.replace(Settings(), device="cuda")), "gpu")
    assert finding.status == "ok"
    assert torch.cuda.get_device_name(0) in finding.found
    assert "GB, driver" in finding.found
