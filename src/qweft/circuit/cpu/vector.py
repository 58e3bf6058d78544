"""A vector register as a Numba type, a token a lane: no compiler has to prove that rows of a state do not overlap."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
import numba.core.cgutils
import numba.extending
from llvmlite import ir

njit, cgutils = numba.njit, numba.core.cgutils
types: Any = numba.types
models: Any = numba.extending.models
intrinsic, register_model = numba.extending.intrinsic, numba.extending.register_model

INTEGER = ir.IntType(32)
LANES = 16 if llvm.get_host_cpu_features().get("avx512f") else 8
"""Tokens per vector: in float32 one register of AVX-512 or AVX2, two of NEON or SSE; in float64 twice as many."""

KERNELS = [Path(__file__).with_name(f"{name}.py") for name in ("vector", "kernels", "token_kernel")]
"""Files whose functions stand in the machine code of kernels."""


def stored_by(*sources: Path, **options: Any) -> Callable[[Any], Any]:
    """Return `njit` with stored machine code and these options, for functions that call others from these files."""
    # Numba compiles anew only where a function's own file has changed, and names what it stores by the function.
    # So the name says what was called, and the constants of the function's module.
    called = b"".join(source.read_bytes() for source in sources)

    def compiled(function: Any) -> Any:
        constants = sorted((name, v) for name, v in function.__globals__.items() if isinstance(v, int | float))
        digest = hashlib.sha256(called + repr(constants).encode()).hexdigest()
        function.__qualname__ += f"_{digest[:16]}"
        return njit(cache=True, **options)(function)

    return compiled


compiled = stored_by(*KERNELS, nogil=True, error_model="numpy", boundscheck=False)
inlined = stored_by(*KERNELS, nogil=True, error_model="numpy", boundscheck=False, forceinline=True)
apart = stored_by(*KERNELS, nogil=True, error_model="numpy", boundscheck=False, inline="never")


class Vector(types.Type):
    """`LANES` numbers of one floating-point type."""

    def __init__(self, scalar: types.Type):
        self.scalar = scalar
        super().__init__(name=f"Vector({scalar}, {LANES})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector):
        element = ir.FloatType() if vector.scalar == types.float32 else ir.DoubleType()
        super().__init__(manager, vector, ir.VectorType(element, LANES))


def _address(context: Any, builder: Any, vector: Vector, array_type: Any, array: Any, index: Any) -> Any:
    first = builder.gep(context.make_array(array_type)(context, builder, value=array).data, [index])
    return builder.bitcast(first, context.get_value_type(vector).as_pointer())


def _made(signature: Any, make: Callable[..., Any]) -> Any:
    """Return what Numba asks of an intrinsic; `make` takes the context, the builder of instructions, and the values."""
    return signature, lambda context, builder, _, values: make(context, builder, *values)


@intrinsic
def load(_: Any, array: Any, index: Any) -> Any:
    """Return array[index : index + LANES]; of `None` nothing."""
    if array == types.none:
        return _made(types.none(array, types.intp), lambda context, *_: context.get_dummy_value())
    vector = Vector(array.dtype)

    def make(context: Any, builder: Any, *place: Any) -> Any:
        value = builder.load(_address(context, builder, vector, array, *place))
        value.align = 4  # NumPy aligns to elements, not to registers
        return value

    return _made(vector(array, types.intp), make)


@intrinsic
def store(_: Any, array: Any, index: Any, value: Any) -> Any:
    """Set array[index : index + LANES] = value; of `None` nothing."""

    def make(context: Any, builder: Any, array_value: Any, index_value: Any, vector: Any) -> Any:
        if array != types.none:
            builder.store(vector, _address(context, builder, value, array, array_value, index_value)).align = 4
        return context.get_dummy_value()

    return _made(types.void(array, types.intp, value), make)


@intrinsic
def numbers_at(_: Any, address: Any, like: Any) -> Any:
    """Return a pointer to numbers of the type of `like`, for `numba.carray`, from the address of the first."""
    pointer = types.CPointer(like)
    return _made(
        pointer(types.intp, like),
        lambda context, builder, value, _: builder.inttoptr(value, context.get_value_type(pointer)),
    )


@intrinsic
def splat(_: Any, number: Any) -> Any:
    """Return the number in every lane."""
    vector = Vector(number)

    def make(context: Any, builder: Any, value: Any) -> Any:
        anything = ir.Constant(context.get_value_type(vector), ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(INTEGER, LANES), [0] * LANES)
        return builder.shuffle_vector(builder.insert_element(anything, value, INTEGER(0)), anything, everywhere)

    return _made(vector(number), make)


def _instruction(name: str) -> Callable[..., Any]:
    @intrinsic
    def operation(_: Any, a: Any, b: Any) -> Any:
        return _made(a(a, b), lambda context, builder, *values: getattr(builder, name)(*values))

    return operation


add, subtract, multiply, divide = (_instruction(name) for name in ("fadd", "fsub", "fmul", "fdiv"))


@intrinsic
def multiply_add(_: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a b + c, in one instruction if the processor has it."""

    def make(context: Any, builder: Any, *values: Any) -> Any:
        kind = context.get_value_type(a)
        name = f"llvm.fmuladd.v{LANES}f{32 if a.scalar == types.float32 else 64}"
        function = ir.FunctionType(kind, [kind] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, function, name), values)

    return _made(a(a, b, c), make)


@intrinsic
def negative(_: Any, a: Any) -> Any:
    """Return -a."""
    return _made(a(a), lambda context, builder, value: builder.fneg(value))


def _swap(distance: int) -> Callable[..., Any]:
    order = ir.Constant(ir.VectorType(INTEGER, LANES), [lane ^ distance for lane in range(LANES)])

    @intrinsic
    def operation(_: Any, a: Any) -> Any:
        return _made(a(a), lambda context, builder, value: builder.shuffle_vector(value, value, order))

    return operation


swap_1, swap_2, swap_4 = (_swap(distance) for distance in (1, 2, 4))
"""Exchange lanes whose numbers differ in one bit."""
swap_8 = _swap(8 if LANES > 8 else 0)
"""The same for the fourth bit; without effect where there are eight lanes."""


@intrinsic
def first(_: Any, a: Any) -> Any:
    """Return the number in lane 0."""
    return _made(a.scalar(a), lambda context, builder, value: builder.extract_element(value, INTEGER(0)))


@intrinsic
def any_below(_: Any, a: Any, b: Any) -> Any:
    """Return whether a < b in any lane."""

    def make(context: Any, builder: Any, *values: Any) -> Any:
        bits = builder.bitcast(builder.fcmp_ordered("<", *values), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.IntType(LANES)(0))

    return _made(types.boolean(a, b), make)
