"""`qweft schema`."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_type_hints

from qweft.cli.command import Command, NoOptions
from qweft.cli.parser import apply_options, read_arguments
from qweft.errors import QweftError
from qweft.text import near

FILES = {"train": "train", "plan": "train", "compare": "compare", "tune": "compare", "sweep": "sweep"}
"""The command whose config files each command reads."""
OTHERS = {"noise": "Noise model", "prices": "Price list of devices"}
"""Files that are no config of a command, with their titles."""
KINDS = (*FILES, *OTHERS)
DRAFT = "https://json-schema.org/draft/2020-12/schema"
METHODS = ("LORA", "VERA", "LOKR", "LOHA", "IA3", "ADALORA", "OFT", "BOFT", "HRA", "FOURIERFT", "VBLORA", "RANDLORA")
"""Methods of PEFT that an editor suggests. Any other one is taken, too, as each version of PEFT has more."""

COMMAND = Command(
    name="schema",
    description="Print the JSON schema (draft 2020-12) of a command's config file, of a noise model or of a price "
    "list: its keys, types, choices, defaults and texts. Editors complete and check a config by it, if the first line "
    "of the config is # yaml-language-server: $schema=FILE, where FILE is relative to the config.",
    example="qweft schema compare > compare.json",
    target="KIND",
    target_help=f"One of {', '.join(KINDS)}.",
    verbs=KINDS,
)


def run(argv: Sequence[str]) -> None:
    """Prints the schema of a command's config files."""
    arguments = read_arguments(argv, COMMAND)
    apply_options(NoOptions, {}, arguments, COMMAND)
    name = arguments.targets[0]
    if name not in KINDS:
        close = near(name, KINDS, cutoff=0.75)
        way = f"did you mean {close[0]}?" if close else f"there are {', '.join(KINDS)}"
        raise QweftError(f"qweft schema: there is no file of the kind {name}; {way}")
    from qweft.cli.terminal import print_json

    print_json(schema_of(name))


def schema_of(name: str) -> dict[str, Any]:
    """Returns the schema of a kind of file.

    Args:
        name: One of `KINDS`.
    """
    if name in OTHERS:
        return {"$schema": DRAFT, "title": OTHERS[name], **(_noise() if name == "noise" else _prices())}
    from qweft.comparison.config import ComparisonConfig
    from qweft.schema import json_schema
    from qweft.sweep.config import SweepConfig
    from qweft.training.config import RunConfig

    classes: dict[str, Any] = {"train": RunConfig, "compare": ComparisonConfig, "sweep": SweepConfig}
    adapter = _adapter()
    parts = {
        "train": {"adapter": adapter},
        "compare": {"methods.NAME.adapter": adapter},
        "sweep": {"adapter": adapter, "space.adapter": _axes(None), "space.training": _axes(_varied())},
    }
    whose = FILES[name]
    readers = " and ".join(f"qweft {reader}" for reader, file in FILES.items() if file == whose)
    return {"$schema": DRAFT, "title": f"Config of {readers}", **json_schema(classes[whose], parts[whose])}


def _adapter() -> dict[str, Any]:
    """Returns the schema of an adapter: with a preset the fields of `QwthnConfig`, else any of a PEFT config."""
    from qweft.method.peft_methods import common_fields
    from qweft.method.presets import PRESETS

    told = "; ".join(f"{name}: {preset.description}" for name, preset in PRESETS.items())
    named = {
        "preset": {"enum": [*PRESETS], "description": f"A named configuration of QwthnConfig. {told}."},
        "peft_type": {
            "type": "string",
            "examples": [*METHODS],
            "description": "A method of PEFT, with its own fields.",
        },
    }
    shared = common_fields()
    own = {**{name: {} for name in shared or ()}, **_own_fields()}
    return {
        "type": "object",
        "properties": {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in named.items()},
        "anyOf": [{"required": [kind]} for kind in named],
        "if": {"properties": {"preset": {"type": "string"}}, "required": ["preset"]},
        "then": {
            "properties": {**own, "preset": named["preset"], "peft_type": {"type": "null"}},
            "additionalProperties": shared is None,
        },
    }


def _own_fields() -> dict[str, Any]:
    """Returns the schemas of the fields of `QwthnConfig`, which are taken as YAML gives them."""
    from qweft.method.fields import BASIS_BITS, CHOICES, QwthnFields
    from qweft.schema import is_mapping, json_schema

    found: dict[str, Any] = {}
    for each in fields(QwthnFields):
        kind = get_type_hints(QwthnFields)[each.name]
        schema = json_schema(kind | None if is_mapping(kind) else kind, {})
        found[each.name] = {"description": each.metadata["help"], **schema}
    for name, words in CHOICES.items():
        found[name] = {"description": found[name]["description"], "enum": [*words]}
    found["basis_bits"]["enum"] = [*BASIS_BITS]
    found["layers_pattern"] = {"description": found["layers_pattern"]["description"]}  # PEFT takes a list, too
    return found


def _varied() -> tuple[str, ...]:
    from qweft.sweep.space import TRAINING

    return tuple(TRAINING)


def _axes(known: Sequence[str] | None) -> dict[str, Any]:
    """Returns the schema of what varies in a section: fields, each with its values or its range.

    Args:
        known: Fields that may vary. `None` means any.
    """
    number = {"type": "number"}
    axis = {
        "anyOf": [
            {
                "type": "object",
                "properties": {"values": {"type": "array", "minItems": 1, "description": "The values to try."}},
                "required": ["values"],
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {
                    "low": {**number, "description": "Lowest number."},
                    "high": {**number, "description": "Highest number."},
                    "log": {"type": "boolean", "description": "Whether draws are uniform in the logarithm."},
                    "step": {"type": ["number", "null"], "description": "Step between the numbers that are tried."},
                },
                "required": ["low", "high"],
                "additionalProperties": False,
            },
        ]
    }
    if known is None:
        return {"type": "object", "additionalProperties": axis}
    return {"type": "object", "properties": dict.fromkeys(known, axis), "additionalProperties": False}


def _noise() -> dict[str, Any]:
    from qweft.devices.noise.model import KEYS, OPTIONAL, NoiseModel
    from qweft.schema import json_schema, kinds_of, texts_of

    probability = {"type": "number", "minimum": 0, "maximum": 1}
    row = {"type": "array", "items": probability, "minItems": 2, "maxItems": 2}
    schemas = {
        "one_qubit": probability,
        "two_qubit": probability,
        "readout": {"type": "array", "items": row, "minItems": 2, "maxItems": 2},
        "channel": json_schema(kinds_of(NoiseModel)["channel"], {}),
    }
    texts = texts_of(NoiseModel)
    return {
        "type": "object",
        "properties": {key: {"description": texts[key], **schemas.get(key, {})} for key in sorted(KEYS | OPTIONAL)},
        "required": sorted(KEYS),
        "additionalProperties": False,
    }


def _prices() -> dict[str, Any]:
    from qweft.devices.jobs.prices import Price
    from qweft.schema import kinds_of, texts_of

    amount = {
        "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\s*\+?[0-9.][0-9_.eE+-]*\s*$"}]
    }
    pattern = {"type": "string", "minLength": 1}
    texts = texts_of(Price)
    properties = {
        key: {"description": texts[key], **(amount if kind == float | None else {})}
        for key, kind in kinds_of(Price).items()
    }
    properties["match"] |= {"anyOf": [pattern, {"type": "array", "items": pattern, "minItems": 1}]}
    entry = {"type": "object", "properties": properties, "required": ["match"], "additionalProperties": False}
    return {
        "type": "object",
        "properties": {
            "devices": {"type": "array", "items": entry, "description": "In order of precedence."},
        },
        "required": ["devices"],
    }
