"""The JSON schema of a config dataclass, for editors."""

from collections.abc import Mapping
from dataclasses import MISSING, is_dataclass
from typing import Any

from qweft.core.reader import pydantic_adapter
from qweft.core.schema import (
    NAME,
    allows_none,
    choices,
    dotted_name,
    field_default,
    field_texts,
    field_types,
    is_leaf,
    is_mapping,
    list_of_sections,
    text_field,
    value_type,
)


def json_schema(kind: Any, known: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Return the JSON schema of what `Reader` takes from a file, in words that drafts 7 and 2020-12 share.

    `known` has the schemas of keys whose type says less than is known of them, by dotted name.
    """
    if name in known:
        return dict(known[name])
    if is_mapping(kind) and not is_leaf(kind):
        return {"type": "object", "additionalProperties": json_schema(value_type(kind), known, dotted_name(name, NAME))}
    entry = list_of_sections(kind)
    if entry is not None:
        types = ["array", "null"] if allows_none(kind) else ["array"]
        return {"type": types, "items": json_schema(entry, known, f"{name}[]")}
    if is_dataclass(kind):
        return _section_schema(kind, known, name)
    leaf: dict[str, Any] = pydantic_adapter(kind).json_schema()
    return {"anyOf": [leaf, {"const": False}]} if "no" in choices(kind) else leaf  # YAML reads a plain no as false


def _section_schema(kind: Any, known: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the JSON schema of a section."""
    texts = field_texts(kind)
    properties: dict[str, Any] = {}
    required = []
    for key, field_type in field_types(kind).items():
        below = json_schema(field_type, known, dotted_name(name, key))
        properties[key] = {"description": texts.get(key, ""), **below}
        default = field_default(kind, key)
        if default is MISSING:
            required.append(key)
        elif is_leaf(field_type):
            properties[key]["default"] = default
    types = ["object"]
    if not required:
        types.append("null")  # all keys of the section may be commented out
    if text_field(kind) is not None:
        types.append("string")
    schema: dict[str, Any] = {
        "type": types if len(types) > 1 else "object",
        "properties": properties,
        "additionalProperties": False,
    }
    if required:
        schema["required"] = required
    return schema
