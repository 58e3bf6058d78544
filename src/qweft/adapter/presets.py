"""The presets: named configurations of the method."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "qtha": {"compress": "mpo", "core": "quantum_linear", "expand": "mpo"},
    "qwthn": {"compress": "mpo", "core": "quantum_weighted", "expand": "mpo"},
    "quantum_lora": {"compress": "dense", "core": "quantum_linear", "expand": "dense"},
    "mpo": {"compress": "mpo", "core": "linear", "expand": "mpo"},
    "subspace": {"compress": "subspace", "core": "identity", "expand": "subspace", "r": 4, "width": 64},
    "readout": {"compress": "basis", "basis": "random", "core": "identity", "expand": "dense", "r": 1},
    "sparse": {"compress": "subspace", "core": "identity", "expand": "sparse", "r": 1, "width": 32, "share": 0.32},
    "lora": {"compress": "dense", "core": "identity", "expand": "dense"},
}
"""Fields of `QwthnConfig` that each preset sets (docs/method.md; "subspace", "readout" and "sparse" are ours)."""

DESCRIPTIONS = {
    "qtha": "tensor networks around a circuit added to a linear map (v2 of the paper): h = Q q(c) + K c",
    "qwthn": "tensor networks around a circuit that weights its input (v1 of the paper): h = q(c) * c",
    "quantum_lora": "dense maps around a circuit added to a linear map: h = Q q(c) + K c",
    "mpo": "tensor networks around a linear map, no circuit: h = K c",
    "subspace": "a LoRA between the leading directions of the loss's gradient, which are fixed, no circuit: h = c",
    "readout": "a LoRA whose first matrix is drawn at random and not trained, no circuit: h = c",
    "sparse": "a LoRA that writes to a third of a layer's outputs, those with the largest gradient, no circuit: h = c",
    "lora": "dense maps and nothing between: LoRA's formula, a check of the family",
}


def presets() -> dict[str, str]:
    """Return the presets by name, each with a one-line description; `QwthnConfig.preset(name, **changes)` makes one."""
    return dict(DESCRIPTIONS)
