"""`Method`: a method of a comparison, resolved and checked on the model before any training."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from qweft.adapter.attach import adapter_config, attach, detach, peft_config_class
from qweft.comparison.checks import check_adapter, check_comparable, check_on_shared, refused, with_steps
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.core.errors import QweftError
from qweft.core.progress import progress
from qweft.method.presets import stated
from qweft.method.specification import default_rate, method_of
from qweft.models.quantization import quantized_as
from qweft.training.trainer import check_rates

SIZES = {
    "ADALORA": "init_r",
    "FOURIERFT": "n_frequency",
    "TINYLORA": "u",
    "UNILORA": "theta_d_length",
    "WAVEFT": "n_frequency",
}
"""The field that sets the number of parameters, for PEFT methods where it is not r."""

FIXED = ("OFT", "RANDLORA", "SUPERTUNING")
"""Methods with an r that does not increase their number of parameters."""


@dataclass(frozen=True)
class Method:
    """A method ready to be trained."""

    name: str
    adapter: dict[str, Any]
    learning_rate: float
    trainable_parameters: int
    rate_of: str | None = None
    searched: bool = False


@progress("checking the methods")
def resolve_methods(config: ComparisonConfig, model: nn.Module) -> list[Method]:
    """Check every method on the model (on the meta device), and choose the ranks that match other methods."""
    adapters: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for name in sorted(config.methods, key=lambda name: config.methods[name].match_parameters is not None):
        wanted = config.methods[name].match_parameters  # methods that match another come after it
        try:
            adapter = stated(config.methods[name].adapter)
            adapters[name] = adapter
            if wanted is not None:
                adapters[name] = matched(model, adapter, counts[wanted])
                check_adapter(adapters[name])  # its rank may lie outside its bounds
            check_on_shared(adapters[name], quantized_as(model))
            counts[name] = count(model, adapters[name], config.training.learning_rates)
        except QweftError as error:
            raise refused(name, wanted, error) from error
    return [
        Method(
            name,
            adapters[name],
            _rate(config, method),
            counts[name],
            rate_of=method.rate_of,
            searched=config.search and method.learning_rate is None and method.rate_of is None,
        )
        for name, method in config.methods.items()
    ]


def _rate(config: ComparisonConfig, method: MethodConfig) -> float:
    source = method if method.rate_of is None else config.methods[method.rate_of]
    given = source.learning_rate or source.search_from or config.training.learning_rate
    return given or default_rate(source.adapter)[0]


def put_on(model: nn.Module, specification: Mapping[str, Any], steps: int | None) -> Any:
    """Attach an adapter to the model, so that only the adapter is trainable; without steps, to count it."""
    config: Any = adapter_config(with_steps(specification, steps))
    check_comparable(specification)
    if steps is None and method_of(specification) == "SHIRA":
        config.mask_fn = None  # it reads weights, and a count, which the sizes tell, has shapes alone
    try:
        return attach(model, config)
    except (AttributeError, IndexError) as error:
        raise QweftError(f"the adapter cannot be put on this model: {error}; correct its fields") from error


def trained(adapted: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by name."""
    # AdaLoRA's rank counter requires gradients on the meta device, and only there
    return {name: p for name, p in adapted.named_parameters() if p.requires_grad and ".ranknum." not in name}


def count(model: nn.Module, specification: Mapping[str, Any], rates: Mapping[str, float] | None = None) -> int:
    """Return the number of trainable parameters of an adapter on a model."""
    own = dict(model.named_parameters(remove_duplicate=False))
    of_base = {id(parameter) for parameter in own.values()}
    adapted = put_on(model, specification, None)
    parameters = trained(adapted)
    try:
        check_rates(adapted, rates or {})
    finally:
        base = detach(adapted)
    shared = [name for name, parameter in parameters.items() if id(parameter) in of_base]
    total = sum(parameter.numel() for parameter in parameters.values())
    after = dict(base.named_parameters(remove_duplicate=False))
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


def matched(model: nn.Module, specification: Mapping[str, Any], wanted: int) -> dict[str, Any]:
    """Return the specification with the rank (or other field) whose parameter count is nearest to the wanted one."""
    field = _size_field(specification)
    sizes: dict[int, int] = {}

    def size(value: int) -> int:
        if value not in sizes:
            sizes[value] = count(model, {**specification, field: value})
        return sizes[value]

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


def _size_field(specification: Mapping[str, Any]) -> str:
    """Return the field of an adapter that increases its number of parameters."""
    if "preset" in specification:
        return "r"
    name = str(specification.get("peft_type")).upper()
    field = SIZES.get(name, "r")
    if name in FIXED or field not in {entry.name for entry in fields(peft_config_class(name))}:
        raise QweftError(f"{name} has no rank that its number of parameters grows with; leave match_parameters out")
    return field
