"""Checks of an adapter's specification in a config file, without PEFT."""

import json
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from qweft.core.errors import QweftError
from qweft.core.text import short_repr
from qweft.method.checks import check_drawn_start, check_number, check_shared, check_whole, closest
from qweft.method.effective import complete
from qweft.method.fields import QwthnFields
from qweft.method.peft_methods import OWN, common_fields, config_name, fields_of, methods
from qweft.method.presets import PRESETS, RATES_LOSS, learning_rate_hint, with_preset

OWN_FIELDS = tuple(entry.name for entry in fields(QwthnFields))


def check_specification(specification: Mapping[str, Any]) -> None:
    """Check an adapter's specification; of PEFT's own methods r and alpha of LoRA, and what methods share."""
    for key, value in specification.items():
        try:
            json.dumps(value, allow_nan=False)
        except TypeError as error:  # a date of YAML
            raise QweftError(
                f"adapter.{key} is {short_repr(value)}; give a number, a list, or a text in quotes"
            ) from error
        except ValueError as error:
            raise QweftError(f"adapter.{key} is {short_repr(value)}; give a finite number") from error
    chosen, method = check_names(specification), method_of(specification)
    for name in ("base_model_name_or_path", "revision"):
        if chosen.get(name) is not None and not isinstance(chosen[name], str):
            raise QweftError(f"{name} must be a text, got {short_repr(chosen[name])}; put it in quotes")
    if method == OWN:
        QwthnFields(**{name: value for name, value in chosen.items() if name in OWN_FIELDS})
        return
    check_shared(chosen)
    if method == "LORA":
        _check_lora(chosen)


ON_QUANTIZED = (
    "ADALORA", "BEFT", "BOFT", "C3A", "FOURIERFT", "GRALORA", "HIRA", "IA3", "LILY", "LN_TUNING", "LORA", "MISS", "OFT",
    "PVERA", "QWTHN", "RANDLORA", "ROAD", "SHIRA", "TRAINABLE_TOKENS", "VBLORA", "VERA", "WAVEFT",
)  # fmt: skip
"""Methods that train on layers of bitsandbytes. The others read integers as weights: they fail, or change nothing."""
NOT_IN_8_BITS = ("SHIRA",)


def check_on_quantized(specification: Mapping[str, Any], quantization: str | None) -> None:
    """Check that an adapter trains on a base model that is quantised."""
    if quantization is None:
        return
    method, start = method_of(specification), specification.get("init_lora_weights")
    way = f"on a base model with quantization {quantization}"
    known = [name for name in ON_QUANTIZED if quantization == "4bit" or name not in NOT_IN_8_BITS]
    if method not in known:
        raise QweftError(
            f"PEFT's method {method} does not train {way}; leave that out, or take one of {', '.join(known)}"
        )
    if method == "LORA" and quantization == "8bit" and specification.get("use_dora"):
        raise QweftError(f"use_dora does not train {way}; take 4bit, or leave one of them out")
    if method == "LORA" and start not in (None, True, False, "gaussian"):
        raise QweftError(f"init_lora_weights {start} reads or rewrites weights, which are integers {way}; leave it out")


def method_of(specification: Mapping[str, Any]) -> str:
    """Return the name of a specification's method in PEFT; that of a preset is ours."""
    return OWN if specification.get("preset") is not None else str(specification["peft_type"]).upper()


def check_names(specification: Mapping[str, Any]) -> dict[str, Any]:
    """Check the names in an adapter's specification: its preset or method, and the fields."""
    given = dict(specification)
    preset, method = given.pop("preset", None), given.pop("peft_type", None)
    if (preset is None) == (method is None):
        raise QweftError(
            f"adapter {dict(specification)}: give either preset (qtha, qwthn, ...) or peft_type (LORA, VERA, ...)"
        )
    own = (*common_fields(), *OWN_FIELDS)
    if preset is not None:
        return with_preset(str(preset), given, own)
    name = str(method).upper()
    check_method(name, methods())
    known = own if name == OWN else fields_of(name)
    for key in given:
        if key not in known:
            raise QweftError(f"{config_name(name)} has no field {key!r}{closest(key, known)}")
    return given


def check_method(method: str, known: Collection[str]) -> None:
    """Check the name of one of PEFT's methods, in any case."""
    name = method.upper()
    if name not in known:
        raise QweftError(f"PEFT has no method {method!r}{closest(name, known)}; methods: {', '.join(known)}")


def _check_lora(given: Mapping[str, Any]) -> None:
    check_whole("r", given.get("r", 8))
    check_number("lora_alpha", given.get("lora_alpha", 1))
    start = given.get("init_lora_weights")
    if start in ("eva", "corda", "lora_ga"):
        raise QweftError(
            f"init_lora_weights {start!r} needs activations or gradients of the training rows first, which only PEFT's "
            "own functions collect; leave it out"
        )
    check_drawn_start(start)


DEFAULT_RATE = 5e-4
"""Learning rate of methods of PEFT where none is given, as their examples have it."""


def default_rate(specification: Mapping[str, Any]) -> tuple[float, str, float | None]:
    """Return the learning rate of an adapter for which none is given, its origin, and the base loss it was found at."""
    preset = specification.get("preset")
    rate = learning_rate_hint(complete(specification)) if preset in PRESETS else None
    if rate is not None:
        return rate, f"that of the preset {preset}", RATES_LOSS
    return DEFAULT_RATE, "the default; qweft tune finds a better one", None
