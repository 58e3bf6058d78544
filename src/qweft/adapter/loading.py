"""Checks an adapter's file before PEFT or transformers load it; a failed load leaves the model unchanged.

PEFT and transformers offer no hook before a pickle is opened or weights of the base model are overwritten. So the three
functions that every load of a file goes through are wrapped in memory, once. Adapters of other methods load as before.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from peft import PeftConfig
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

from qweft.adapter.batched_build import unwatch
from qweft.adapter.config import peft_type
from qweft.adapter.folder import HUB_ARGUMENTS, SCALES, check_same_structure, find_config, find_weights, read_header
from qweft.adapter.layer import QwthnLinear
from qweft.adapter.merging import check_not_merged
from qweft.adapter.strict_loading import check_finite, check_tensors, has_copy
from qweft.errors import QweftError
from qweft.internals.keys import COMPILED, is_compiled
from qweft.internals.peft import HAS_ADAPTERS, renames_keys, replace_peft_loading, replace_transformers_loading

KEYS_CHANGE: Mapping[str, torch.Tensor] = {}
"""Announced if keys are renamed while the file is read, so that they can only be checked then."""
_announced: ContextVar[Mapping[str, torch.Tensor] | None] = ContextVar("announced", default=None)


def check_announced(model: nn.Module, adapter_name: str, config: Any) -> None:
    """Check an adapter that was just attached against the file that is about to be loaded into it, if any."""
    found = _announced.get()
    if found is not None and found is not KEYS_CHANGE:
        check_tensors(model, adapter_name, config, found)


def reads_a_file() -> bool:
    """Whether an adapter is being loaded from a file rather than from tensors of the caller."""
    return _announced.get() is not None


@contextmanager
def _announcing(found: Mapping[str, torch.Tensor]) -> Iterator[None]:
    token = _announced.set(found)
    try:
        yield
    finally:
        _announced.reset(token)


@contextmanager
def untouched_on_error(root: nn.Module, adapter_name: str) -> Iterator[None]:
    """If the body fails, detach the adapter and restore modules, `requires_grad` and PEFT's attributes."""
    modules = set(root.modules())
    gradients = [(parameter, parameter.requires_grad) for parameter in root.parameters()]
    modes = [(module, module.training) for module in modules]
    # PEFT stores the config before it attaches the adapter, so only the layers show whether it was there
    known = {module for module in modules if _has(module, adapter_name)}
    configs = dict(getattr(root, "peft_config", None) or {})
    notes = {name: root.__dict__.get(name) for name in ("peft_config", HAS_ADAPTERS)}
    try:
        yield
    except BaseException:
        for path, module in list(root.named_modules()):
            if not isinstance(module, QwthnLinear | AuxiliaryTrainingWrapper):
                continue
            if module not in modules:
                parent, _, name = path.rpartition(".")
                # one level: below it may be another method's layer
                inner = module.base_layer if isinstance(module, QwthnLinear) else module.original_module
                setattr(root.get_submodule(parent), name, inner)
            elif module not in known:
                _drop(module, adapter_name)
        if not any(isinstance(module, QwthnLinear) for module in root.modules()):
            unwatch(root)
        for parameter, flag in gradients:
            parameter.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode
        current = getattr(root, "peft_config", None)
        if isinstance(current, dict) and (adapter_name not in configs or not known):
            current.pop(adapter_name, None)
        for name, value in notes.items():
            if value is None:
                root.__dict__.pop(name, None)
            else:
                root.__dict__[name] = value
        if root.__dict__.get(HAS_ADAPTERS) and not getattr(root, "peft_config", None):
            root.__dict__[HAS_ADAPTERS] = False  # transformers sets it before it tries
        raise


def _has(module: Any, adapter_name: str) -> bool:
    if isinstance(module, QwthnLinear):
        return adapter_name in module.qwthn_compress
    return isinstance(module, AuxiliaryTrainingWrapper) and has_copy(module, adapter_name)


def _drop(module: Any, adapter_name: str) -> None:
    """Remove an adapter from a layer that has others, if it is there."""
    active = [name for name in module.active_adapters if name != adapter_name]
    module.delete_adapter(adapter_name, *([active] if isinstance(module, AuxiliaryTrainingWrapper) else []))


def _is_qwthn(adapter: Any, config: Any, hub: Mapping[str, Any]) -> bool:
    """Whether the config, or that of the folder or hub id, is of this method."""
    found = config.get("peft_type") if isinstance(config, dict) else getattr(config, "peft_type", None)
    if found is None and adapter is not None:
        try:
            found = PeftConfig.from_json_file(str(find_config(adapter, **hub)))["peft_type"]
        except (ValueError, KeyError, TypeError, RecursionError):  # the wrapped function reports it in its own words
            return False
    return found is not None and found == peft_type()


def _config_of(adapter: Any, hub: Mapping[str, Any]) -> Any:
    return PeftConfig.from_pretrained(str(adapter), **hub)


def _hub_arguments(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that decide where a file is fetched from; later sources win, and `None` is dropped."""
    merged = {name: value for source in sources for name, value in source.items() if value is not None}
    return {name: merged[name] for name in HUB_ARGUMENTS if name in merged}


def check_files_in_peft() -> None:
    """Wrap PEFT's loading calls; `AutoPeftModel` uses them, too."""
    replace_peft_loading(_peft_from_pretrained, _peft_load_adapter)


def check_files_in_transformers() -> None:
    """Wrap transformers' loading call; `from_pretrained` of an adapter uses it, too."""
    replace_transformers_loading(_transformers_load_adapter)


def _peft_from_pretrained(original: Any) -> Any:
    def from_pretrained(
        cls: Any, model: Any, model_id: Any, adapter_name: str = "default", *args: Any, **kwargs: Any
    ) -> Any:
        bound = inspect.signature(original).bind_partial(cls, model, model_id, adapter_name, *args, **kwargs)
        hub = _hub_arguments(bound.arguments.get("kwargs", {}))
        config = bound.arguments.get("config")
        if not _is_qwthn(model_id, config, hub):
            return original(cls, model, model_id, adapter_name, *args, **kwargs)
        if config is not None:
            check_same_structure(_config_of(model_id, hub), config, f"the adapter in {model_id}")
        found = read_header(find_weights(model_id, **hub))
        renamed = bound.arguments.get("key_mapping") or renames_keys(model)
        with untouched_on_error(model, adapter_name), _announcing(KEYS_CHANGE if renamed else found):
            adapted = original(cls, model, model_id, adapter_name, *args, **kwargs)
            check_finite(adapted, adapter_name, adapted.peft_config[adapter_name])
        return adapted

    return from_pretrained


def _peft_load_adapter(original: Any) -> Any:
    def load_adapter(self: Any, model_id: Any, adapter_name: str, *args: Any, **kwargs: Any) -> Any:
        hub = _hub_arguments(kwargs)
        present = self.peft_config.get(adapter_name)
        if not _is_qwthn(model_id, present, hub):
            return original(self, model_id, adapter_name, *args, **kwargs)
        bound = inspect.signature(original).bind_partial(self, model_id, adapter_name, *args, **kwargs)
        renamed = bound.arguments.get("key_mapping")
        if not renamed and is_compiled(self.get_base_model()):
            kwargs["key_mapping"] = {"^": COMPILED}  # PEFT looks for modules_to_save by their names in the model
        if _announced.get() is not None:  # called by from_pretrained, which has checked the file
            return original(self, model_id, adapter_name, *args, **kwargs)
        found: Mapping[str, torch.Tensor] = read_header(find_weights(model_id, **hub))
        if renamed:
            found = KEYS_CHANGE
        if present is not None:
            layers = [layer for layer in self.modules() if isinstance(layer, QwthnLinear)]
            check_not_merged(layers, adapter_name)  # unmerging would subtract the new weights
            new, what = _config_of(model_id, hub), f"the adapter in {model_id}"
            check_same_structure(new, present, what)
            check_same_structure(new, present, what, SCALES, ", or replace this one by qweft.hotswap_adapter")
            if not renamed:
                check_tensors(self, adapter_name, present, found)
        with untouched_on_error(self.get_base_model(), adapter_name), _announcing(found):
            loaded = original(self, model_id, adapter_name, *args, **kwargs)
            check_finite(self, adapter_name, self.peft_config[adapter_name])
        return loaded

    return load_adapter


def _transformers_load_adapter(original: Any) -> Any:
    def load_adapter(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(original).bind_partial(self, *args, **kwargs).arguments
        load_config = given.get("load_config")
        adapter = given.get("peft_model_id") or getattr(load_config, "pretrained_model_name_or_path", None)
        extra = given.get("kwargs", {})
        hub = _hub_arguments(
            getattr(load_config, "download_kwargs", None) or {}, given, extra, given.get("adapter_kwargs") or {}
        )
        if not _is_qwthn(adapter, given.get("peft_config"), hub):
            return original(self, *args, **kwargs)
        found = given.get("adapter_state_dict")
        if found is None and adapter is not None:
            found = read_header(find_weights(adapter, **hub))
            kwargs["use_safetensors"] = True  # else a pickle next to the file would be read first
        name = given.get("adapter_name") or "default"
        if any(COMPILED in key for key, _ in self.named_parameters()):
            raise QweftError(
                "modules of this model are compiled one by one, and transformers finds no tensor by their names; load "
                "the adapter first, and compile then"
            )
        with untouched_on_error(self, name), _announcing(found or {}):
            loaded = original(self, *args, **kwargs)
            for layer in self.modules():  # transformers sets tensors without calling the modules that hold them
                if isinstance(layer, QwthnLinear) and name in layer.qwthn_core:
                    layer.branch_of(name).look_again()
            check_finite(self, name, self.peft_config[name])
        return loaded

    return load_adapter
