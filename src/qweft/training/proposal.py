"""A width and a bond dimension that save what the paper's configuration saves."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from qweft.adapter.branch import count_parameters
from qweft.adapter.config import QwthnConfig
from qweft.adapter.cores import function_of

PAPER_SAVING = 1 - 772_800 / 3_153_920
"""75.5%: what the configuration that reproduces the paper's claim saves (configs/paper-7b.yaml)."""

WIDTHS = (256, 192, 128, 96, 64, 48, 32, 24, 16, 8)
BONDS = (16, 12, 8, 6, 4, 3, 2, 1)


@dataclass(frozen=True)
class Proposal:
    """Sizes of the tensor network for this model.

    Args:
        width: Inner width.
        bond_dimension: Bond dimension.
        circuit_layers: Layers of the circuit, where the default (r) would not leave room.
        trainable_parameters: What they train.
        difference_to_lora: Relative to LoRA of the same rank, as "-76.1%".
    """

    width: int
    bond_dimension: int
    circuit_layers: int | None
    trainable_parameters: int
    difference_to_lora: str

    def to_json(self) -> dict[str, Any]:
        """The proposal as JSON can hold it."""
        return asdict(self)

    def __str__(self) -> str:
        layers = f" --adapter.circuit_layers {self.circuit_layers}" if self.circuit_layers else ""
        return (
            f"--adapter.width {self.width} --adapter.bond_dimension {self.bond_dimension}{layers} trains "
            f"{self.trainable_parameters:,} parameters, {self.difference_to_lora} against LoRA of the same rank"
        )


def propose(config: QwthnConfig, shapes: list[tuple[int, int, int]]) -> Proposal | None:
    """The largest network that still saves at least `PAPER_SAVING` against LoRA of the same rank, or none.

    Largest in parameters; of equally large ones the stronger bond. The circuit keeps its layers where that leaves room,
    else it gets fewer.

    Args:
        config: The adapter as the user has it.
        shapes: (d_in, d_out, rank) of each adapted layer.
    """
    lora = sum(r * (into + out) for into, out, r in shapes)
    full = config.resolved().circuit_layers
    shallower = [depth for depth in (8, 6, 4, 3, 2, 1) if depth < full] if function_of(config.core) else []
    for depth in (full, *shallower):
        best: tuple[int, int, int] | None = None
        for width in WIDTHS:
            for bond in BONDS:
                changed = replace(config, width=width, bond_dimension=bond, circuit_layers=depth)
                count = sum(sum(count_parameters(changed, into, out, r).values()) for into, out, r in shapes)
                if count <= (1 - PAPER_SAVING) * lora and (best is None or (count, bond) > (best[0], best[2])):
                    best = (count, width, bond)
        if best is not None:
            count, width, bond = best
            return Proposal(width, bond, depth if depth != full else None, count, f"{100 * (count / lora - 1):+.1f}%")
    return None
