"""How candidates of one family are written down: each builder sets what its family has in common."""

from dataclasses import dataclass, field
from typing import Any

from research.changes import Change, gradient_start, shared_maps
from research.circuits import several_reads
from research.maps import random_reads

ATTENTION = ["q_proj", "v_proj"]
BEST = ["v_proj", "o_proj", "down_proj"]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SIZES = {"r": 4, "circuit_layers": 2, "width": 16, "bond_dimension": 4}
"""Of the recorded presets in docs/results.md: 56,880 numbers on q_proj and v_proj."""


@dataclass(frozen=True)
class Candidate:
    """One of them.

    Args:
        adapter: As in a run's config.
        expected: What was expected, in a few words, against the method that it changes.
        rates: Learning rates that are tried.
        change: What no config can say.
        part_rates: Rates of parts, as multiples of the rate.
        basis_rows: Training rows by whose gradient directions are found.
        decay: AdamW's weight decay by part; asks for a rate of some part in part_rates.
        constant: Parts whose rate does not fall after the warm-up; likewise.
    """

    adapter: dict[str, Any]
    expected: str
    rates: tuple[float, ...] = (4e-3,)
    change: Change | None = None
    part_rates: dict[str, float] = field(default_factory=dict)
    basis_rows: int = 64
    decay: dict[str, float] = field(default_factory=dict)
    constant: tuple[str, ...] = ()

    @property
    def optimizes(self) -> bool:
        """Whether the optimizer is to treat parts differently in more than their rates."""
        return bool(self.decay or self.constant)


def lora(r: int, targets: list[str], *rates: float) -> Candidate:
    """Return PEFT's LoRA, the method to beat."""
    return Candidate({"peft_type": "LORA", "r": r, "target_modules": targets}, "what is to be beaten", rates)


def recorded(
    expected: str,
    change: Change | None = None,
    part_rates: dict[str, float] | None = None,
    decay: dict[str, float] | None = None,
    constant: tuple[str, ...] = (),
    **changes: Any,
) -> Candidate:
    """Return the recorded hybrid on q_proj and v_proj, changed."""
    adapter = {"preset": "qtha", **SIZES, "target_modules": ATTENTION, **changes}
    rates = (5e-3, 1e-2, 2e-2)
    return Candidate(adapter, expected, rates, change, part_rates or {}, decay=decay or {}, constant=constant)


def basis(
    expected: str,
    r: int = 24,
    targets: list[str] = BEST,
    rates: tuple[float, ...] = (4e-3,),
    change: Change | None = None,
    **changes: Any,
) -> Candidate:
    """C and E are fixed bases of r directions, and K between them is trained, or what the change makes of it."""
    maps = {"preset": "mpo", "compress": "basis", "expand": "basis", "r": r}
    return Candidate({**maps, "target_modules": targets, **changes}, expected, rates, change)


def half(expected: str, r: int) -> Candidate:
    """C is a fixed basis, E is trained."""
    adapter = {"preset": "lora", "compress": "basis", "r": r, "target_modules": BEST}
    return Candidate(adapter, expected, (4e-3, 8e-3, 1.6e-2))


def started(expected: str, r: int) -> Candidate:
    """C and E are trained, and C starts at the gradient's directions."""
    adapter = {"preset": "lora", "r": r, "target_modules": BEST}
    return Candidate(adapter, expected, (4e-3, 8e-3, 1.6e-2), gradient_start)


def subspace(expected: str, change: Change, targets: list[str] = BEST, width: int = 64) -> Candidate:
    """A LoRA of rank 4 between bases of `width` directions, changed."""
    return basis(expected, width, targets, (8e-3, 1.6e-2), change)


def shared(expected: str, r: int) -> Candidate:
    """One C and one E for all layers of a kind, a K of its own for each layer; no circuit."""
    adapter = {"preset": "mpo", "compress": "dense", "expand": "dense", "r": r, "target_modules": ALL}
    return Candidate(adapter, expected, (4e-3, 8e-3, 1.6e-2), shared_maps)


def gated(expected: str, core: str) -> Candidate:
    """The preset subspace with a gate."""
    adapter = {"preset": "subspace", "core": core, "circuit_layers": 1, "target_modules": BEST}
    return Candidate(adapter, expected, (8e-3, 1.6e-2))


def preset(expected: str, r: int, width: int, change: Change | None = None, rows: int = 64) -> Candidate:
    """The preset subspace on all linear layers, its directions found on so many rows, changed."""
    adapter = {"preset": "subspace", "r": r, "width": width, "target_modules": ALL}
    return Candidate(adapter, expected, (1.1e-2, 1.6e-2), change, basis_rows=rows)


def reads(expected: str, width: int, targets: list[str], rows: int = 64, change: Change | None = None) -> Candidate:
    """C is trained between `width` directions of the gradient, and E is dense."""
    adapter = {"preset": "lora", "compress": "subspace", "r": 1, "width": width, "target_modules": targets}
    return Candidate(adapter, expected, (8e-3, 1.6e-2), change, basis_rows=rows)


def summed(expected: str, core: str = "quantum_gated", weighted: bool = True) -> Candidate:
    """Four reads of 16 directions, weighted by a circuit and summed, written to a share of the outputs."""
    adapter = {"preset": "lora", "core": core, "compress": "subspace", "r": 4, "width": 16, "circuit_layers": 1}
    return Candidate({**adapter, "target_modules": ALL}, expected, (4e-3, 8e-3), several_reads(0.234, weighted))


def one_network(expected: str, change: Change, r: int, targets: list[str]) -> Candidate:
    """Dense C and E for all layers, by size, and K along the axes of block and kind."""
    adapter = {"preset": "mpo", "compress": "dense", "expand": "dense", "r": r, "target_modules": targets}
    return Candidate(adapter, expected, (5e-3, 1e-2, 2e-2), change)


def network(expected: str, change: Change | None, targets: list[str] = ALL, r: int = 1, **changes: Any) -> Candidate:
    """Dense maps, or others, with an axis for the layer: a tensor network of rank `knots` over the depth."""
    adapter = {"preset": "lora", "r": r, "target_modules": targets, **changes}
    return Candidate(adapter, expected, (8e-3, 1.6e-2), change)


def written(expected: str, r: int) -> Candidate:
    """C reads r random directions and is not trained; E is trained between 64 directions of the gradient."""
    adapter = {"preset": "readout", "basis": "gradient", "expand": "subspace", "r": r, "width": 64}
    return Candidate({**adapter, "target_modules": ALL}, expected, (8e-3, 1.6e-2), random_reads)
