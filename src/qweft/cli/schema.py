"""The JSON schemas of config files."""

from typing import Any

FILES = {"train": "train", "plan": "train", "compare": "compare", "tune": "tune"}
"""The command whose config files each command reads."""
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(name: str) -> dict[str, Any]:
    """Return the schema of the config files of a command, one of `FILES`."""
    from qweft.comparison.config import ComparisonConfig
    from qweft.comparison.search.space import TuneConfig
    from qweft.core.json_schema import json_schema
    from qweft.training.config import RunConfig

    owner = FILES[name]
    config_class, adapter_key = {
        "train": (RunConfig, "adapter"),
        "compare": (ComparisonConfig, "methods.NAME.adapter"),
        "tune": (TuneConfig, "methods.NAME.adapter"),
    }[owner]
    commands = " and ".join(f"qweft {command}" for command, file in FILES.items() if file == owner)
    schema = json_schema(config_class, {adapter_key: _adapter_schema()})
    return {"$schema": DRAFT, "title": f"Config of {commands}", **schema}


def _adapter_schema() -> dict[str, Any]:
    """Return the schema of an adapter: with a preset the fields of `QwthnConfig`, else any of a PEFT config."""
    from qweft.method.peft_methods import common_fields
    from qweft.method.presets import PRESETS

    texts = "; ".join(f"{name}: {preset.description}" for name, preset in PRESETS.items())
    preset = {"enum": [*PRESETS], "description": f"A named configuration of QwthnConfig. {texts}."}
    peft_type = {"type": "string", "description": "A method of PEFT, LORA for one, with its own fields."}
    named = {"preset": preset, "peft_type": peft_type}
    fields: dict[str, Any] = {}
    for name in common_fields():
        fields[name] = {}
    fields.update(_own_fields())
    return {
        "type": "object",
        "properties": {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in named.items()},
        "anyOf": [{"required": [kind]} for kind in named],
        "if": {"properties": {"preset": {"type": "string"}}, "required": ["preset"]},
        "then": {
            "properties": {**fields, "preset": preset, "peft_type": {"type": "null"}},
            "additionalProperties": False,
        },
    }


def _own_fields() -> dict[str, Any]:
    """Return the schemas of the fields of `QwthnConfig`, which are taken as YAML gives them."""
    from qweft.adapter.config import QwthnConfig
    from qweft.core.json_schema import json_schema
    from qweft.core.schema import field_texts
    from qweft.method.fields import CHOICES, QwthnFields

    known: dict[str, Any] = {name: {"enum": [*values]} for name, values in CHOICES.items()}
    known["layers_pattern"] = {}  # PEFT takes a list, too
    schemas: dict[str, Any] = json_schema(QwthnFields, known)["properties"]
    texts = field_texts(QwthnConfig)
    for name, schema in schemas.items():
        schema["description"] = texts[name]
        schema.pop("default", None)  # a preset has its own
    return schemas
