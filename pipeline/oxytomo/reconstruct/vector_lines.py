"""Arithmetic on lines of slices, emitted as vector instructions.

Every inner loop of the projectors and of the total-variation step runs over the slices of a block,
a multiple of :data:`WIDTH` float32 values. For a Python loop the compiler generates code that
checks at every line whether arrays overlap and how long the line is; for these short lines the
checks cost as much as the sums. The functions here emit the vector operations themselves (LLVM's
vector types, which fit every processor), without such checks: **the caller is responsible for valid
offsets**.

They are for use in other compiled functions. Arrays are one-dimensional, contiguous float32;
offsets count their elements.

This is the only code of the package that depends on the compiler interface of Numba and llvmlite.
:mod:`oxytomo.reconstruct.plain_lines` has the same functions in plain Python, and
:mod:`oxytomo.reconstruct.lines` uses those where this module does not compile. To drop this module,
delete it and let ``lines`` use the plain functions; the kernels stay as they are.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from oxytomo.reconstruct.plain_lines import WIDTH

_FLOAT: Final = ir.FloatType()
_VECTOR: Final = ir.VectorType(_FLOAT, WIDTH)
_INDEX: Final = ir.IntType(32)
_ANY: Final = ir.Constant(_VECTOR, ir.Undefined)
_ZERO: Final = ir.Constant(_VECTOR, [0.0] * WIDTH)


class _Emit:
    """Writes vector operations into a function that is being compiled."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> None:
        self._context, self.b = context, builder
        self._types, self._arguments = signature.args, arguments

    def at(self, array: int, offset: Any) -> Any:
        """Return a pointer to an element of an array, both given as argument number or value."""
        data = self._context.make_array(self._types[array])(
            self._context, self.b, self._arguments[array]
        ).data
        return self.b.gep(data, [self._arguments[offset] if isinstance(offset, int) else offset])

    def load(self, pointer: Any, k: Any) -> Any:
        """Return the vector that starts k values after a pointer."""
        vector = self.b.load(self.b.bitcast(self.b.gep(pointer, [k]), _VECTOR.as_pointer()))
        vector.align = 4
        return vector

    def store(self, vector: Any, pointer: Any, k: Any) -> None:
        """Write a vector k values after a pointer."""
        self.b.store(vector, self.b.bitcast(self.b.gep(pointer, [k]), _VECTOR.as_pointer())).align = 4

    def spread(self, value: Any) -> Any:
        """Return a vector of one value, given as a value or as the number of an argument."""
        one = self._arguments[value] if isinstance(value, int) else value
        first = self.b.insert_element(_ANY, one, _INDEX(0))
        return self.b.shuffle_vector(first, _ANY, ir.Constant(ir.VectorType(_INDEX, WIDTH), [0] * WIDTH))

    def shifted(self, vector: Any, by: int, filled: Any) -> Any:
        """Return a vector shifted by ±1 element, with ``filled`` at the free end."""
        taken = [min(max(k + by, 0), WIDTH - 1) for k in range(WIDTH)]
        moved = self.b.shuffle_vector(vector, _ANY, ir.Constant(ir.VectorType(_INDEX, WIDTH), taken))
        return self.b.insert_element(moved, filled, _INDEX(WIDTH - 1 if by > 0 else 0))

    def call(self, name: str, *vectors: Any) -> Any:
        """Return LLVM's intrinsic function of vectors, such as ``fma`` or ``sqrt``."""
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(vectors))
        function = cgutils.get_or_insert_function(self.b.module, kind, f"llvm.{name}.v{WIDTH}f32")
        return self.b.call(function, vectors)

    def multiples(self, first: Any, stop: Any, body: Callable[[Any], None]) -> None:
        """Call ``body`` with WIDTH times each number of a range."""
        with cgutils.for_range(self.b, stop, start=first) as loop:
            body(self.b.mul(loop.index, loop.index.type(WIDTH)))


@intrinsic
def add_lines(typing, out, to, source, offsets, weights, n):  # type: ignore[no-untyped-def]
    """``out[to : to + n] += Σⱼ weights[j] · source[offsets[j] : offsets[j] + n]``.

    Here n is a multiple of WIDTH.

    ``offsets`` and ``weights`` are tuples of the same even length. Terms are summed in two chains:
    those of odd j are added to ``out``, those of even j are summed separately.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        emit = _Emit(context, builder, signature, arguments)
        target = emit.at(0, 1)
        lines = [emit.at(2, one) for one in cgutils.unpack_tuple(builder, arguments[3])]
        factors = [emit.spread(one) for one in cgutils.unpack_tuple(builder, arguments[4])]

        def body(k: Any) -> None:
            total = emit.load(target, k)
            apart = builder.fmul(factors[0], emit.load(lines[0], k))
            for j in range(1, len(lines)):
                if j % 2:
                    total = emit.call("fma", factors[j], emit.load(lines[j], k), total)
                else:
                    apart = emit.call("fma", factors[j], emit.load(lines[j], k), apart)
            emit.store(builder.fadd(total, apart), target, k)

        count = arguments[5]
        emit.multiples(count.type(0), builder.udiv(count, count.type(WIDTH)), body)
        return context.get_dummy_value()

    return types.void(out, to, source, offsets, weights, n), generate


@intrinsic
def shrink_line(  # type: ignore[no-untyped-def]
    typing, out, to, noisy, inside, dz, dy, dx, at, up, left, below, has_up, has_left, first, stop, l1, least
):
    """Primal step of :mod:`oxytomo.reconstruct.denoising` on part of the line at ``at``.

    On vectors first … stop − 1, ``out = inside · S(noisy + (dz − dz₋) + (dy − dy₋) + (dx − dx₋))``,
    where S is the soft threshold by ``l1``, not below ``least``. ``up`` and ``left`` are the starts
    of the neighbouring lines of dy and dx; ``has_up`` and ``has_left`` (1 or 0) say whether they
    count. ``below`` is the value of dz under the first value of the line.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        emit = _Emit(context, builder, signature, arguments)
        target, line, mask = emit.at(0, 1), emit.at(2, 7), emit.at(3, 7)
        z, y, x, y_before, x_before = (emit.at(*one) for one in ((4, 7), (5, 7), (6, 7), (5, 8), (6, 9)))
        has_y, has_x, threshold, lowest = (emit.spread(one) for one in (11, 12, 15, 16))

        def put(k: Any, here: Any, before: Any) -> None:
            value = builder.fadd(emit.load(line, k), builder.fsub(here, before))
            along_y = builder.fsub(emit.load(y, k), builder.fmul(has_y, emit.load(y_before, k)))
            along_x = builder.fsub(emit.load(x, k), builder.fmul(has_x, emit.load(x_before, k)))
            value = builder.fadd(builder.fadd(value, along_y), along_x)
            above = emit.call("maxnum", builder.fsub(value, threshold), _ZERO)
            under = emit.call("minnum", builder.fadd(value, threshold), _ZERO)
            value = builder.fadd(above, emit.call("maxnum", under, lowest))
            emit.store(builder.fmul(value, emit.load(mask, k)), target, k)

        first, stop = arguments[13], arguments[14]
        zero, one = first.type(0), first.type(1)
        at_bottom = builder.icmp_signed("==", first, zero)
        with builder.if_then(builder.and_(at_bottom, builder.icmp_signed(">", stop, zero))):
            bottom = emit.load(z, zero)
            put(zero, bottom, emit.shifted(bottom, -1, arguments[10]))
        emit.multiples(
            builder.select(at_bottom, one, first),
            stop,
            lambda k: put(k, emit.load(z, k), emit.load(z, builder.sub(k, one))),
        )
        return context.get_dummy_value()

    arguments = (
        *(out, to, noisy, inside, dz, dy, dx, at, up, left, below),
        *(has_up, has_left, first, stop, l1, least),
    )
    return types.void(*arguments), generate


@intrinsic
def ascend_line(  # type: ignore[no-untyped-def]
    typing,
    dz,
    dy,
    dx,
    at,
    values,
    here,
    down,
    right,
    inside,
    mask_down,
    mask_right,
    has_down,
    has_right,
    above,
    mask_above,
    first,
    stop,
    n,
    step,
    limit,
):
    """Dual step of :mod:`oxytomo.reconstruct.denoising` on part of the line at ``at``.

    On vectors first … stop − 1 of its n, the dual moves along the differences of ``values`` (lines
    at ``here``, ``down`` and ``right``) and is projected on the ball of radius ``limit``.
    Differences count where both ends are ``inside``. ``above`` and ``mask_above`` belong to the
    value over the last one of the line.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        emit = _Emit(context, builder, signature, arguments)
        z, y, x = (emit.at(one, 3) for one in (0, 1, 2))
        value, value_y, value_x = (emit.at(4, one) for one in (5, 6, 7))
        mask, mask_y, mask_x = (emit.at(8, one) for one in (3, 9, 10))
        has_y, has_x, size, radius = (emit.spread(one) for one in (11, 12, 18, 19))

        def moved(pointer: Any, k: Any, difference: Any, counts: Any) -> Any:
            ahead = builder.fadd(emit.load(pointer, k), builder.fmul(size, difference))
            return builder.fmul(ahead, counts)

        def put(k: Any, own: Any, own_mask: Any, over: Any, over_mask: Any) -> None:
            gz = moved(z, k, builder.fsub(over, own), builder.fmul(over_mask, own_mask))
            counts = builder.fmul(builder.fmul(has_y, emit.load(mask_y, k)), own_mask)
            gy = moved(y, k, builder.fsub(emit.load(value_y, k), own), counts)
            counts = builder.fmul(builder.fmul(has_x, emit.load(mask_x, k)), own_mask)
            gx = moved(x, k, builder.fsub(emit.load(value_x, k), own), counts)
            square = emit.call("fma", gx, gx, emit.call("fma", gy, gy, builder.fmul(gz, gz)))
            factor = builder.fdiv(radius, emit.call("maxnum", radius, emit.call("sqrt", square)))
            for pointer, one in ((z, gz), (y, gy), (x, gx)):
                emit.store(builder.fmul(one, factor), pointer, k)

        first, stop, n = arguments[15:18]
        one = n.type(1)
        at_top = builder.icmp_signed("==", stop, n)

        def inner(k: Any) -> None:
            next_k = builder.add(k, one)
            put(k, emit.load(value, k), emit.load(mask, k), emit.load(value, next_k), emit.load(mask, next_k))

        emit.multiples(first, builder.select(at_top, builder.sub(n, one), stop), inner)
        with builder.if_then(builder.and_(at_top, builder.icmp_signed("<", first, n))):
            k = builder.mul(builder.sub(n, one), n.type(WIDTH))
            own, own_mask = emit.load(value, k), emit.load(mask, k)
            over = emit.shifted(own, 1, arguments[13])
            put(k, own, own_mask, over, emit.shifted(own_mask, 1, arguments[14]))
        return context.get_dummy_value()

    arguments = (
        *(dz, dy, dx, at, values, here, down, right, inside, mask_down, mask_right, has_down, has_right),
        *(above, mask_above, first, stop, n, step, limit),
    )
    return types.void(*arguments), generate


@njit(cache=True)
def probe(a, b):  # type: ignore[no-untyped-def]
    """Change two arrays of 8 WIDTH values by each function once, for a comparison of modules."""
    n, one, half = WIDTH, np.float32(1), np.float32(0.5)
    add_lines(a, n, b, (0, n, 2 * n, 3 * n), (one, half, one, half), 2 * n)
    shrink_line(a, 0, b, b, b, b, b, 2 * n, 0, n, one, one, one, 0, 2, half, -half)
    ascend_line(b, b, b, 0, a, 0, n, 3 * n, a, n, 3 * n, one, half, one, one, 0, 2, 2, half, one)
