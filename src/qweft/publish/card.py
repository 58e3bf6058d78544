"""Model cards, with names that reveal no local paths."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from jinja2 import Environment, PackageLoader
from peft.utils import CONFIG_NAME

from qweft.adapter import QwthnConfig
from qweft.adapter.saving import END, START, method_section
from qweft.core.files import named_path, write_bytes
from qweft.core.text import escape_markdown
from qweft.data.config import TOGETHER
from qweft.models.hub import HUB_ID
from qweft.publish.push import for_the_hub, renamed


def public_name(source: str) -> str:
    """Return the name of a data source or model for a card: for a local path only its last part."""
    path = named_path(source)
    if path.exists():
        return path.resolve().name or source
    if TOGETHER in source:
        return TOGETHER.join(map(public_name, source.split(TOGETHER)))
    is_path = path.is_absolute() or source.startswith(".")  # one that is there no longer
    return path.name or source if is_path else source


def card(title: str, body: str, base_model: str | None, **front: Any) -> str:
    """Return a model card: front matter as the hub reads it, with further fields in `front`, a title, and Markdown."""
    named = base_model if base_model and HUB_ID.fullmatch(base_model) else None
    return f"---\n{ModelCardData(base_model=named, **front).to_yaml()}\n---\n\n# {title}\n\n{body}"


def name_base_model(folder: Path, hub_id: str | None) -> None:
    """Write the hub id in the place of the base model's path; without one the config alone keeps the path."""
    file, readme = folder / CONFIG_NAME, folder / "README.md"
    config = json.loads(file.read_text("utf-8"))
    named = config.get("base_model_name_or_path")
    if hub_id and named != hub_id:
        write_bytes(file, json.dumps(for_the_hub(config, hub_id), indent=2, sort_keys=True).encode())
    if named and readme.is_file():
        write_bytes(readme, renamed(readme.read_text("utf-8"), named, hub_id or public_name(named)).encode())


LORA_LOADING = """```python
from peft import PeftModel

model = PeftModel.from_pretrained(base_model, "this folder or repository")
```
"""


def run_card(record: Mapping[str, Any], adapter: Any, shapes: dict[str, tuple[int, ...]]) -> str:
    """Return the text of README.md for an adapter's folder."""
    config, data, kind = record["config"], record["data"], adapter.peft_type.value
    templates = Environment(
        loader=PackageLoader("qweft.publish", "."), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    templates.filters |= {"md": escape_markdown, "public": public_name}
    section = f"## {kind} adapter\n\n- parameters: {record.get('trainable_parameters', 0):,}\n\n{LORA_LOADING}"
    if isinstance(adapter, QwthnConfig):
        section = method_section(adapter, shapes)
    sources = [each["source"] for each in config.get("data", {}).get("sources") or ()] or [data["source"]]
    body = templates.get_template("run.md.j2").render(
        record,
        begin=START,
        end=END,
        section=section,
        source=TOGETHER.join(map(public_name, sources)),
        budget=config["training"],
        split=config["evaluation"]["split"],
        learned=data["parts"]["train"],
    )
    method = escape_markdown(str(config["adapter"].get("preset") or kind))
    model = escape_markdown(public_name(record.get("model_hub_id") or config["model"]["name"]))
    front = {"library_name": "peft", "pipeline_tag": "text-generation", "tags": ["qweft", kind.lower()]}
    return card(f"{method} for {model}", body, record.get("model_hub_id"), **front)
