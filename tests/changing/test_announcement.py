"""A model as a record: whole, or by its path; what does not fit is refused with its reason."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from stream.changing import announcement
from stream.changing.announcement import Announcement
from stream.changing.offered import Announced, Offered
from stream.changing.trial import try_out
from stream.cuts import ModelId
from stream.errors import SettingsError
from stream.model_file import LoadedModel
from tests.models import model_in
from tests.shop import CPU


@pytest.fixture
def path(tmp_path: Path) -> str:
    model_in(tmp_path, 0)
    return str(tmp_path / "model-0.safetensors")


def test_a_model_comes_out_of_its_record_as_it_was(tmp_path: Path, path: str) -> None:
    loaded = model_in(tmp_path, 0)
    announced = announcement.of_file(path, 5)
    again = announcement.from_bytes(announced.to_bytes(), "version 1")
    assert (again.name, again.announced_ms, again.file) == ("model-0", 5, None)
    model = again.to_model("version 1")
    assert (model.name, model.card) == (loaded.name, loaded.card)
    for name, weight in model.model.state_dict().items():
        assert weight.equal(loaded.model.state_dict()[name])


def test_the_shipped_model_fits_into_a_record() -> None:
    announced = announcement.of_file("shoppers-h64", 0)
    assert announced.weights is not None
    assert len(announced.to_bytes()) < 400_000


def test_a_model_that_is_too_large_is_announced_by_its_path(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcement, "VALUE_BYTES_MAX", 1_000)
    announced = announcement.of_file(path, 0)
    assert (announced.weights, announced.file) == (None, path)
    assert announced.to_model("version 1").hash == model_in(tmp_path, 0).hash
    model_in(tmp_path, 1)
    Path(path).write_bytes((tmp_path / "model-1.safetensors").read_bytes())
    with pytest.raises(SettingsError, match=f"version 1, {path}: expected weights of SHA-256 {announced.sha256[:12]}"):
        announced.to_model("version 1")
    Path(path).unlink()
    with pytest.raises(SettingsError, match=r"version 1, .*cannot be read \(No such file"):
        announced.to_model("version 1")


def test_what_is_no_announcement_or_of_another_version_is_refused(path: str) -> None:
    for value in (None, b"", b"\xff", b"[]", b"{}", b'{"format":"behaviour-stream-announcement/2"}'):
        with pytest.raises(SettingsError, match="version 3: expected"):
            announcement.from_bytes(value, "version 3")
    bare = msgspec.structs.replace(announcement.of_file(path, 0), weights=None)
    with pytest.raises(SettingsError, match="expected weights or a file, got neither"):
        bare.to_model("version 3")


def test_a_file_that_a_worker_would_refuse_is_not_announced(path: str) -> None:
    Path(path).with_suffix(".json").write_text("{}")
    with pytest.raises(SettingsError, match="model card"):
        announcement.of_file(path, 0)
    with pytest.raises(SettingsError, match="expected one of shoppers-h64, or a path"):
        announcement.of_file("no-such-model", 0)


# -- what a worker makes of it -----------------------------------------------------------------------------------------


class Worker:
    """What was offered to one, and how often it refused."""

    def __init__(self, first: LoadedModel) -> None:
        self.refused = 0
        self.offered = Offered(first, try_out=lambda model: try_out(model, CPU), refused=self.refuse)

    def refuse(self) -> None:
        self.refused += 1

    def hear(self, *announced: tuple[int, Announcement | bytes]) -> ModelId:
        records = [(v, value if isinstance(value, bytes) else value.to_bytes()) for v, value in announced]
        self.offered.hear(Announced(version, value) for version, value in records)
        return self.offered.latest.id


def _announcements(folder: Path, n: int) -> list[Announcement]:
    loaded = [model_in(folder, seed, hidden=4 + seed) for seed in range(n)]
    return [announcement.of_file(str(folder / f"{model.name}.safetensors"), 0) for model in loaded]


def test_the_latest_counts_whatever_comes_together(tmp_path: Path) -> None:
    a, b, c = _announcements(tmp_path, 3)
    worker = Worker(a.to_model("first"))
    assert worker.offered.latest.id == ModelId(0, a.sha256)
    assert worker.hear((1, b), (4, c)) == ModelId(4, c.sha256)
    assert worker.hear() == ModelId(4, c.sha256)
    assert worker.hear((7, a)) == ModelId(7, a.sha256)
    assert (worker.refused, worker.offered.read_to) == (0, 7)


def test_what_cannot_be_used_is_refused_once_and_the_one_before_stays(tmp_path: Path) -> None:
    a, b, c = _announcements(tmp_path, 3)
    worker = Worker(a.to_model("first"))
    assert c.weights is not None
    damaged = msgspec.structs.replace(c, weights=c.weights[:-1] + b"\1")
    assert worker.hear((1, b), (2, damaged), (3, b"rubbish")) == ModelId(1, b.sha256)
    assert (worker.refused, worker.offered.read_to) == (2, 3)
    assert worker.hear() == ModelId(1, b.sha256)
    assert worker.refused == 2


def test_a_model_that_loads_and_does_not_score_is_refused(tmp_path: Path) -> None:
    a, b = _announcements(tmp_path, 2)
    first = a.to_model("first")

    def fails(model: LoadedModel) -> None:
        if model.hash != first.hash:
            raise RuntimeError("CUDA out of memory")

    refused: list[None] = []
    offered = Offered(first, try_out=fails, refused=lambda: refused.append(None))
    offered.hear([Announced(1, b.to_bytes())])
    assert offered.latest.id.version == 0 and len(refused) == 1
    assert not offered.has(ModelId(1, b.sha256))


def test_models_that_rows_may_still_name_are_found_by_their_hash(tmp_path: Path) -> None:
    a, b, c = _announcements(tmp_path, 3)
    worker = Worker(a.to_model("first"))
    worker.hear((1, b), (2, c))
    for of in (a, b, c):
        wanted = ModelId(9, of.sha256)
        found = worker.offered.find(wanted)
        assert worker.offered.has(wanted) and found is not None and found.card.weights_sha256 == of.sha256
    assert not worker.offered.has(ModelId(1, "f" * 64))
    assert worker.offered.find(ModelId(1, "f" * 64)) is None


def test_a_topic_that_was_made_anew_begins_anew(tmp_path: Path) -> None:
    a, b, c = _announcements(tmp_path, 3)
    worker = Worker(a.to_model("first"))
    worker.hear((1, b), (2, b), (3, c))
    assert worker.hear((1, b)) == ModelId(1, b.sha256)
    assert worker.offered.read_to == 1


def test_a_model_is_tried_before_anything_depends_on_it(tmp_path: Path) -> None:
    loaded = model_in(tmp_path, 0)
    try_out(loaded, CPU)
    loaded.model.intent.weight.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="no numbers"):
        try_out(loaded, CPU)
