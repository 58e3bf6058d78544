"""The tuner: which layers get a branch, and how adapters are read from files."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import (
    TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING,
    get_quantization_kwargs,
    resolve_quantization_backend,
)
from peft.utils.other import AuxiliaryTrainingWrapper, get_pattern_key
from torch import nn
from transformers.pytorch_utils import Conv1D

from qweft.adapter.batched_build import unwatch, watch
from qweft.adapter.layer import QwthnLinear
from qweft.adapter.loading import check_tensors, head_key
from qweft.adapter.maps import DIRECTIONS
from qweft.core.errors import QweftError
from qweft.internals.keys import COMPILED, SHARDED
from qweft.method.saved import file_key


class QwthnModel(BaseTuner):
    """A model whose chosen linear layers have QWTHN branches; `peft.get_peft_model` makes it."""

    prefix: str = "qwthn_"
    tuner_layer_cls = QwthnLinear
    target_module_mapping: Any = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Attach the adapter's branches to the model."""
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        _share_fixed(model, adapter_name, self.peft_config)
        watch(model)

    def unload(self) -> Any:
        """Return the base model without the branches; merged ones are taken out of its weights."""
        if any(isinstance(layer, QwthnLinear) and layer.merged for layer in self.model.modules()):
            self.unmerge_adapter()
        model: Any = super().unload()
        unwatch(model)
        return model

    def merge_and_unload(
        self, progressbar: bool = False, safe_merge: bool = False, adapter_names: list[str] | None = None
    ) -> Any:
        """Return the base model with the branches' weights added to its own; branches with circuits are refused."""
        check_mergeable(self.model, adapter_names)
        model: Any = super().merge_and_unload(progressbar, safe_merge, adapter_names)
        unwatch(model)
        return model

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Add the branches' weights to the base weights, as PEFT does; branches with circuits are refused."""
        check_mergeable(self.model, adapter_names)
        super().merge_adapter(adapter_names, safe_merge)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        # PEFT would also copy the old layer's weight, which the new layer has, and trained tokens lack
        setattr(parent, child_name, new_module)

    def _cast_adapter_dtype(self, adapter_name: str, autocast_adapter_dtype: bool = True) -> None:
        super()._cast_adapter_dtype(adapter_name, autocast_adapter_dtype)
        if not autocast_adapter_dtype:
            return
        for layer in self.model.modules():  # PEFT casts parameters, but not buffers
            if isinstance(layer, QwthnLinear) and adapter_name in layer.qwthn_core:
                compress, core, expand = layer.branch_of(adapter_name)
                for held in core.buffers():
                    held.data = held.data.to(torch.promote_types(held.dtype, torch.float32))
                for held in (*compress.buffers(), *expand.buffers()):
                    if held.is_floating_point():
                        held.data = held.data.to(DIRECTIONS)

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
        if isinstance(target, QwthnLinear):
            target.update_layer(adapter_name, peft_config, r, alpha)
            return
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        if not isinstance(base, nn.Linear | Conv1D) and not _is_quantized_linear(base):
            raise ValueError(
                f"target module {current_key} is a {type(base).__name__}; QWTHN adapts nn.Linear, transformers' Conv1D "
                "and quantized linear layers: name such layers in target_modules"
            )
        layer = QwthnLinear(target, adapter_name, peft_config, r, alpha, **get_quantization_kwargs(self))
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)  # an additional adapter is trained only after it is made active
        setattr(parent, target_name, layer)

    @contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        names = kwargs.pop("adapter_names", None)
        if names is None:
            yield
            return
        if self.training:
            raise ValueError("Cannot pass `adapter_names` when the model is in training mode.")
        known = {name for each in self.modules() if isinstance(each, QwthnLinear) for name in each.qwthn_compress}
        if unknown := sorted(set(names) - known - {"__base__"}):
            raise ValueError(f"Trying to infer with non-existing adapter(s): {', '.join(unknown)}")
        rows = list(names)
        if (beams := kwargs.get("num_beams")) and beams > 1:  # a decoder sees every row once for each beam
            rows = [name for name in rows for _ in range(beams)]
        handles = []
        encoder = self.model.get_encoder() if beams and hasattr(self.model, "get_encoder") else None
        unrepeated = set(encoder.modules()) if isinstance(encoder, nn.Module) and encoder is not self.model else set()
        for layer in self.modules():
            if not isinstance(layer, QwthnLinear | AuxiliaryTrainingWrapper):
                continue
            given = {"adapter_names": list(names) if layer in unrepeated else rows}

            def name_rows(_: Any, args: Any, kwargs: Any, given: Any = given) -> tuple[Any, Any]:
                return args, kwargs | given

            handles.append(layer.register_forward_pre_hook(name_rows, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @classmethod
    def _get_adapter_state_dict(
        cls,
        model: nn.Module,
        config: Any,
        adapter_name: str,
        state_dict: dict[str, torch.Tensor],
        unwanted_adapter_names: list[str],
    ) -> dict[str, torch.Tensor]:
        # PEFT drops every key that contains another adapter's name, even if a module or a tensor has that name
        found = {}
        for path, layer in model.named_modules():
            for container in layer.adapter_layer_names if isinstance(layer, QwthnLinear) else ():
                parts: Any = getattr(layer, container)
                if adapter_name in parts:
                    for key, tensor in parts[adapter_name].state_dict().items():
                        place = f"{path}.{container}.{adapter_name}.{key}".replace(SHARDED, "")
                        found[place] = state_dict.get(place, tensor)
        biases = cls._get_learnable_bias_state_dict(model, state_dict, config)
        # a head's bias is saved with the head
        found |= {key: v for key, v in biases.items() if not re.search(r"\.(original_module|modules_to_save)\.", key)}
        if empty := [key for key, tensor in found.items() if not tensor.numel()]:
            raise QweftError(
                f"{empty[0]} is empty here, because the model is sharded over several processes; gather its parameters "
                "before the adapter is saved, or pass a gathered state_dict"
            )
        return found

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        key = key.replace(COMPILED, "")  # the file must load on a model that is not compiled
        containers = "|".join(QwthnLinear.adapter_layer_names)
        pattern = rf"^(.*\.)?({containers}|modules_to_save)\.{re.escape(adapter_name)}\."
        key = re.sub(pattern, lambda match: f"{match.group(1) or ''}{match.group(2)}.", key)
        return key.removesuffix(f".{adapter_name}") if "trainable_tokens_delta." in key else key

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: Any, adapter_name: str, state_dict: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        def in_file(key: str) -> str:
            return head_key(file_key(cls._remove_adapter_name_from_key(key, adapter_name)))

        given = {in_file(key): tensor for key, tensor in state_dict.items()}
        check_tensors(model, adapter_name, given)
        places = {in_file(key): key for key in model.state_dict()}
        return {places.get(key, key): tensor for key, tensor in given.items()}


@torch.no_grad()
def _share_fixed(model: nn.Module, adapter_name: str, configs: dict[str, Any]) -> None:
    """Copy the untrained angles and bases between adapters of one config object, as TRL makes its reference model."""
    config = configs[adapter_name]
    first = next((name for name, other in configs.items() if other is config), adapter_name)
    if first == adapter_name:
        return
    for layer in model.modules():
        if isinstance(layer, QwthnLinear) and {first, adapter_name} <= layer.qwthn_core.keys():
            for new, old in zip(layer.branch_of(adapter_name), layer.branch_of(first), strict=True):
                for name, fixed in new.named_buffers():
                    fixed.copy_(old.get_buffer(name))


def _is_quantized_linear(layer: nn.Module) -> bool:
    backend = resolve_quantization_backend(layer)
    return backend is not None and backend.layer_type == "linear"


def check_mergeable(model: nn.Module, adapter_names: list[str] | None) -> None:
    """Check that the branches of adapters can be added to the base weights of a model."""
    owners: dict[int, dict[nn.Module, str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), {})[module] = name
    for name, layer in model.named_modules():
        if not isinstance(layer, QwthnLinear):
            continue
        wanted: list[str] = layer.active_adapters if adapter_names is None else adapter_names
        names, base = [each for each in wanted if each in layer.qwthn_compress], layer.get_base_layer()
        for each in names:
            if not layer.supports_lora_conversion(each):
                layer.get_delta_weight(each)  # raises
        weight = getattr(base, "weight", None)
        others = [place for module, place in owners.get(id(weight), {}).items() if module is not base]
        if names and others:
            raise ValueError(
                f"target module {name} shares its weight with {others[0]}, so merging would change both; give it a "
                "copy of the weight (an output layer needs tie_word_embeddings=False for it), or do not merge"
            )
