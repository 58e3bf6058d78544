"""One branch from a config and a layer's sizes: its three parts, and how many parameters each has."""

from qweft.adapter.basis_maps import BasisCompress, BasisExpand, SparseExpand, SubspaceCompress, SubspaceExpand
from qweft.adapter.config import QwthnConfig
from qweft.adapter.cores import make_core
from qweft.adapter.maps import DenseMap, LinearMap, MpoCompress, MpoExpand
from qweft.adapter.prepared import Branch
from qweft.errors import QweftError
from qweft.tensornet import Modes, choose_modes


def modes_for(config: QwthnConfig, size: int) -> Modes:
    """Modes of a size: the config's own, the recorded ones, or by rule.

    Raises:
        QweftError: If the config's own modes do not cover the size.
    """
    given = (config.modes or {}).get(str(size))
    try:
        return choose_modes(size, tuple(given) if given is not None else None)
    except ValueError as error:
        raise QweftError(str(error)) from error


def directions_in(config: QwthnConfig, into: int, out: int) -> int:
    """Directions of a subspace on a layer: the config's width, or as many as the layer has."""
    return min(config.width, into, out)


def outputs_in(config: QwthnConfig, out: int) -> int:
    """Outputs of a layer that a sparse map writes to: the config's share, and at least one."""
    return max(1, round(config.share * out))


def _make_compress(config: QwthnConfig, into: int, r: int, out: int) -> LinearMap:
    """C: into -> r."""
    if config.compress == "subspace":
        return SubspaceCompress(into, directions_in(config, into, out), r, config.basis or "gradient")
    if config.compress == "dense":
        return DenseMap(into, r)
    if config.compress == "basis":
        _check_basis(r, into, "d_in")
        return BasisCompress(into, r, config.basis or "gradient")
    try:
        return MpoCompress(modes_for(config, into), modes_for(config, config.width), r, config.bond_dimension)
    except ValueError as error:
        raise QweftError(f"compress {into} -> {config.width}: {error}; give both sizes in modes") from error


def _make_expand(config: QwthnConfig, into: int, r: int, out: int) -> LinearMap:
    """E: r -> out."""
    if config.expand == "subspace":
        return SubspaceExpand(r, directions_in(config, into, out), out, config.basis or "gradient")
    if config.expand == "sparse":
        return SparseExpand(r, outputs_in(config, out), out, config.basis or "gradient")
    if config.expand == "dense":
        return DenseMap(r, out)
    if config.expand == "basis":
        _check_basis(r, out, "d_out")
        return BasisExpand(r, out, config.basis or "gradient")
    try:
        return MpoExpand(r, modes_for(config, config.width), modes_for(config, out), config.bond_dimension)
    except ValueError as error:
        raise QweftError(f"expand {config.width} -> {out}: {error}; give both sizes in modes") from error


def _check_basis(r: int, size: int, side: str) -> None:
    if r > size:
        raise QweftError(
            f"r = {r} directions cannot be a basis of a layer with {side} = {size}; choose r of at most {size}, by "
            "rank_pattern for this layer alone"
        )


def make_branch(config: QwthnConfig, into: int, r: int, out: int) -> Branch:
    """The branch into -> r -> out, its parameters not yet started.

    Raises:
        QweftError: If the config's modes do not fit the layer, or it has fewer directions than the basis.
    """
    core = make_core(config.core, r, config.depth_on(r), config.reupload, config.fourier_terms, config.qubits_on(r))
    branch = Branch(_make_compress(config, into, r, out), core, _make_expand(config, into, r, out))
    if "basis" in (config.compress, config.expand) and config.basis != "random" and r > min(into, out):
        raise QweftError(
            f"r = {r} directions of basis {config.basis or 'gradient'!r} are more than a layer with d_in = {into} and "
            f"d_out = {out} has; choose r of at most {min(into, out)}, by rank_pattern for this layer alone, or basis "
            "'random'"
        )
    return branch
