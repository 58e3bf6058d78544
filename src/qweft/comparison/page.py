"""The comparison as one HTML file that needs nothing else: no network, no scripts."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from qweft.comparison.curves import curves_svg, sizes_svg
from qweft.comparison.kinds import Kind
from qweft.comparison.results import BASE, Run
from qweft.comparison.summary import Summary, findings, summarise
from qweft.comparison.table import EMPTY, cells
from qweft.errors import QweftError

KINDS: dict[Kind, str] = {
    "base": "untouched model",
    "lora": "LoRA",
    "hybrid": "with a circuit",
    "no_circuit": "no circuit",
    "twin": "stand-in for the circuit",
    "other": "other adapter",
}
DIRECTIONS = {"lower": "lower loss", "higher": "higher loss", "not shown": "not shown", "open": "open"}
ENVIRONMENT_NAMES = {
    "model_origin": "weights",
    "data_fingerprint": "data fingerprint",
    "device_name": "device name",
    "git_commit": "commit",
    "dtype": "type of the weights",
}


def render_page(results: dict[str, Any], config_yaml: str, title: str) -> str:
    """The report of a comparison as the text of report.html.

    Everything that comes from models, data or the configuration is escaped.

    Args:
        results: The content of results.json: "runs", "summary" (which names the reference), "environment".
        config_yaml: The comparison's configuration as YAML text.
        title: What was compared on what.

    Returns:
        A whole HTML document with its styles and figures inside.

    Raises:
        QweftError: There are no runs, or they are not well formed.
    """
    runs = [Run.from_json(record) for record in results.get("runs", [])]
    if not runs:
        raise QweftError("there is no run to report on")
    summary = summarise(runs, _reference(results))
    environment = dict(results.get("environment") or {})
    command = environment.pop("command", None)
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template.filters["minus"] = _minus
    source = files("qweft.comparison").joinpath("page.html.j2").read_text(encoding="utf-8")
    return template.from_string(source).render(
        title=title,
        model=runs[0].model,
        data=runs[0].data,
        reference=_reference(results),
        seeds=sorted({run.seed for run in runs if run.method != BASE}),
        steps=sorted({run.steps for run in runs if run.method != BASE}),
        findings=findings(summary),
        directions=DIRECTIONS,
        rows=[_row(entry) for entry in summary.values()],
        trained=any(run.train_loss_curve for run in runs),
        curves=Markup(curves_svg(runs)),
        sizes=Markup(sizes_svg(runs)),
        answers=_answers(runs, list(summary)),
        rates=_rates(summary, config_yaml),
        command=command,
        environment={ENVIRONMENT_NAMES.get(key, key): value for key, value in environment.items() if value is not None},
        config_yaml=config_yaml,
        row_error=max((run.eval_standard_error for run in runs if run.eval_standard_error is not None), default=None),
        has_circuit=any(entry.kind == "hybrid" for entry in summary.values()),
        dequantised="dequant" in str(environment.get("model_origin", "")).lower(),
    )


def _reference(results: dict[str, Any]) -> str:
    """The method that the others were held against."""
    named = {str(entry["reference"]) for entry in (results.get("summary") or {}).values() if "reference" in entry}
    return named.pop() if len(named) == 1 else "lora"


def _row(entry: Summary) -> dict[str, Any]:
    """One method's line: for each column a number and, smaller, its spread or its relation to the reference."""
    name, size, more, rate, _, _, perplexity, difference, seconds, memory = cells(entry)
    is_reference = entry.method == entry.reference
    loss = f"{entry.eval_loss:.4f}" if entry.eval_loss is not None else f"{entry.diverged} of {len(entry.seeds)}"
    return {
        "name": name,
        "kind": KINDS[entry.kind] + (", reference" if is_reference else ""),
        "role": "reference" if is_reference else entry.kind,
        "cells": [
            (size, "" if is_reference or more == EMPTY else more),
            (loss, "diverged" if entry.diverged else _spread(entry.eval_loss_deviation, 4)),
            (EMPTY, "") if is_reference else (difference, _spread(entry.eval_loss_difference_deviation, 1)),
            (perplexity, ""),
            (EMPTY if entry.train_loss is None else f"{entry.train_loss:.3f}", _spread(entry.train_loss_deviation, 3)),
            (rate, ""),
            (seconds, "" if is_reference else _times(entry.step_time_ratio)),
            (memory, "" if is_reference else _times(entry.memory_ratio)),
        ],
    }


def _answers(runs: Sequence[Run], methods: list[str]) -> list[dict[str, Any]]:
    """For each prompt the reference and what each method at its first seed made of it."""
    first = {method: min((r for r in runs if r.method == method), key=lambda r: r.seed) for method in methods}
    prompts: dict[str, dict[str, Any]] = {}
    for method in methods:
        for answer in first[method].answers:
            prompt = str(answer.get("prompt", ""))
            shown = prompts.setdefault(
                prompt, {"prompt": prompt, "reference": answer.get("reference", ""), "generated": []}
            )
            name = "untouched model" if method == BASE else f"{method}, seed {first[method].seed}"
            shown["generated"].append((name, answer.get("generated", "")))
    return list(prompts.values())


def _rates(summary: Mapping[str, Summary], config_yaml: str) -> list[tuple[str, str, str]]:
    """Each method's learning rate and where it comes from."""
    try:
        config = yaml.safe_load(config_yaml)
        methods = config["methods"]
        own = {method for method in methods if (methods[method] or {}).get("learning_rate") is not None}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        own = None  # not a comparison's configuration: the rates stand, their source is not known
    rows = []
    for entry in summary.values():
        if entry.kind == "base" or entry.learning_rate is None:
            continue
        source = "the training section's, shared" if own is not None else "not recorded"
        if own is not None and entry.method in own:
            source = "set for this method in the configuration below"
        rows.append((entry.method, f"{entry.learning_rate:g}", source))
    return rows


def _spread(value: float | None, digits: int) -> str:
    """A standard deviation over seeds."""
    return "" if value is None else f"± {value:.{digits}f}"


def _times(ratio: float | None) -> str:
    """A ratio to the reference."""
    return "" if ratio is None else f"{ratio:.2f} ×"


def _minus(text: str) -> str:
    """The text with a minus sign as wide as the plus before its negative numbers; names keep their hyphens."""
    return re.sub(r"(?<![\w.])-(?=[\d.])", "−", text)
