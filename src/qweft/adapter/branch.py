"""One branch from a config and a layer's sizes: its three parts, and how many parameters each has."""

from qweft.adapter.config import QwthnConfig
from qweft.adapter.cores import Core, make_core
from qweft.adapter.maps import ContractedMap, DenseMap, MpoCompress, MpoExpand
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


def make_compress(config: QwthnConfig, into: int, r: int) -> ContractedMap:
    """C: into -> r."""
    if config.compress == "dense":
        return DenseMap(into, r)
    try:
        return MpoCompress(modes_for(config, into), modes_for(config, config.width), r, config.bond_dimension)
    except ValueError as error:
        raise QweftError(f"compress {into} -> {config.width}: {error}; give both sizes in modes") from error


def make_expand(config: QwthnConfig, r: int, out: int) -> ContractedMap:
    """E: r -> out."""
    if config.expand == "dense":
        return DenseMap(r, out)
    try:
        return MpoExpand(r, modes_for(config, config.width), modes_for(config, out), config.bond_dimension)
    except ValueError as error:
        raise QweftError(f"expand {config.width} -> {out}: {error}; give both sizes in modes") from error


def make_branch_core(config: QwthnConfig, r: int) -> Core:
    """The core: r -> r."""
    return make_core(config.core, r, config.circuit_layers or r, config.reupload)
