"""The named members of the family."""

PRESETS: dict[str, dict[str, str]] = {
    "qtha": {"compress": "mpo", "core": "quantum_linear", "expand": "mpo"},
    "qwthn": {"compress": "mpo", "core": "quantum_weighted", "expand": "mpo"},
    "quantum_lora": {"compress": "dense", "core": "quantum_linear", "expand": "dense"},
    "mpo": {"compress": "mpo", "core": "linear", "expand": "mpo"},
    "lora": {"compress": "dense", "core": "identity", "expand": "dense"},
}
"""Fields of `QwthnConfig` that each preset sets (METHOD.md section 1)."""

DESCRIPTIONS = {
    "qtha": "tensor networks around a circuit added to a linear map (v2 of the paper): h = Q q(c) + K c",
    "qwthn": "tensor networks around a circuit that weights its input (v1 of the paper): h = q(c) * c",
    "quantum_lora": "dense maps around a circuit added to a linear map: h = Q q(c) + K c",
    "mpo": "tensor networks around a linear map, no circuit: h = K c",
    "lora": "dense maps and nothing between: LoRA's formula, a check of the family",
}


def presets() -> dict[str, str]:
    """The presets, each with a line that says what it is; make one with `QwthnConfig.preset(name, **changes)`."""
    return dict(DESCRIPTIONS)
