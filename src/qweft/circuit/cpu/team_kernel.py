"""What each thread of an OpenMP team runs: the first call a function, others must not take the interpreter's lock."""

from typing import Any

import numba
import numba.extending
import numpy as np
from llvmlite import ir

carray, cfunc, types, intrinsic = numba.carray, numba.cfunc, numba.types, numba.extending.intrinsic

POINTER = ir.IntType(8).as_pointer()


@intrinsic
def _next_ticket(_: Any, address: Any) -> Any:
    """Return the 64-bit integer at the address, and add 1 to it, as one step for all threads."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.bitcast(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(address), emit


@intrinsic
def _call(_: Any, function: Any) -> Any:
    """Call the C function at the address, which takes a pointer that it does not read."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [POINTER])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [ir.Constant(POINTER, None)])
        return context.get_dummy_value()

    return types.void(function), emit


@cfunc(types.void(types.voidptr), cache=True)
def run(data: Any) -> None:
    """Call the function if a ticket is left; data: address of int64: tickets taken, tickets, function's address."""
    numbers = carray(data, 3, np.int64)
    if _next_ticket(data) < numbers[1]:
        _call(numbers[2])
