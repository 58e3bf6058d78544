"""Matrix product operators: a large matrix as a chain of small cores."""

from qweft.tensornet.modes import Modes, choose_modes
from qweft.tensornet.mpo import MatrixProductOperator, core_shapes, left_multiply, right_multiply

__all__ = [
    "MatrixProductOperator",
    "Modes",
    "choose_modes",
    "core_shapes",
    "left_multiply",
    "right_multiply",
]
