"""Parameter counts of adapters, and the rank that matches a given count."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import nn

from qweft.adapter.attach import adapter_config, detach, peft_config_class
from qweft.comparison.adapters import put_on, trained
from qweft.errors import QweftError
from qweft.training.trainer import check_rates

SIZES = {
    "ADALORA": "init_r",
    "FOURIERFT": "n_frequency",
    "TINYLORA": "u",
    "UNILORA": "theta_d_length",
    "WAVEFT": "n_frequency",
}
"""The field that sets the number of parameters, for PEFT methods where it is not r."""

NONE = ("OFT", "RANDLORA", "SUPERTUNING")
"""Methods with an r that does not increase their number of parameters."""


def count(model: nn.Module, specification: Mapping[str, Any], rates: Mapping[str, float] | None = None) -> int:
    """Return the number of trainable parameters of an adapter on a model."""
    own = dict(model.named_parameters(remove_duplicate=False))
    of_base = {id(parameter) for parameter in own.values()}
    adapted = put_on(model, specification, None)
    parameters = trained(adapted)
    try:
        check_rates(adapted, rates or {})
    except QweftError:
        detach(adapted)
        raise
    shared = [name for name, parameter in parameters.items() if id(parameter) in of_base]
    total = sum(parameter.numel() for parameter in parameters.values()) + _left_out(specification, parameters)
    after = dict(detach(adapted).named_parameters(remove_duplicate=False))
    if shared:
        raise QweftError(
            f"it trains {shared[0].removeprefix('base_model.model.')} of the base model itself, which the runs of a "
            "comparison share; leave that out (bias, for one)"
        )
    if not total:
        raise QweftError("it trains no parameter of this model; give it more, or leave it out")
    if after.keys() != own.keys() or any(after[name] is not own[name] for name in own):
        raise QweftError("it does not come off the base model, which the runs of a comparison share; leave it out")
    return total


def _left_out(specification: Mapping[str, Any], parameters: Mapping[str, nn.Parameter]) -> int:
    """Return the parameters that PEFT does not make on shapes alone: of MonteCLoRA r + num_samples a layer."""
    if not specification.get("monteclora_config"):
        return 0
    if any("monteclora_sampler" in name for name in parameters):
        return 0
    config: Any = adapter_config(specification)
    samples: int = config.monteclora_config.num_samples
    return sum(len(parameter) + samples for name, parameter in parameters.items() if ".lora_A." in name)


def size_field(specification: Mapping[str, Any]) -> str:
    """Return the field of an adapter that increases its number of parameters."""
    if "preset" in specification:
        return "r"
    name = str(specification.get("peft_type")).upper()
    field = SIZES.get(name, "r")
    if name in NONE or field not in {entry.name for entry in fields(peft_config_class(name))}:
        raise QweftError(f"{name} has no rank that its number of parameters grows with; leave match_parameters out")
    return field


def matched(model: nn.Module, specification: Mapping[str, Any], wanted: int) -> dict[str, Any]:
    """Return the specification with the rank (or other field) whose parameter count is nearest to the wanted one."""
    field = size_field(specification)
    found: dict[int, int] = {}

    def size(value: int) -> int:
        if value not in found:
            found[value] = count(model, {**specification, field: value})
        return found[value]

    qubits = specification.get("qubits")
    low = high = max(1, qubits) if field == "r" and isinstance(qubits, int) else 1  # a rank is at least the qubits
    while size(high) < wanted:
        if high > low and size(high) <= size(low):
            raise QweftError(
                f"the number of parameters does not grow with {field} to {wanted:,}: it is {size(low):,} at {low} and "
                f"{size(high):,} at {high}"
            )
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < wanted else (low, middle)
    return {**specification, field: min((low, high), key=lambda value: (abs(size(value) - wanted), value))}
