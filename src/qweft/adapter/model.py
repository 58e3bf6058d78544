"""The tuner: which layers get a branch, and how adapters are read from files."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import (
    TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING,
    get_quantization_kwargs,
    resolve_quantization_backend,
)
from peft.utils.other import get_pattern_key
from torch import nn
from transformers.pytorch_utils import Conv1D

from qweft.adapter.layer import QwthnLayer
from qweft.adapter.strict_loading import check_keys
from qweft.adapter.together import unwatch, watch
from qweft.circuit import crz_ring_ansatz


def _name_rows(_module: nn.Module, args: Any, kwargs: Any, adapter_names: list[str]) -> tuple[Any, Any]:
    """Forward pre-hook that tells a layer which adapter each row of a mixed batch wants."""
    kwargs["adapter_names"] = adapter_names
    return args, kwargs


class QwthnModel(BaseTuner):
    """A model whose chosen linear layers have QWTHN branches; made by `peft.get_peft_model`."""

    prefix: str = "qwthn_"
    tuner_layer_cls = QwthnLayer
    target_module_mapping: Any = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    def _pre_injection_hook(self, model: nn.Module, config: Any, adapter_name: str) -> None:
        if config.core.startswith("quantum"):
            dead = crz_ring_ansatz(config.r, config.circuit_layers or config.r, config.reupload).dead_parameters()
            if dead:
                warnings.warn(
                    f"with reupload=False the last ring of CRZ gates stands before the measurement: angles "
                    f"{dead[0]} to {dead[-1]} of each circuit have no gradient and stay as they start",
                    stacklevel=2,
                )

    def _post_injection_hook(self, model: nn.Module, config: Any, adapter_name: str) -> None:
        watch(model)

    def _unload_and_optionally_merge(self, *args: Any, **kwargs: Any) -> Any:
        model: Any = super()._unload_and_optionally_merge(*args, **kwargs)
        unwatch(model)
        return model

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
        **optional_kwargs: Any,
    ) -> None:
        r_key = get_pattern_key(list(peft_config.rank_pattern), current_key)
        alpha_key = get_pattern_key(list(peft_config.alpha_pattern), current_key)
        r = peft_config.rank_pattern.get(r_key, peft_config.r)
        alpha = peft_config.alpha_pattern.get(alpha_key, peft_config.alpha)
        if isinstance(target, QwthnLayer):
            target.update_layer(adapter_name, peft_config, r, alpha)
            return
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        if not isinstance(base, nn.Linear | Conv1D) and not _is_quantized_linear(base):
            raise ValueError(
                f"target module {current_key} is a {type(base).__name__}; QWTHN adapts nn.Linear, transformers' Conv1D "
                "and quantized linear layers: name such layers in target_modules"
            )
        layer = QwthnLayer(target, adapter_name, peft_config, r, alpha, **get_quantization_kwargs(self))
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)  # an additional adapter is trained only once it is made active
        self._replace_module(parent, target_name, layer, target)

    @contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        names = kwargs.pop("adapter_names", None)
        if names is None:
            yield
            return
        if self.training:
            raise ValueError("Cannot pass `adapter_names` when the model is in training mode.")
        layers = [module for module in self.modules() if isinstance(module, QwthnLayer)]
        known = {name for layer in layers for name in layer.qwthn_compress}
        if unknown := sorted(set(names) - known - {"__base__"}):
            raise ValueError(f"Trying to infer with non-existing adapter(s): {', '.join(unknown)}")
        rows = list(names)
        if (beams := kwargs.get("num_beams")) and beams > 1:  # a decoder sees every row once for each beam
            rows = [name for name in rows for _ in range(beams)]
        handles = []
        encoder = self.model.get_encoder() if beams and hasattr(self.model, "get_encoder") else None
        unrepeated = set(encoder.modules()) if isinstance(encoder, nn.Module) and encoder is not self.model else set()
        for layer in layers:
            hook = partial(_name_rows, adapter_names=list(names) if layer in unrepeated else rows)
            handles.append(layer.register_forward_pre_hook(hook, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        containers = "|".join(QwthnLayer.adapter_layer_names)
        pattern = rf"^(.*\.)?({containers})\.{re.escape(adapter_name)}\."
        return re.sub(pattern, lambda match: f"{match.group(1) or ''}{match.group(2)}.", key)

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: Any, adapter_name: str, state_dict: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        remapped = super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)
        check_keys(model, adapter_name, remapped, QwthnLayer.adapter_layer_names)
        return remapped


def _is_quantized_linear(layer: nn.Module) -> bool:
    backend = resolve_quantization_backend(layer)
    return backend is not None and backend.layer_type == "linear"
