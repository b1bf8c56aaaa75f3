"""How functions are compiled: to machine code by Numba, which needs no compiler of the user's, without the interpreter
lock, and kept on disk, so that only the first start takes the time.

Numba tells by a function's own file whether what it has kept is still good. What the function calls, and the constants
that it has from elsewhere, are in its machine code too: so all is kept under a digest of every file that has a part.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba import extending
from numba.core import cgutils, types

_F = TypeVar("_F", bound=Callable[..., Any])

# Of which mypy knows nothing.
intrinsic: Any = extending.intrinsic
raw_memcpy: Any = cgutils.raw_memcpy

_HERE = Path(__file__).parent
# All other modules that those here import from: machine code has constants of theirs in it. A test reads the imports.
CONSTANTS_OF = (
    "anomaly", "decode", "encode", "events", "features", "habits", "model", "record_batches", "rows", "scorer",
    "sequences", "slots",
)  # fmt: skip


def _digest() -> str:
    """Of all that machine code is made of."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in (*sorted(_HERE.glob("*.py")), *(_HERE.parent / f"{name}.py" for name in CONSTANTS_OF)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _folder() -> Path | None:
    """Where it is kept: where NUMBA_CACHE_DIR says, beside the source, or among the user's caches; None: nowhere."""
    given = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    for parent in filter(None, (given and Path(given), _HERE / "__pycache__", _users_caches())):
        folder: Path = parent / f"behaviour-stream-{_digest()}"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
    return None


def _users_caches() -> Path | None:
    try:
        return Path.home() / ".cache" / "behaviour-stream"
    except RuntimeError:  # a user who has no home
        return None


_KEPT_IN = _folder()
numba.config.CACHE_DIR = str(_KEPT_IN or "")  # type: ignore[attr-defined]


def compiled(function: _F) -> _F:
    """The function as machine code, made at its first call. It takes arrays and numbers, and only those."""
    return _made(function)


def summing(function: _F) -> _F:
    """The same, but that its own sums may be made in another order, always the same one: in whole vectors."""
    return _made(function, fastmath={"reassoc"})


def _made(function: _F, **options: Any) -> _F:
    make: Any = partial(numba.njit, nogil=True, error_model="numpy", cache=_KEPT_IN is not None, **options)
    made: _F = make(function)
    return made


@intrinsic  # type: ignore[untyped-decorator]
def copy_bytes(_: Any, out: Any, at: Any, source: Any, begin: Any, size: Any) -> Any:
    """`out[at : at + size] = source[begin : begin + size]` of two arrays of bytes, unchecked: 2 ns, where a loop takes
    1.5 ns a byte."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = [context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 2)]
        target, origin = (builder.gep(data, [arguments[i]]) for data, i in zip(arrays, (1, 3), strict=True))
        raw_memcpy(builder, target, origin, arguments[4], 1)
        return context.get_dummy_value()

    return types.void(out, types.intp, source, types.intp, types.intp), generate


def _load(bits: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def load(_: Any, data: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            word = ir.IntType(bits)
            place = builder.bitcast(builder.gep(array.data, [arguments[1]]), word.as_pointer())
            loaded = builder.load(place, align=1)
            return builder.zext(loaded, ir.IntType(64)) if bits < 64 else loaded

        return types.uint64(data, types.intp), generate

    return load


# The unsigned number in the 4 or 8 bytes at a place of an array of bytes, unchecked; little-endian, as the machine is.
load_32, load_64 = _load(32), _load(64)


@intrinsic  # type: ignore[untyped-decorator]
def multiply_fold(_: Any, a: Any, b: Any) -> Any:
    """The product of two unsigned 64-bit numbers, its upper half into its lower one by exclusive or."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        upper = builder.lshr(product, ir.Constant(wide, 64))
        return builder.trunc(builder.xor(product, upper), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def trailing_zeros(_: Any, word: Any) -> Any:
    """Of an unsigned number of 64 bits that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate
