"""Model cards, with names that reveal no local paths."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from peft.utils import CONFIG_NAME

from qweft.adapter import QwthnConfig
from qweft.adapter.saving import END, START, method_section
from qweft.data.config import TOGETHER
from qweft.files import named_path, write_bytes
from qweft.models.resolve import HUB_ID
from qweft.publish.push import for_the_hub, renamed
from qweft.text import escaped


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
    config, data, training = record["config"], record["data"], record["config"]["training"]
    base, adapted, fit = record["base"], record["adapted"], record["training"]
    kind = adapter.peft_type.value
    method = escaped(str(config["adapter"].get("preset") or kind))
    sources = [each["source"] for each in config.get("data", {}).get("sources") or ()] or [data["source"]]
    source = escaped(TOGETHER.join(map(public_name, sources)))
    origin = escaped(public_name(record["model_origin"].removeprefix("local folder ")))
    model = escaped(public_name(record.get("model_hub_id") or config["model"]["name"]))
    section = f"## {kind} adapter\n\n- parameters: {record.get('trainable_parameters', 0):,}\n\n{LORA_LOADING}"
    if isinstance(adapter, QwthnConfig):
        section = method_section(adapter, shapes)
    rows, learned = data["parts"]["train"]["rows"], data["parts"]["train"]["target_tokens"]
    body = f"""{START}

Trained with qweft from {origin}.

{section}
## Data

{source}: {rows:,} training rows with {learned:,} learned tokens, rows of at most
{data["max_length"]:,} tokens; SHA-256 of all rows {data["fingerprint"][:16]}.

## Training

{_training(training, fit)}

## Results

| {config["evaluation"]["split"]} rows, {base["tokens"]:,} target tokens | loss | perplexity |
|---|---:|---:|
| base model | {_with_error(base)} | {base["perplexity"]:.2f} |
| with this adapter | {_with_error(adapted)} | {adapted["perplexity"]:.2f} |

The rows were not trained on. The error is the standard error over rows; one run, one seed.

{END}
"""
    front = {"library_name": "peft", "pipeline_tag": "text-generation", "tags": ["qweft", kind.lower()]}
    return card(f"{method} for {model}", body, record.get("model_hub_id"), **front)


def _training(training: Mapping[str, Any], fit: Mapping[str, Any]) -> str:
    taken_at_once = training["batch_size"] * training["gradient_accumulation"]
    rows = f"{taken_at_once} {'packs of rows' if training.get('packing') else 'rows'}"
    rates = "".join(f", {rate:g} of {part}" for part, rate in (training.get("learning_rates") or {}).items())
    best = fit.get("best_step")
    taken = "" if best in (None, fit["steps"]) else f" The adapter is that of step {best}, the best by validation loss."
    return (
        f"{fit['steps']} steps of {rows}, AdamW, learning rate {training['learning_rate']:g}{rates}, cosine schedule, "
        f"seed\n{training['seed']}; mean training loss {fit['train_loss']:.4f}.{taken}"
    )


def _with_error(loss: Mapping[str, Any]) -> str:
    error = loss.get("standard_error")
    return f"{loss['loss']:.4f}" + ("" if error is None else f" ± {error:.4f}")
