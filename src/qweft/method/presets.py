"""The presets: named configurations of the method."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from qweft.core.errors import QweftError
from qweft.method.checks import closest
from qweft.method.names import form_of, function_of


class Preset(NamedTuple):
    """A named configuration."""

    fields: dict[str, Any]
    description: str
    rates: Mapping[str, float] = {}  # learning rates by start (docs/method.md)

    @property
    def rate(self) -> float:
        """The learning rate with the default start."""
        return self.rates["small"]


SIZES = {"r": 4, "width": 16, "bond_dimension": 4}
"""The sizes of all published runs of these presets. The recorded ones cost more than LoRA on a small model."""
TENSOR_NETWORKS = {"compress": "mpo", "expand": "mpo", "start": "small", **SIZES}
"""Records state the start, which has been another one: it decides with which learning rates a training goes well."""


def _at_any_start(rate: float) -> dict[str, float]:
    return {"recorded": rate, "small": rate, "scaled": rate}


QTHA = Preset(
    {**TENSOR_NETWORKS, "core": "quantum_linear"},
    "tensor networks around a circuit added to a linear map (v2 of the paper): h = Q q(c) + K c",
    {"recorded": 7e-4, "small": 1e-2, "scaled": 1e-2},
)
QWTHN = Preset(
    {**TENSOR_NETWORKS, "core": "quantum_weighted"},
    "tensor networks around a circuit that weights its input (v1 of the paper): h = q(c) * c",
    {"recorded": 2.4e-3, "small": 1.4e-2, "scaled": 1e-2},
)
PRESETS: dict[str, Preset] = {
    "qtha": QTHA,
    "qwthn": QWTHN,
    "quantum_lora": Preset(
        {"compress": "dense", "core": "quantum_linear", "expand": "dense", "r": 4},
        "dense maps around a circuit added to a linear map: h = Q q(c) + K c",
        _at_any_start(2e-3),
    ),
    "qtha_cnot": Preset(
        {**QTHA.fields, "circuit": "hardware-efficient"},
        "qtha with a circuit of RY, RZ and CNOT gates in place of the recorded one; Qweft's own choice",
        QTHA.rates,
    ),
    "qwthn_cnot": Preset(
        {**QWTHN.fields, "circuit": "hardware-efficient"},
        "qwthn with a circuit of RY, RZ and CNOT gates in place of the recorded one; Qweft's own choice",
        QWTHN.rates,
    ),
    "mpo": Preset(
        {**TENSOR_NETWORKS, "core": "linear"},
        "tensor networks around a linear map, no circuit: h = K c",
        {"recorded": 6e-4, "small": 1e-2, "scaled": 1e-2},
    ),
    "subspace": Preset(
        {"compress": "subspace", "core": "identity", "expand": "subspace", "r": 4, "width": 64, "basis_bits": 4},
        "a LoRA between the leading directions of the loss's gradient, which are fixed, no circuit: h = c",
        _at_any_start(8e-3),
    ),
    "readout": Preset(
        {"compress": "basis", "basis": "random", "core": "identity", "expand": "dense", "r": 1, "basis_bits": 1},
        "a LoRA whose first matrix is drawn at random and not trained, no circuit: h = c",
        _at_any_start(3.2e-2),
    ),
    "sparse": Preset(
        {
            "compress": "subspace",
            "core": "identity",
            "expand": "sparse",
            "r": 1,
            "width": 8,
            "share": 0.32,
            "basis_bits": 4,
        },
        "a LoRA that writes to a third of a layer's outputs, those with the largest gradient, no circuit: h = c",
        _at_any_start(1.2e-2),
    ),
    "lora": Preset(
        {"compress": "dense", "core": "identity", "expand": "dense"},
        "dense maps and nothing between: LoRA's formula, a check of the family",
        _at_any_start(2e-3),
    ),
}
"""Presets by name (docs/method.md; "subspace", "readout" and "sparse" are ours)."""


RATES_LOSS = 4.7
"""Loss of the base model, in nats a token, on the dialogues on which these rates were found (docs/training.md)."""


def learning_rate_hint(fields: Mapping[str, Any]) -> float | None:
    """Return the learning rate of the preset with these compress, core, expand and start, else `None`."""

    def structure(given: Mapping[str, Any]) -> tuple[Any, ...]:
        core = given["core"]
        return given["compress"], given["expand"], form_of(core), function_of(core) is None

    for preset in PRESETS.values():
        if structure(preset.fields) == structure(fields):
            return preset.rates.get(fields["start"])
    return None


def presets() -> dict[str, str]:
    """Return the presets by name, each with a one-line description; `QwthnConfig.preset(name, **changes)` makes one."""
    return {name: preset.description for name, preset in PRESETS.items()}


def stated(specification: Mapping[str, Any]) -> dict[str, Any]:
    """Return a specification with the fields of its preset, as records hold it: a preset may change."""
    preset = PRESETS.get(str(specification.get("preset")))
    return {**specification, **(preset.fields if preset else {}), **specification}


def read_circuits(given: Any) -> Any:
    """Return what a user gives, with texts of circuits for names of .qasm files."""
    # never for records: a stranger's would name a file of the user's
    if isinstance(given, list):
        return [read_circuits(each) for each in given]
    if not isinstance(given, Mapping):
        return given
    found = {key: read_circuits(value) for key, value in given.items()}
    circuit = found.get("circuit")
    if isinstance(circuit, str) and circuit.endswith(".qasm"):
        try:
            found["circuit"] = Path(circuit).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise QweftError(f"circuit {circuit!r} cannot be read: {error}") from error
    return found


def with_preset(name: str, changes: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return the fields of a preset with changes; raise `QweftError` for an unknown preset, or a field not `known`."""
    if name not in PRESETS:
        raise QweftError(f"there is no preset {name!r}{closest(name, PRESETS)}; presets: {', '.join(PRESETS)}")
    for key in changes:
        if key not in known:
            way = closest(key, known) or f"; fields: {', '.join(known)}"
            raise QweftError(f"QwthnConfig has no field {key!r}{way}")
    return {**PRESETS[name].fields, **changes}
