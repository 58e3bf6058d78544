"""The one home of defaults: what every `None` of a config means on a layer of rank r."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qweft.errors import QweftError
from qweft.tensornet import Modes, choose_modes

DEFAULT_BASIS = "gradient"


def default_alpha(r: int) -> int:
    """Alpha where none is given: 2 r, so that a branch is scaled by 2, as LoRA is by convention."""
    return 2 * r


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """The structure of a branch of rank r, without a `None` that has a default.

    Args:
        compress: The kind of C.
        core: The name of the core.
        expand: The kind of E.
        r: Rank of the layer.
        alpha: Of the scaling s = alpha / r. `None` became 2 r.
        basis: Directions of fixed maps. `None` became "gradient".
        qubits: Entries of c that the circuit reads, at most r. `None` became r.
        circuit_layers: L. `None` became the number of qubits.
        reupload: Whether the circuit uploads its input before every layer.
        fourier_terms: Terms of the Fourier control. `None` is left to it, since its default needs the circuit's size.
        width: Inner width of operators, and directions of a subspace.
        share: Share of a layer's outputs that a sparse map writes to.
        bond_dimension: Of the operators.
        modes: Factors of sizes that replace the rule's.
    """

    compress: str
    core: str
    expand: str
    r: int
    alpha: float
    basis: str
    qubits: int
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

    def modes_of(self, size: int) -> Modes:
        """Factors of a size: the config's own, the recorded ones, or by rule.

        Raises:
            QweftError: If the config's own factors do not cover the size.
        """
        given = self.modes.get(str(size))
        try:
            return choose_modes(size, tuple(given) if given is not None else None)
        except ValueError as error:
            raise QweftError(str(error)) from error

    def directions(self, d_in: int, d_out: int) -> int:
        """Directions of a subspace on a layer: the width, or as many as the layer has."""
        return min(self.width, d_in, d_out)

    def outputs(self, d_out: int) -> int:
        """Outputs of a layer that a sparse map writes to: the share of them, at least one."""
        return max(1, round(self.share * d_out))


def resolve(fields: Mapping[str, Any], r: int | None = None, alpha: float | None = None) -> ResolvedConfig:
    """Say what every `None` of a config means on a layer.

    Args:
        fields: The config's fields by name; extra ones are ignored.
        r: Rank of the layer, where `rank_pattern` names another. `None` means the config's.
        alpha: Alpha of the layer, where `alpha_pattern` names another. `None` means the config's.
    """
    r = fields["r"] if r is None else r
    alpha = fields["alpha"] if alpha is None else alpha
    qubits = min(fields["qubits"] or r, r)
    return ResolvedConfig(
        compress=fields["compress"],
        core=fields["core"],
        expand=fields["expand"],
        r=r,
        alpha=default_alpha(r) if alpha is None else alpha,
        basis=fields["basis"] or DEFAULT_BASIS,
        qubits=qubits,
        circuit_layers=fields["circuit_layers"] or qubits,
        reupload=fields["reupload"],
        fourier_terms=fields["fourier_terms"],
        width=fields["width"],
        share=fields["share"],
        bond_dimension=fields["bond_dimension"],
        modes=fields["modes"] or {},
    )
