"""Loading an adapter, by PEFT's calls and transformers': its file is checked first, and a failure leaves no trace.

PEFT and transformers read files in functions of their own, with no hook that a method could take before a pickle is
opened or weights of the base model are overwritten. So the three functions through which every load of a file goes are
wrapped in memory, once; for adapters of other methods they do what they did.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

from qweft.adapter.layer import QwthnLayer
from qweft.adapter.peft_type import peft_type
from qweft.adapter.strict_loading import COMPILED, check_tensors
from qweft.adapter.together import unwatch
from qweft.adapter.weights_file import HUB_ARGUMENTS, find_weights, read_header
from qweft.adapter.wrapping import wrap

KEYS_CHANGE: Mapping[str, torch.Tensor] = {}
"""Announced where the keys are renamed while the file is read, so that they can be checked only then."""
_announced: ContextVar[Mapping[str, torch.Tensor] | None] = ContextVar("announced", default=None)


def check_announced(model: nn.Module, adapter_name: str) -> None:
    """Hold an adapter that was just put on the model against the file that is about to be loaded into it, if any.

    Raises:
        QweftError: If the file does not fit.
    """
    found = _announced.get()
    if found is not None and found is not KEYS_CHANGE:
        check_tensors(model, adapter_name, found)


@contextmanager
def _announcing(found: Mapping[str, torch.Tensor]) -> Iterator[None]:
    token = _announced.set(found)
    try:
        yield
    finally:
        _announced.reset(token)


@contextmanager
def untouched_on_error(root: nn.Module, adapter_name: str) -> Iterator[None]:
    """If what happens inside fails, take the adapter off again: modules, gradients and PEFT's notes are as before."""
    modules = set(root.modules())
    gradients = [(parameter, parameter.requires_grad) for parameter in root.parameters()]
    modes = [(module, module.training) for module in modules]
    configs = dict(getattr(root, "peft_config", None) or {})
    notes = {name: root.__dict__.get(name) for name in ("peft_config", "_hf_peft_config_loaded")}
    try:
        yield
    except BaseException:
        for path, module in list(root.named_modules()):
            if not isinstance(module, QwthnLayer | AuxiliaryTrainingWrapper):
                continue
            if module not in modules:
                parent, _, name = path.rpartition(".")
                inner = module.get_base_layer() if isinstance(module, QwthnLayer) else module.original_module
                setattr(root.get_submodule(parent), name, inner)
            elif adapter_name not in configs:
                _drop(module, adapter_name)
        if not any(isinstance(module, QwthnLayer) for module in root.modules()):
            unwatch(root)
        for parameter, flag in gradients:
            parameter.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode
        current = getattr(root, "peft_config", None)
        if isinstance(current, dict) and adapter_name not in configs:
            current.pop(adapter_name, None)
        for name, value in notes.items():
            if value is None:
                root.__dict__.pop(name, None)
            else:
                root.__dict__[name] = value
        raise


def _drop(module: Any, adapter_name: str) -> None:
    """Take an adapter off a layer that has others, if it is there at all."""
    active = [name for name in module.active_adapters if name != adapter_name]
    module.delete_adapter(adapter_name, *([active] if isinstance(module, AuxiliaryTrainingWrapper) else []))


def _is_qwthn(adapter: Any, config: Any, hub: Mapping[str, Any]) -> bool:
    """Whether the config, or the folder or hub id where there is none, is of this method."""
    found = config.get("peft_type") if isinstance(config, dict) else getattr(config, "peft_type", None)
    if found is None and adapter is not None:
        try:
            found = PeftConfig._get_peft_type(str(adapter), **hub)
        except (ValueError, KeyError):  # no config, or none of PEFT: the wrapped function says so in its own words
            return False
    return found is not None and found == peft_type()


def _hub_arguments(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """What decides where a file is fetched from; later sources go first, and what is none is left out."""
    merged = {name: value for source in sources for name, value in source.items() if value is not None}
    return {name: merged[name] for name in HUB_ARGUMENTS if name in merged}


def check_files_in_peft() -> None:
    """Wrap `PeftModel.from_pretrained` and `PeftModel.load_adapter`, through which `AutoPeftModel` goes too."""
    wrap(PeftModel, "from_pretrained", _peft_from_pretrained)
    wrap(PeftModel, "load_adapter", _peft_load_adapter)


def check_files_in_transformers() -> None:
    """Wrap `load_adapter` of transformers' models, through which `from_pretrained` of an adapter goes too."""
    from transformers.integrations.peft import PeftAdapterMixin

    wrap(PeftAdapterMixin, "load_adapter", _transformers_load_adapter)


def _peft_from_pretrained(original: Any) -> Any:
    def from_pretrained(
        cls: Any, model: Any, model_id: Any, adapter_name: str = "default", *args: Any, **kwargs: Any
    ) -> Any:
        bound = inspect.signature(original).bind_partial(cls, model, model_id, adapter_name, *args, **kwargs)
        hub = _hub_arguments(bound.arguments.get("kwargs", {}))
        if not _is_qwthn(model_id, bound.arguments.get("config"), hub):
            return original(cls, model, model_id, adapter_name, *args, **kwargs)
        found = read_header(find_weights(model_id, **hub))
        renamed = bound.arguments.get("key_mapping") or getattr(model, "_checkpoint_conversion_mapping", None)
        with untouched_on_error(model, adapter_name), _announcing(KEYS_CHANGE if renamed else found):
            return original(cls, model, model_id, adapter_name, *args, **kwargs)

    return from_pretrained


def _peft_load_adapter(original: Any) -> Any:
    def load_adapter(self: Any, model_id: Any, adapter_name: str, *args: Any, **kwargs: Any) -> Any:
        hub = _hub_arguments(kwargs)
        if not _is_qwthn(model_id, self.peft_config.get(adapter_name), hub):
            return original(self, model_id, adapter_name, *args, **kwargs)
        bound = inspect.signature(original).bind_partial(self, model_id, adapter_name, *args, **kwargs)
        renamed = bound.arguments.get("key_mapping")
        if not renamed and hasattr(self.get_base_model(), "_orig_mod"):
            kwargs["key_mapping"] = {"^": COMPILED}  # PEFT looks for modules_to_save by their names in the model
        if _announced.get() is not None:  # called by from_pretrained, which has looked at the file
            return original(self, model_id, adapter_name, *args, **kwargs)
        found: Mapping[str, torch.Tensor] = read_header(find_weights(model_id, **hub))
        if renamed:
            found = KEYS_CHANGE
        elif adapter_name in self.peft_config:
            check_tensors(self, adapter_name, found)
        with untouched_on_error(self.get_base_model(), adapter_name), _announcing(found):
            return original(self, model_id, adapter_name, *args, **kwargs)

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
            kwargs["use_safetensors"] = True  # else a pickle beside the file would be read first
        with untouched_on_error(self, given.get("adapter_name") or "default"), _announcing(found or {}):
            return original(self, *args, **kwargs)

    return load_adapter
