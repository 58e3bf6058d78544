"""The PEFT method QWTHN: config, layer, model, and registration with PEFT."""

from qweft.adapter.config import QwthnConfig
from qweft.adapter.find_bases import find_bases
from qweft.adapter.hotswap import hotswap_adapter
from qweft.adapter.layer import QwthnLinear
from qweft.adapter.model import QwthnModel
from qweft.adapter.presets import presets
from qweft.adapter.registration import register

register()

__all__ = ["QwthnConfig", "QwthnLinear", "QwthnModel", "find_bases", "hotswap_adapter", "presets"]
