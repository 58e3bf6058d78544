"""Defaults of a config: the value of every `None` on a layer of rank r."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qweft.core.errors import QweftError

if TYPE_CHECKING:
    from qweft.circuit.description import Circuit
    from qweft.tensornet import Modes

DEFAULT_BASIS = "gradient"
RECORDED, HARDWARE_EFFICIENT = "recorded", "hardware-efficient"
ANSATZES = (RECORDED, HARDWARE_EFFICIENT)
"""Circuits by name; any other value is a text in OpenQASM 3."""


@lru_cache(maxsize=64)
def ansatz_of(circuit: str, qubits: int, layers: int, reupload: bool) -> "Circuit":
    """Return the circuit of this name or text, with as many inputs and outputs as `qubits`."""
    from qweft.circuit import crz_ring_ansatz, hardware_efficient_ansatz
    from qweft.circuit.formats import from_openqasm3

    if circuit == RECORDED:
        return crz_ring_ansatz(qubits, layers, reupload)
    if circuit == HARDWARE_EFFICIENT:
        return hardware_efficient_ansatz(qubits, layers)
    found = from_openqasm3(circuit)
    if (found.inputs, found.outputs) != (qubits, qubits):
        raise QweftError(
            f"the circuit has {found.inputs} inputs (c0, c1, ...) and {found.outputs} outputs, and this adapter's "
            f"takes {qubits} of each; set r or qubits, or change the circuit"
        )
    return found


def default_alpha(r: int) -> int:
    """Return 2 r, the default alpha: the branch is then scaled by 2, as is the convention for LoRA."""
    return 2 * r


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """The structure of a branch of rank r: fields of a config, with its defaults filled in."""

    compress: str
    core: str
    expand: str
    r: int
    alpha: float
    basis: str
    basis_bits: int
    qubits: int
    circuit: str
    circuit_layers: int
    reupload: bool
    fourier_terms: int | None
    width: int
    share: float
    bond_dimension: int
    modes: Mapping[str, list[int]]

    @property
    def scaling(self) -> float:
        """The factor of the branch, s = alpha / r."""
        return self.alpha / self.r

    @property
    def ansatz(self) -> "Circuit":
        """The circuit, R^n -> R^n for n = `qubits`.

        Raises:
            QweftError: If a circuit in OpenQASM 3 is not one of n inputs and n outputs.
        """
        return ansatz_of(self.circuit, self.qubits, self.circuit_layers, self.reupload)

    def modes_of(self, size: int) -> "Modes":
        """Return the factors of a size: the config's own, the recorded ones, or those by rule."""
        from qweft.tensornet import choose_modes  # its package imports PyTorch

        given = self.modes.get(str(size))
        return choose_modes(size, tuple(given) if given is not None else None)


def resolve(given: Mapping[str, Any], r: int | None = None, alpha: float | None = None) -> ResolvedConfig:
    """Return the fields of a config with the default of every `None` filled in, for a layer of rank r."""
    r = given["r"] if r is None else r
    alpha = given["alpha"] if alpha is None else alpha
    qubits = min(given["qubits"] or r, r)
    filled = {
        "r": r,
        "alpha": default_alpha(r) if alpha is None else alpha,
        "basis": given["basis"] or DEFAULT_BASIS,
        "qubits": qubits,
        "circuit_layers": given["circuit_layers"] or (qubits if given["circuit"] in ANSATZES else 1),
        "modes": {str(size): modes for size, modes in (given["modes"] or {}).items()},
    }
    return ResolvedConfig(**{each.name: filled.get(each.name, given[each.name]) for each in fields(ResolvedConfig)})
