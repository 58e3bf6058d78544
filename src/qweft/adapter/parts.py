"""The parts of an adapter, told by the names of its parameters."""

import re

PARTS = ("circuit", "tensor_network", "linear")
OTHER = "other"
"""What belongs to none of them: another method's parameters, biases, embeddings, heads."""
LINEAR = {"weight", "linear_weight", "quantum_weight"}
"""Names of the matrices in a branch: of C and E beside their network (or alone), K and Q."""
HOLDER = re.compile(r"(?:^|\.)qwthn_(?:compress|core|expand)\.(?:[^.]+)\.(?P<inside>.+)$")


def part_of(name: str) -> str:
    """The part that a parameter of an adapted model belongs to; a twin in the circuit's place counts as "circuit".

    Args:
        name: As `named_parameters` gives it, whatever it is wrapped in.

    >>> part_of("base_model.model.q_proj.qwthn_core.default.angles"), part_of("q_proj.lora_A.default.weight")
    ('circuit', 'other')
    """
    found = HOLDER.search(name)
    return OTHER if found is None else part_inside(found["inside"])


def part_inside(name: str) -> str:
    """The same of a parameter by its name inside a branch's operator or core."""
    if name.startswith("operator."):
        return "tensor_network"
    return "linear" if name.rpartition(".")[2] in LINEAR else "circuit"
