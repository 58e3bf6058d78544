"""The PEFT method QWTHN: config, layer, model, and registration with PEFT."""

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils import register_peft_method

from qweft.adapter.config import QwthnConfig, peft_type
from qweft.adapter.find_bases import find_bases
from qweft.adapter.hotswap import hotswap_adapter
from qweft.adapter.layer import QwthnLinear
from qweft.adapter.loading import peft_load_adapter, peft_save_pretrained, transformers_load_adapter
from qweft.adapter.model import QwthnModel
from qweft.internals.peft import replace_functions
from qweft.method.presets import presets

__all__ = ["QwthnConfig", "QwthnLinear", "QwthnModel", "find_bases", "hotswap_adapter", "presets"]


def register() -> None:
    """Add the method to PEFT's tables; calling it again changes nothing.

    From then on `get_peft_model`, `PeftModel.from_pretrained`, `AutoPeftModel` and transformers' `load_adapter` know
    it. Loading an adapter folder before this raises PEFT's `KeyError: 'QWTHN'`: import qweft first.
    """
    if peft_type() in PEFT_TYPE_TO_CONFIG_MAPPING:
        return
    register_peft_method(name="qwthn", config_cls=QwthnConfig, model_cls=QwthnModel, prefix="qwthn_")
    replace_functions(peft_load_adapter, peft_save_pretrained, transformers_load_adapter)


register()
