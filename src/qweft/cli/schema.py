"""The JSON schemas of config files."""

from typing import Any

FILES = {"train": "train", "plan": "train", "compare": "compare", "tune": "compare", "sweep": "sweep"}
"""The command whose config files each command reads."""
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(name: str) -> dict[str, Any]:
    """Return the schema of the config files of a command, one of `FILES`."""
    from qweft.comparison.config import ComparisonConfig
    from qweft.core.schema import json_schema
    from qweft.sweep.config import Axis, SweepConfig
    from qweft.sweep.space import TRAINING
    from qweft.training.config import RunConfig

    adapter = _adapter()
    axes = dict.fromkeys(TRAINING, json_schema(Axis, {}))
    varied = {"type": "object", "properties": axes, "additionalProperties": False}
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "train": (RunConfig, {"adapter": adapter}),
        "compare": (ComparisonConfig, {"methods.NAME.adapter": adapter}),
        "sweep": (SweepConfig, {"adapter": adapter, "space.training": varied}),
    }
    whose = FILES[name]
    readers = " and ".join(f"qweft {reader}" for reader, file in FILES.items() if file == whose)
    return {"$schema": DRAFT, "title": f"Config of {readers}", **json_schema(*kinds[whose])}


def _adapter() -> dict[str, Any]:
    """Return the schema of an adapter: with a preset the fields of `QwthnConfig`, else any of a PEFT config."""
    from qweft.method.peft_methods import common_fields
    from qweft.method.presets import PRESETS

    texts = "; ".join(f"{name}: {preset.description}" for name, preset in PRESETS.items())
    preset = {"enum": [*PRESETS], "description": f"A named configuration of QwthnConfig. {texts}."}
    peft_type = {"type": "string", "description": "A method of PEFT, LORA for one, with its own fields."}
    named = {"preset": preset, "peft_type": peft_type}
    own = {**{name: {} for name in common_fields()}, **_own_fields()}
    return {
        "type": "object",
        "properties": {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in named.items()},
        "anyOf": [{"required": [kind]} for kind in named],
        "if": {"properties": {"preset": {"type": "string"}}, "required": ["preset"]},
        "then": {
            "properties": {**own, "preset": preset, "peft_type": {"type": "null"}},
            "additionalProperties": False,
        },
    }


def _own_fields() -> dict[str, Any]:
    """Return the schemas of the fields of `QwthnConfig`, which are taken as YAML gives them."""
    from qweft.adapter.config import QwthnConfig
    from qweft.core.schema import json_schema, texts_of
    from qweft.method.fields import CHOICES, QwthnFields

    known: dict[str, Any] = {name: {"enum": [*values]} for name, values in CHOICES.items()}
    known["layers_pattern"] = {}  # PEFT takes a list, too
    schemas, texts = json_schema(QwthnFields, known)["properties"], texts_of(QwthnConfig)
    for name, schema in schemas.items():
        schema["description"] = texts[name]
        schema.pop("default", None)  # a preset has its own
    return dict(schemas)
