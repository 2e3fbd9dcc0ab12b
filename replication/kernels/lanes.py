"""Eight float32 lanes as one value in numba code, so that kernels say which loads share a register.

Left to itself, LLVM vectorises loops over labels only behind run-time checks for overlapping
arrays and with remainder loops; both cost more than the arithmetic of 8 to 24 labels. A value of
`Lanes` is an LLVM vector <8 x float>: AVX on x86-64, two NEON registers on arm64. `fma` fuses only
where the processor can (LLVM's ``fmuladd``), so it has no place where bits must match another
program's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

WIDTH = 8
Vector = Any  # eight lanes, in annotations


def _intrinsic(function: Callable[..., Any]) -> Any:
    """Make what numba calls in place of a function; typed, as numba's decorator is not."""
    return intrinsic(function)


_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)


class Lanes(types.Type):
    """The type of eight float32 lanes."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _FLOATS)  # type: ignore[no-untyped-call]


register_model(Lanes)(_LanesModel)
lanes = Lanes()


def _splat(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [value] * WIDTH)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.gep(data, [index], inbounds=True)
    return builder.bitcast(pointer, ir.PointerType(_FLOATS))


@_intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return lanes ``array[index : index + 8]`` of a flat contiguous float32 array, unchecked."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = _address(context, builder, signature.args[0], values[0], values[1])
        return builder.load(address, align=4)

    return lanes(array, types.intp), code


@_intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write lanes to ``array[index : index + 8]`` of a flat contiguous float32 array, unchecked."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = _address(context, builder, signature.args[0], values[0], values[1])
        builder.store(values[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@_intrinsic
def load_all(typing: Any, array: Any, index: Any) -> Any:
    """Return ``array[index]`` of a flat contiguous float32 array in all lanes, unchecked."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return _spread(builder, builder.load(builder.gep(data, [values[1]], inbounds=True)))

    return lanes(array, types.intp), code


@_intrinsic
def load_id(typing: Any, array: Any, index: Any) -> Any:
    """Return ``array[index]`` of a flat contiguous int32 array, unchecked: no wrapping around."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        value = builder.load(builder.gep(data, [values[1]], inbounds=True))
        return builder.sext(value, ir.IntType(64))

    return types.int64(array, types.intp), code


@_intrinsic
def load_one(typing: Any, array: Any, index: Any) -> Any:
    """Return ``array[index]`` of a flat contiguous array, unchecked: no wrapping around."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.load(builder.gep(data, [values[1]], inbounds=True))

    return array.dtype(array, types.intp), code


@_intrinsic
def store_one(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write ``array[index] = value`` to a flat contiguous array, unchecked likewise."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        builder.store(values[2], builder.gep(data, [values[1]], inbounds=True))
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), code


def _spread(builder: Any, value: Any) -> Any:
    nothing = ir.Constant(_FLOATS, ir.Undefined)
    first = builder.insert_element(nothing, value, _INT(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_INTS, [0] * WIDTH))


@_intrinsic
def broadcast(typing: Any, value: Any) -> Any:
    """Return eight lanes of one float32."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _spread(builder, values[0])

    return lanes(types.float32), code


def _binary(build: Callable[[Any, Any, Any], Any]) -> Any:
    def typed(typing: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return build(builder, values[0], values[1])

        return lanes(lanes, lanes), code

    return _intrinsic(typed)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _one_where(builder: Any, comparison: str, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(comparison, a, b), _splat(1.0), _splat(0.0))


add = _binary(lambda builder, a, b: builder.fadd(a, b))
subtract = _binary(lambda builder, a, b: builder.fsub(a, b))
multiply = _binary(lambda builder, a, b: builder.fmul(a, b))
divide = _binary(lambda builder, a, b: builder.fdiv(a, b))
maximum = _binary(_larger)
less = _binary(lambda builder, a, b: _one_where(builder, "<", a, b))
equal = _binary(lambda builder, a, b: _one_where(builder, "==", a, b))


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
    name = f"llvm.fmuladd.v{WIDTH}f32"
    function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
        builder.module, kind, name
    )
    return builder.call(function, [a, b, c])


@_intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once or twice as the processor likes."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _fused(builder, *values)

    return lanes(lanes, lanes, lanes), code


def _across(build: Callable[[Any, Any, Any], Any]) -> Any:
    """Return an intrinsic that folds the lanes, the result in each of them."""

    def typed(typing: Any, a: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            value = values[0]
            for step in (4, 2, 1):
                order = ir.Constant(_INTS, [lane ^ step for lane in range(WIDTH)])
                other = builder.shuffle_vector(value, ir.Constant(_FLOATS, ir.Undefined), order)
                value = build(builder, value, other)
            return value

        return lanes(lanes), code

    return _intrinsic(typed)


largest = _across(_larger)
total = _across(lambda builder, a, b: builder.fadd(a, b))


@_intrinsic
def first(typing: Any, value: Any) -> Any:
    """Return lane 0 as a float32."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.extract_element(values[0], _INT(0))

    return types.float32(lanes), code


@_intrinsic
def magnitude(typing: Any, value: Any) -> Any:
    """Return |x| in each lane."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        mask = ir.Constant(_INTS, [0x7FFFFFFF] * WIDTH)
        return builder.bitcast(builder.and_(builder.bitcast(values[0], _INTS), mask), _FLOATS)

    return lanes(lanes), code


@_intrinsic
def power_of_two(typing: Any, whole: Any) -> Any:
    """Return 2^n in each lane for whole numbers n of -126 to 127; 0 for -127."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        biased = builder.add(builder.fptosi(values[0], _INTS), ir.Constant(_INTS, [127] * WIDTH))
        return builder.bitcast(builder.shl(biased, ir.Constant(_INTS, [23] * WIDTH)), _FLOATS)

    return lanes(lanes), code


@_intrinsic
def place_of(typing: Any, values: Any, wanted: Any) -> Any:
    """Return the first lane where both are equal; 8 if there is none."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        same = builder.bitcast(builder.fcmp_ordered("==", *args), ir.IntType(WIDTH))
        return builder.zext(builder.cttz(same, ir.IntType(1)(0)), ir.IntType(64))

    return types.int64(lanes, lanes), code


@_intrinsic
def exp(typing: Any, value: Any) -> Any:
    """Return e^x to about 1 ulp for x <= 0; 0 below -80, so that no product gets denormal."""
    shift = 1.5 * 2.0**23  # added, it leaves the nearest whole number in the lowest bits
    # Taylor's series on +-ln(2)/2, its last terms economised (minimax, as in Cephes' expf).
    terms = [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3]
    terms += [4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1]
    series = [float(np.float32(term)) for term in terms]

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        x = values[0]
        zero = builder.fcmp_ordered("<", x, _splat(-80.0))
        x = _larger(builder, x, _splat(-80.0))
        shifted = _fused(builder, x, _splat(float(np.float32(np.log2(np.e)))), _splat(shift))
        whole = builder.fsub(shifted, _splat(shift))
        rest = _fused(builder, whole, _splat(-0.693359375), x)  # ln 2 in two parts
        rest = _fused(builder, whole, _splat(float(np.float32(2.12194440e-4))), rest)
        square = builder.fmul(rest, rest)
        pairs = [  # Estrin's scheme: half of Horner's waiting
            _fused(builder, _splat(high), rest, _splat(low))
            for high, low in zip(series[::2], series[1::2], strict=True)
        ]
        power = _fused(builder, pairs[0], square, pairs[1])
        power = _fused(builder, power, square, pairs[2])
        power = _fused(builder, power, square, rest)
        power = builder.fadd(power, _splat(1.0))
        exponent = builder.shl(builder.bitcast(shifted, _INTS), ir.Constant(_INTS, [23] * WIDTH))
        scaled = builder.add(builder.bitcast(power, _INTS), exponent)
        return builder.select(zero, _splat(0.0), builder.bitcast(scaled, _FLOATS))

    return lanes(lanes), code
