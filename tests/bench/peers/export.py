"""`python -m tests.bench.peers.export DIR [--model NAME]`: a model as the peers read it, with no need for PyTorch.

DIR/model.json    sizes, feature statistics, normal traffic, time bounds, and where each tensor lies
DIR/weights.f32   all tensors, float32 little-endian, row-major
DIR/step.onnx     one step of B users: what they carry and what they did -> probabilities, nats, what they carry now

    action[B] i64, real[B,F] f32, classes[B,7] i64, h[B,H], c[B,H] -> intent[B,K], nats[B,7], h_out[B,H], c_out[B,H]

The graph is the model's arithmetic in as few nodes as it takes, since for one user a node costs more than its numbers:
one product for all gates, ordered so that one sigmoid does for three of them; the parts of the next event padded to one
length, so that one softmax does for all seven; what each is given in a table per part that it is given.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from stream import model_file
from stream.features import ACTION, GAP, ITEM, NOTHING, PARTS, REAL
from stream.model import GIVEN, Sizes
from stream.model_file import LoadedModel
from stream.settings import Settings

_OPSET = 18
_IR_VERSION = 9  # what Java's and Python's ONNX Runtime have long been able to read
_ABSENT = -1e30  # the logit of a class that a part does not have: its exp is 0
_KNOWN = (GAP, ACTION, ITEM)  # parts that others are conditioned on

Floats = NDArray[np.float32]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--model", default=Settings().model, help="A shipped model's name, or a .safetensors file.")
def main(folder: Path, model: str) -> None:
    """Write the three files."""
    export(model_file.load(model), folder)


def export(loaded: LoadedModel, folder: Path) -> None:
    """Write the three files; a model that the graph cannot say is refused."""
    sizes = loaded.card.sizes
    if sizes.cell != "lstm" or sizes.layers != 1 or sizes.item_numbers or sizes.category_numbers or sizes.fraud:
        raise ValueError(f"expected one LSTM layer without embeddings of items and no head for fraud, got {sizes}")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = weights_of(loaded)
    places, offset = {}, 0
    with (folder / "weights.f32").open("wb") as file:
        for name, tensor in tensors.items():
            places[name] = {"shape": list(tensor.shape), "offset": offset}
            offset += file.write(tensor.astype("<f4").tobytes())
    (folder / "model.json").write_text(json.dumps({**described(loaded), "tensors": places}, indent=1))
    (folder / "step.onnx").write_bytes(_graph(sizes, tensors))


def described(loaded: LoadedModel) -> dict[str, Any]:
    """`model.json`, but for where the tensors lie."""
    sizes, settings = loaded.card.sizes, Settings()
    return {
        "hidden": sizes.hidden,
        "layers": sizes.layers,
        "width": sizes.width,
        "action_numbers": sizes.action_numbers,
        "horizons": list(sizes.horizons),
        "part_classes": list(sizes.part_classes),
        "statistics": loaded.card.statistics._asdict(),
        "normal_traffic": msgspec.to_builtins(loaded.card.normal_traffic),
        "model": loaded.name,
        "model_hash": loaded.hash,
        "bounds": {
            "max_ahead_ms": settings.event_time_max_ahead_ms,
            "max_behind_ms": settings.event_time_max_behind_ms,
        },
        "sequence": settings.sequence_events,
    }


def weights_of(loaded: LoadedModel) -> dict[str, Floats]:
    """The tensors of a model, by name."""
    return {name: tensor.numpy() for name, tensor in loaded.model.state_dict().items()}


def _graph(sizes: Sizes, tensors: dict[str, Floats]) -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    hidden, parts, widest = sizes.hidden, len(PARTS), max(sizes.part_classes)
    given = [_given(tensors, sizes, known) for known in _KNOWN]
    constants = {
        "action_table": tensors["action.weight"],
        "gates_weight": _by_gate(
            np.concatenate([tensors["recurrent.weight_ih_l0"], tensors["recurrent.weight_hh_l0"]], axis=1), hidden
        ).T,
        "gates_bias": _by_gate(tensors["recurrent.bias_ih_l0"] + tensors["recurrent.bias_hh_l0"], hidden),
        "gates_lengths": np.array([3 * hidden, hidden], np.int64),
        "intent_weight": np.concatenate([tensors["intent.weight"], tensors["intent_direct.weight"]], axis=1).T,
        "intent_bias": tensors["intent.bias"],
        "next_weight": _padded(tensors["next_event.weight"].T, sizes, 0.0),
        "next_bias": _padded(tensors["next_event.bias"][None], sizes, _ABSENT)[0],
        "given": np.concatenate(given),
        "given_by": np.array(_KNOWN, np.int64),
        # NOTHING, which is -1, has a table's first row
        "given_rows": np.cumsum([-NOTHING, *(len(table) for table in given[:-1])]),
        "by_part": np.array([-1, parts, widest], np.int64),
        "second": np.array([1], np.int64),
        "third": np.array([2], np.int64),
        "zero": np.array(0, np.int64),
        "nothing": np.array(0, np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Gather", ["action_table", "action"], ["action_numbers"]),
        node("Concat", ["action_numbers", "real", "h"], ["x_h"], axis=1),
        node("Gemm", ["x_h", "gates_weight", "gates_bias"], ["gates"]),
        node("Split", ["gates", "gates_lengths"], ["open", "candidate"], axis=1),
        node("Sigmoid", ["open"], ["opened"]),
        node("Split", ["opened"], ["in_gate", "forget_gate", "out_gate"], axis=1, num_outputs=3),
        node("Tanh", ["candidate"], ["new"]),
        node("Mul", ["forget_gate", "c"], ["kept"]),
        node("Mul", ["in_gate", "new"], ["added"]),
        node("Add", ["kept", "added"], ["c_out"]),
        node("Tanh", ["c_out"], ["told"]),
        node("Mul", ["out_gate", "told"], ["h_out"]),
        node("Concat", ["h_out", "action_numbers", "real"], ["h_x"], axis=1),
        node("Gemm", ["h_x", "intent_weight", "intent_bias"], ["intent_logits"]),
        node("Sigmoid", ["intent_logits"], ["intent"]),
        # What was expected, from the output before the event
        node("Gemm", ["h", "next_weight", "next_bias"], ["expected"]),
        node("Gather", ["classes", "given_by"], ["known"], axis=1),
        node("Add", ["known", "given_rows"], ["known_rows"]),
        node("Gather", ["given", "known_rows"], ["said"]),
        node("ReduceSum", ["said", "second"], ["said_together"], keepdims=0),
        node("Add", ["expected", "said_together"], ["expected_now"]),
        node("Reshape", ["expected_now", "by_part"], ["logits"]),
        node("LogSoftmax", ["logits"], ["log_shares"], axis=2),
        node("Unsqueeze", ["classes", "third"], ["came"]),
        node("GatherElements", ["log_shares", "came"], ["log_share_at"], axis=2),  # of NOTHING that of the last class
        node("Squeeze", ["log_share_at", "third"], ["log_share"]),
        node("Abs", ["log_share"], ["all_nats"]),
        node("Less", ["classes", "zero"], ["is_nothing"]),
        node("Where", ["is_nothing", "nothing", "all_nats"], ["nats"]),
    ]

    def value(name: str, kind: int, *shape: int | str) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        nodes,
        "step",
        [
            value("action", TensorProto.INT64, "B"),
            value("real", TensorProto.FLOAT, "B", len(REAL)),
            value("classes", TensorProto.INT64, "B", parts),
            value("h", TensorProto.FLOAT, "B", hidden),
            value("c", TensorProto.FLOAT, "B", hidden),
        ],
        [
            value("intent", TensorProto.FLOAT, "B", len(sizes.horizons)),
            value("nats", TensorProto.FLOAT, "B", parts),
            value("h_out", TensorProto.FLOAT, "B", hidden),
            value("c_out", TensorProto.FLOAT, "B", hidden),
        ],
        [numpy_helper.from_array(np.array(array, order="C"), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _by_gate(weights: Floats, hidden: int) -> Floats:
    """Rows of PyTorch's order (in, forget, candidate, out) with the candidate last."""
    into, forget, candidate, out = weights.reshape(4, hidden, *weights.shape[1:])
    return np.concatenate([into, forget, out, candidate])


def _padded(columns: Floats, sizes: Sizes, rest: float) -> Floats:
    """[n, sum of classes] with each part's classes padded to those of the widest part."""
    widest = max(sizes.part_classes)
    padded = np.full((len(columns), len(sizes.part_classes), widest), rest, np.float32)
    start = 0
    for part, classes in enumerate(sizes.part_classes):
        padded[:, part, :classes] = columns[:, start : start + classes]
        start += classes
    return padded.reshape(len(columns), -1)


def _given(tensors: dict[str, Floats], sizes: Sizes, known: int) -> Floats:
    """[1 + classes of `known`, all padded classes]: what it adds to the logits of the parts that are given it."""
    widest = max(sizes.part_classes)
    table = np.zeros((1 + sizes.part_classes[known], len(sizes.part_classes), widest), np.float32)
    for i, (part, given) in enumerate(GIVEN):
        if given == known:
            table[:, part, : sizes.part_classes[part]] += tensors[f"given.{i}.weight"]
    return table.reshape(len(table), -1)


if __name__ == "__main__":
    main()
