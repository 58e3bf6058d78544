"""What a config may hold, said in one sentence where it does not."""

import math
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from qweft.adapter.core_names import CORES, form_of, function_of, has_circuit
from qweft.errors import QweftError
from qweft.suggest import near

if TYPE_CHECKING:
    from qweft.adapter.config import QwthnConfig

CHOICES = {
    "compress": ("mpo", "dense", "basis", "subspace"),
    "expand": ("mpo", "dense", "basis", "subspace", "sparse"),
    "core": CORES,
    "start": ("recorded", "scaled"),
    "bias": ("none", "all", "qwthn_only"),
}
BASES = ("gradient", "weight", "random")
LARGEST_RANK = 12
"""More qubits take 2^r amplitudes for every token, and the engine's tables for one circuit would take gigabytes."""
LARGEST_WIDTH = 2**16
"""Far beyond any layer's size; larger ones take long to factorise."""
MOST_LAYERS = 1024
"""Of a circuit, whose gates are listed one by one; r are on record."""
MOST_PADDING = 16
"""Times a size that the product of the config's own modes may be: matrices of the padded size are built."""


def closest(name: str, known: Iterable[str]) -> str:
    """'; did you mean ...?' where a known name is near, else nothing."""
    found = near(name, known)
    return f"; did you mean {found[0]!r}?" if found else ""


def _shown(value: Any) -> str:
    """A value in a sentence: as Python writes it, and not longer than one reads."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise QweftError(f"{name} must be a whole number of at least 1, got {_shown(value)}")


def _number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise QweftError(f"{name} must be a number, got {_shown(value)}")


def _expression(name: str, value: Any) -> None:
    try:
        re.compile(value)
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise QweftError(f"{name} {str(value)[:80]!r} is no regular expression: {error}") from error


def _check_types(config: "QwthnConfig") -> None:
    for name in ("modes", "rank_pattern", "alpha_pattern"):
        value = getattr(config, name)
        if value is not None and not isinstance(value, dict):
            raise QweftError(f"{name} must map names to values, as {{name: value}}, got {_shown(value)}")
    for name in ("target_modules", "exclude_modules", "modules_to_save"):
        value = getattr(config, name)
        named = isinstance(value, list | tuple | set) and all(isinstance(item, str) for item in value)
        if value is not None and not named and not (isinstance(value, str) and name != "modules_to_save"):
            raise QweftError(f"{name} must be a list of names, as [q_proj, v_proj], got {_shown(value)}")
    for name in ("target_modules", "exclude_modules", "layers_pattern"):
        if isinstance(value := getattr(config, name), str):
            _expression(name, value)
    for name in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(config, name) or {}:
            _expression(name, pattern)
    mapping = config.auto_mapping
    if mapping is not None and not (isinstance(mapping, dict) and all(isinstance(v, str) for v in mapping.values())):
        raise QweftError(f"auto_mapping must name the base model's class and library, got {_shown(mapping)}")
    chosen = config.trainable_token_indices
    for tokens in chosen.values() if isinstance(chosen, dict) else [] if chosen is None else [chosen]:
        if not isinstance(tokens, list) or not all(type(token) is int and token >= 0 for token in tokens):
            raise QweftError(
                f"trainable_token_indices must be a list of token ids, or lists by module, got {_shown(chosen)}"
            )
    blocks = config.layers_to_transform
    if blocks is not None and not all(type(item) is int for item in (blocks if isinstance(blocks, list) else [blocks])):
        raise QweftError(f"layers_to_transform must be a block number or a list of them, got {_shown(blocks)}")


def check_config(config: "QwthnConfig") -> None:
    """Every field by itself, then the fields together.

    Raises:
        QweftError: Naming the field, the value, and what it may be.
    """
    _check_types(config)
    for name, allowed in CHOICES.items():
        value = getattr(config, name)
        if value not in allowed:
            raise QweftError(
                f"{name} must be one of {', '.join(allowed)}, got {_shown(value)}{closest(str(value)[:80], allowed)}"
            )
    for name in ("r", "width", "bond_dimension"):
        _whole(name, getattr(config, name))
    if config.qubits is not None:
        _whole("qubits", config.qubits)
        if function_of(config.core) is None:
            raise QweftError(
                f"qubits {config.qubits} does nothing with core {config.core!r}, which has no circuit; leave it out"
            )
        if config.qubits > (most := max([config.r, *(config.rank_pattern or {}).values()])):
            raise QweftError(
                f"qubits must be at most r, got {config.qubits} with r = {most}; a circuit reads entries of c"
            )
    if config.basis not in (None, *BASES):
        raise QweftError(
            f"basis must be one of {', '.join(BASES)}, got {config.basis!r}{closest(str(config.basis), BASES)}"
        )
    if config.fourier_terms is not None:
        _whole("fourier_terms", config.fourier_terms)
        if function_of(config.core) != "fourier":
            raise QweftError(
                f"fourier_terms {config.fourier_terms} does nothing with core {config.core!r}; leave it out, or take a "
                "core of the fourier twin: fourier, fourier_linear, fourier_weighted, fourier_gated"
            )
    if config.width > LARGEST_WIDTH:
        raise QweftError(f"width must be at most {LARGEST_WIDTH}, got {config.width}; 256 is on record")
    if config.circuit_layers is not None:
        _whole("circuit_layers", config.circuit_layers)
        if config.circuit_layers > MOST_LAYERS:
            raise QweftError(f"circuit_layers must be at most {MOST_LAYERS}, got {config.circuit_layers}")
    if config.alpha is not None:
        _number("alpha", config.alpha)
    _number("share", config.share)
    if not 0 < config.share <= 1:
        raise QweftError(f"share must be above 0 and at most 1, got {config.share}: of a layer's outputs")
    _number("dropout", config.dropout)
    if not 0 <= config.dropout < 1:
        raise QweftError(f"dropout must be at least 0 and below 1, got {config.dropout}")
    for name in ("reupload", "init_weights"):
        if not isinstance(getattr(config, name), bool):
            raise QweftError(f"{name} must be true or false, got {_shown(getattr(config, name))}")
    for pattern, rank in (config.rank_pattern or {}).items():
        _whole(f"rank_pattern[{pattern!r}]", rank)
    for pattern, alpha in (config.alpha_pattern or {}).items():
        _number(f"alpha_pattern[{pattern!r}]", alpha)
    _check_together(config)


def has_fixed_map(config: "QwthnConfig") -> bool:
    """Whether something about C or E is found before the training, and not trained: directions, or outputs."""
    return bool({"basis", "subspace", "sparse"} & {config.compress, config.expand})


def _check_basis(config: "QwthnConfig") -> None:
    if config.basis is not None and not has_fixed_map(config):
        raise QweftError(
            f"basis {config.basis!r} does nothing with compress {config.compress!r} and expand {config.expand!r}; set "
            "one of them to basis or subspace, or expand to sparse, or leave it out"
        )
    if config.expand == "basis" and (config.core == "identity" or form_of(config.core) in ("weighted", "gated")):
        raise QweftError(
            f"expand 'basis' does not start at zero, and core {config.core!r} has no matrix that would make the branch "
            "zero; take a core that has one: linear, quantum or quantum_linear, or a twin's; or expand 'subspace'"
        )


def _check_together(config: "QwthnConfig") -> None:
    ranks = [config.r, *(config.rank_pattern or {}).values()]
    qubits = config.qubits_on(max(ranks))
    if function_of(config.core) and qubits > LARGEST_RANK:
        raise QweftError(
            f"r = {max(ranks)} means a circuit of {qubits} qubits and 2^{qubits} amplitudes for every token"
            f"{'' if has_circuit(config.core) else ', which core ' + config.core + ' would stand in for'}; "
            f"use r, or qubits, of at most {LARGEST_RANK} with core {config.core!r}, or core 'linear'"
        )
    _check_basis(config)
    for size, modes in (config.modes or {}).items():
        if not str(size).isdecimal() or not isinstance(modes, list) or not all(type(mode) is int for mode in modes):
            raise QweftError(
                f"modes must map sizes to lists of factors, as {{'576': [6, 6, 4, 4]}}, got "
                f"{_shown(size)}: {_shown(modes)}"
            )
        if math.prod(modes) > MOST_PADDING * max(int(size), 4096):
            raise QweftError(
                f"modes {str(modes)[:80]} pad size {size} to {math.prod(modes):,}; choose factors whose product is "
                "little above it"
            )
    if isinstance(config.target_modules, str) and config.layers_to_transform is not None:
        raise QweftError(
            f"layers_to_transform picks blocks from a list of module names, but target_modules is the expression "
            f"{config.target_modules!r}; put the block numbers into the expression, or give a list of names"
        )
    if config.layers_pattern and config.layers_to_transform is None:
        raise QweftError(
            f"layers_pattern {config.layers_pattern!r} does nothing without layers_to_transform; give both"
        )
