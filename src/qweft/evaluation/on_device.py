"""Models watched while they run, or with their circuits on a device, while everything else runs as usual."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from qweft.adapter import QwthnLinear
from qweft.adapter.attach import base_of
from qweft.adapter.cores import FunctionCore, Measure
from qweft.circuit import Circuit, expectation_values
from qweft.core.errors import QweftError
from qweft.core.text import join_few, many, matching_names
from qweft.devices import Device, RemoteDevice

Choose = Callable[[torch.Tensor], torch.Tensor]
"""From token ids, (rows, tokens), to whether each token goes to the device, a bool tensor of the same shape."""


def circuit_layers(model: nn.Module, patterns: Sequence[str] | None = None) -> dict[str, FunctionCore]:
    """Return the active adapter's cores with a circuit, by layer name in the model's order.

    Args:
        model: The adapted model.
        patterns: Names of layers, ends of names after a dot, or either with * and ?; `None` means all layers.

    Raises:
        QweftError: If no layer has a circuit, a layer has two active adapters with one, or a pattern matches no layer
            with one.
    """
    found: dict[str, FunctionCore] = {}
    for name, layer in model.named_modules():
        for adapter in layer.active_adapters if isinstance(layer, QwthnLinear) else ():
            cores = dict(layer.qwthn_core.items())
            core = cores.get(adapter)
            if isinstance(core, FunctionCore) and core.circuit is not None:
                place = name.removeprefix("base_model.model.")
                if place in found:
                    raise QweftError(f"{place} has two active adapters with a circuit; make one active by set_adapter")
                found[place] = core
    if not found:
        raise QweftError("the adapter has no circuit that a device could run; presets with one are qtha and qwthn")
    if patterns is None:
        return found
    chosen: dict[str, FunctionCore] = {}
    for pattern in patterns:
        met = matching_names(pattern, found)
        if not met:
            raise QweftError(f"layers: {pattern} meets no layer with a circuit; there are {join_few(found)}")
        chosen |= {name: found[name] for name in met}
    return {name: core for name, core in found.items() if name in chosen}  # the model's order


def check_qubits(device: Device | RemoteDevice, circuits: Mapping[str, Circuit]) -> None:
    """Raise if a device has too few qubits for the circuit of a layer, by its name."""
    most = device.limits.qubits
    for name, circuit in circuits.items():
        if most is not None and circuit.qubits > most:
            raise QweftError(
                f"device {device.name} has {many(most, 'qubit')}, and the circuit of {name} needs {circuit.qubits}; "
                "choose another device, other layers, or a lower adapter.r"
            )


@contextmanager
def on_device(
    model: nn.Module, measure: Measure, layers: Sequence[str] | None = None, choose: Choose | None = None
) -> Iterator[None]:
    """Measure the circuits of these layers on a device inside a `with` block.

    Circuits of padding and of tokens that are not chosen run on the exact engine.

    Args:
        model: The adapted model; call it with keyword arguments.
        measure: From circuit, inputs c (tokens, n) and angles to expectation values (tokens, n); for example a
            `Measurer`.
        layers: Patterns as in `circuit_layers`.
        choose: Chooses the tokens to measure; `None` means all.

    Raises:
        QweftError: As `circuit_layers`.
    """
    cores = circuit_layers(model, layers)
    decoders = beyond_the_mask(model)
    adapted: list[Any] = [layer for layer in model.modules() if isinstance(layer, QwthnLinear)]
    owners = {core: layer for layer in adapted for core in layer.qwthn_core.values()}
    kept: torch.Tensor | None = None

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal kept
        kept = _kept(kwargs, choose)

    def measured(core: FunctionCore) -> Measure:
        def values(circuit: Circuit, c: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
            mask = None if owners.get(core) in decoders else kept
            chosen = rows_and_kept(c, mask)[1]
            if bool(chosen.all()):
                return measure(circuit, c, angles)
            exact = expectation_values(circuit, c, angles).reshape(-1, circuit.qubits)
            if bool(chosen.any()):
                places = chosen.nonzero().squeeze(1)
                of_chosen = measure(circuit, c.reshape(-1, circuit.inputs)[places], angles)
                exact = exact.index_copy(0, places, of_chosen.to(exact.dtype))
            return exact.reshape(*c.shape[:-1], circuit.qubits)

        return values

    with ExitStack() as stack:
        # of the base model too: `generate` of an adapted model calls that one, and the mask would be an earlier call's
        for called in dict.fromkeys((model, base_of(model))):
            stack.callback(called.register_forward_pre_hook(before, with_kwargs=True).remove)
        for core in cores.values():
            stack.callback(setattr, core, "measured_by", core.measured_by)
            core.measured_by = measured(core)
        yield


def _kept(kwargs: dict[str, Any], choose: Choose | None) -> torch.Tensor | None:
    """Return which tokens of a call are measured, (rows, tokens); `None` if it has no mask and no choice."""
    ids, kept = kwargs.get("input_ids"), mask_of(kwargs)
    if choose is not None and isinstance(ids, torch.Tensor):
        chosen = choose(ids).to(ids.device)
        kept = chosen if kept is None or kept.shape != chosen.shape else kept & chosen
    return kept


See = Callable[[str, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], None]
"""Takes a layer's name, its input (..., d_in) and output (..., d_out), and row numbers and kept flags of its tokens."""


def rows_and_kept(x: torch.Tensor, mask: torch.Tensor | None, before: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each token's row number, from `before` on, and whether the mask, if it fits, keeps it."""
    tokens = x.numel() // x.shape[-1]
    if mask is None or mask.numel() != tokens:
        mask = torch.ones(x.shape[0], tokens // x.shape[0], dtype=torch.bool)
    rows = torch.arange(len(mask)).repeat_interleave(mask.shape[1])
    return (rows + before).to(x.device), mask.reshape(-1).to(x.device)


def beyond_the_mask(model: Any) -> set[nn.Module]:
    """Return the decoder modules of an encoder-decoder model; the attention mask only covers the encoder's tokens."""
    if not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return set()
    return set(base_of(model).get_decoder().modules())


def mask_of(batch: Mapping[str, Any]) -> torch.Tensor | None:
    """Return a batch's mask (rows, tokens), False at padding; `None` without one."""
    mask = batch.get("attention_mask")
    return mask.bool() if isinstance(mask, torch.Tensor) and mask.dim() == 2 else None


@torch.no_grad()
def watch(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    batches: Iterable[Mapping[str, Any]],
    see: See,
    at_base: bool = True,
) -> None:
    """Run an adapted model on batches, and show what its layers, or their base layers, take and give."""
    decoders, mask, before = beyond_the_mask(model), None, 0

    def hook(name: str, layer: nn.Module) -> Any:
        def after(_: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            see(name, args[0], output, *rows_and_kept(args[0], None if layer in decoders else mask, before))

        return after

    with ExitStack() as stack:
        for name, layer in layers.items():
            at: Any = layer.get_base_layer() if at_base else layer  # type: ignore[operator]
            stack.callback(at.register_forward_hook(hook(name, layer)).remove)
        for batch in batches:
            mask = mask_of(batch)
            model(**batch)
            before += len(next(iter(batch.values())))
