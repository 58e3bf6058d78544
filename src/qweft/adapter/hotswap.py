"""Replaces an adapter's weights by another's while the model stays as it is, compiled or not."""

import os
from dataclasses import replace
from typing import Any

from peft import PeftConfig, set_peft_model_state_dict
from peft.utils.other import get_pattern_key
from torch import nn

from qweft.adapter.config import QwthnConfig
from qweft.adapter.layer import QwthnLinear
from qweft.adapter.loading import check_not_merged, check_same_structure, find_weights, read_tensors
from qweft.core.errors import QweftError
from qweft.method.saved import file_key


def hotswap_adapter(
    model: nn.Module,
    folder: str | os.PathLike[str],
    adapter_name: str = "default",
    **hub: Any,
) -> None:
    """Replace the weights of an adapter on the model by those of a saved one, in place.

    The device needs no memory for a second adapter. A model compiled by `torch.compile` is recompiled only if alpha or
    factor_limit differs, which are constants in it. On an error nothing is changed.

        model = torch.compile(PeftModel.from_pretrained(base, "adapters/a"))
        qweft.hotswap_adapter(model, "adapters/b")

    Args:
        model: A model with a QWTHN adapter: from PEFT or transformers' `load_adapter`, compiled or not.
        folder: The saved adapter: a folder or hub id. Its config may differ from the present one in alpha,
            alpha_pattern and factor_limit, and in how the weights started.
        adapter_name: Name of the adapter to replace; it stays the same.
        **hub: `subfolder`, `revision`, `cache_dir`, `token`, `local_files_only`.

    Raises:
        QweftError: If there is no such adapter, it is merged, the configs differ in a field that decides structure, or
            the file does not hold exactly this adapter, or holds NaN or infinity.
    """
    present = getattr(model, "peft_config", {})
    if not isinstance(present.get(adapter_name), QwthnConfig):
        known = ", ".join(present) or "none"
        raise QweftError(f"the model has no QWTHN adapter {adapter_name!r} to replace; its adapters: {known}")
    old: QwthnConfig = present[adapter_name]
    path = find_weights(folder, **hub)
    new: Any = PeftConfig.from_pretrained(str(folder), **hub)
    layers = {file_key(name): module for name, module in model.named_modules() if isinstance(module, QwthnLinear)}
    layers = {name: layer for name, layer in layers.items() if adapter_name in layer.qwthn_compress}
    check_not_merged(layers.values(), adapter_name)
    check_same_structure(new, old, ("basis", "alpha"))
    set_peft_model_state_dict(model, read_tensors(path), adapter_name)
    for name, layer in layers.items():
        alpha_key = get_pattern_key(list(new.alpha_pattern), name)
        layer.set_alpha(adapter_name, new.alpha_pattern.get(alpha_key, new.alpha))
        layer.branch_of(adapter_name).set_limit(new.factor_limit)
    # a copy, since other adapters and models may have been made with this very object
    taken = {"alpha": new.alpha, "alpha_pattern": new.alpha_pattern, "factor_limit": new.factor_limit}
    present[adapter_name] = replace(old, **taken)
