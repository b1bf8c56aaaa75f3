"""Matrix products of which each row is the same, bit for bit, whatever other rows are beside it.

Libraries choose how to sum by how many rows there are. Here every row goes through one and the same tile: ROWS rows by
COLUMNS columns, kept in registers while the terms are added in their order. Where fewer rows are left, the last is
computed again in their place.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba.core import types
from numpy.typing import NDArray

from stream.compiled.compiling import compiled, intrinsic

Floats = NDArray[np.float32]

# Twelve vectors of sums: as many as have to be under way for a multiplier to be always busy, and no more than there
# are registers for. A machine with 16 registers, of eight numbers, has room for half as many rows.
COLUMNS = 32
_WIDE = bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))
ROWS, _LANES = (6, 16) if _WIDE else (3, 8)


def pack(weights: Floats) -> Floats:
    """[N, K], as `nn.Linear` has them, -> panels of COLUMNS columns [ceil(N / COLUMNS), K, COLUMNS], with 0 to fill."""
    n, k = weights.shape
    panels = -(-n // COLUMNS)
    padded = np.zeros((panels * COLUMNS, k), np.float32)
    padded[:n] = weights
    return np.ascontiguousarray(padded.reshape(panels, COLUMNS, k).transpose(0, 2, 1))


def padded(n: int) -> int:
    """Columns of all panels."""
    return -(-n // COLUMNS) * COLUMNS


@compiled
def add_product(out: Any, a: Any, panels: Any) -> None:
    """out [M, panels * COLUMNS] += a [M, K] times what `pack` made of the weights; all contiguous float32."""
    rows, terms = a.shape
    width = out.shape[1]
    flat_a, flat_out, flat_panels = a.reshape(-1), out.reshape(-1), panels.reshape(-1)
    for first in range(0, rows, ROWS):
        last = min(rows - first, ROWS) - 1
        for panel in range(panels.shape[0]):
            _tile(
                flat_a, first * terms, terms, flat_panels, panel * terms * COLUMNS, terms,
                flat_out, first * width + panel * COLUMNS, width, last,
            )  # fmt: skip


@intrinsic  # type: ignore[untyped-decorator]
def _tile(
    _: Any,
    a: Any,
    a_at: Any,
    a_step: Any,
    w: Any,
    w_at: Any,
    terms: Any,
    out: Any,
    out_at: Any,
    out_step: Any,
    last: Any,
) -> Any:
    """Rows 0 to `last` of a tile: out += a times a panel, from these places on; `terms` is 1 at least."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def data(i: int) -> Any:
            return context.make_array(signature.args[i])(context, builder, arguments[i]).data

        a_data, w_data, out_data = data(0), data(3), data(6)
        a_at, a_step, w_at, terms, out_at, out_step, last = (arguments[i] for i in (1, 2, 4, 5, 7, 8, 9))
        index, vector = ir.IntType(64), ir.VectorType(ir.FloatType(), _LANES)
        splat = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
        undefined = ir.Constant(vector, ir.Undefined)
        vectors = range(COLUMNS // _LANES)

        def place(base: Any, at: Any, offset: int) -> Any:
            pointer = builder.gep(base, [builder.add(at, index(offset))])
            return builder.bitcast(pointer, vector.as_pointer())

        rows = [builder.select(builder.icmp_signed("<", index(r), last), index(r), last) for r in range(ROWS)]
        a_rows = [builder.add(a_at, builder.mul(row, a_step)) for row in rows]
        out_rows = [builder.add(out_at, builder.mul(row, out_step)) for row in rows]
        begins = [builder.load(place(out_data, row, v * _LANES), align=4) for row in out_rows for v in vectors]

        before, loop = builder.block, builder.append_basic_block("terms")
        after = builder.append_basic_block("sums")
        builder.branch(loop)
        builder.position_at_end(loop)
        term = builder.phi(index)
        term.add_incoming(index(0), before)
        sums = []
        for begin in begins:
            phi = builder.phi(vector)
            phi.add_incoming(begin, before)
            sums.append(phi)
        w_term = builder.add(w_at, builder.mul(term, index(COLUMNS)))
        weights = [builder.load(place(w_data, w_term, v * _LANES), align=4) for v in vectors]
        moved = []
        for r, a_row in enumerate(a_rows):
            factor = builder.load(builder.gep(a_data, [builder.add(a_row, term)]))
            factors = builder.shuffle_vector(
                builder.insert_element(undefined, factor, ir.IntType(32)(0)), undefined, splat
            )
            for v in vectors:
                product = builder.fmul(factors, weights[v], flags=("contract",))
                moved.append(builder.fadd(sums[r * len(vectors) + v], product, flags=("contract",)))
        following = builder.add(term, index(1))
        term.add_incoming(following, loop)
        for phi, value in zip(sums, moved, strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, terms), loop, after)
        builder.position_at_end(after)
        for i, value in enumerate(moved):
            r, v = divmod(i, len(vectors))
            builder.store(value, place(out_data, out_rows[r], v * _LANES), align=4)
        return context.get_dummy_value()

    place_type = types.intp
    return types.void(
        a, place_type, place_type, w, place_type, place_type, out, place_type, place_type, place_type
    ), generate
