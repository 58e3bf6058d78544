"""The report of an export: terminal output, JSON, and the model card of its folder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from rich.console import Group
from rich.table import Table

from qweft.core.errors import QweftError
from qweft.core.text import escape_markdown
from qweft.exporting.config import Target
from qweft.exporting.measure import Measured
from qweft.publish.card import card, public_name

ROUNDING, ROUNDING_SHARE = 1e-4, 0.01
"""Rounding tolerance of a loss in float32, in nats and as a share of the gain; the smaller one applies."""
IN_PYTHON = """```python
from {0} import {1}

model = {1}.from_pretrained("this folder")
```"""
USES: dict[Target, tuple[str, str, str]] = {
    "lora": ("peft", "A LoRA made from a {} adapter", IN_PYTHON.format("peft", "AutoPeftModelForCausalLM")),
    "gguf": (
        "gguf",
        "A LoRA in GGUF, made from a {} adapter",
        "    llama-server --model base.gguf --lora adapter.gguf",
    ),
    "merged": (
        "transformers",
        "A model with a {} adapter in its weights",
        IN_PYTHON.format("transformers", "AutoModelForCausalLM"),
    ),
    "merged-gguf": (
        "gguf",
        "A model with a {} adapter in its weights, in GGUF",
        "    llama-server --model model.gguf",
    ),
}
"""The hub's name of the library, the title, and the use of an export, for its card."""


@dataclass(frozen=True)
class ExportReport:
    """An exported adapter and the change in its loss."""

    adapter: Path
    output: Path
    model: str
    calibration: str | None  # text that was fitted on; `None` where nothing was
    calibration_tokens: int
    held_out: str
    measured: Measured
    rank: int | None  # of the LoRA, as parameters; `None` if the adapter was merged
    parameters: int | None
    modules_to_save: Sequence[str]
    layers: Mapping[str, float]  # share of each fitted layer's output that the fit explains
    largest_lost_share: float
    hub_id: str | None = None
    to: Target = "lora"
    method: str = "QWTHN"
    has_circuit: bool = False
    written_relative_difference: float | None = None  # of logits, measured to written, over a row's largest

    @property
    def refusal(self) -> str | None:
        """Reason to refuse the export, as a clause; `None` if it is good enough."""
        measured, share = self.measured, self.largest_lost_share
        base, hybrid, exported = measured.base_loss, measured.hybrid_loss, measured.exported_loss
        losses = f"{base:.4f} base, {hybrid:.4f} hybrid, {exported:.4f} exported"
        if not math.isfinite(base + hybrid + exported):
            return f"a held-out loss is no number ({losses})"
        lost = exported - hybrid
        if measured.gain <= 0:
            message = f"the adapter gains nothing, and the export loses {lost:.4f} more ({losses})"
            return None if lost <= ROUNDING else message
        if lost <= share * measured.gain + min(ROUNDING, ROUNDING_SHARE * measured.gain):
            return None
        if not measured.is_clear:
            error = f"{measured.gain:.4f} ± {measured.gain_error:.4f}"
            return f"the adapter's gain is within twice its error ({error}), and the export loses {lost:.4f} ({losses})"
        return f"the export loses {lost / measured.gain:.1%} of the adapter's gain, more than {share:.1%} ({losses})"

    def check(self) -> None:
        """Raise if nothing was written."""
        if self.refusal is not None:
            more = "more --calibration-tokens, or " if self.layers else ""
            raise QweftError(f"nothing was written: {self.refusal}; try {more}--force")

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON-compatible values, with the losses and differences at the top level."""
        fields = {key: value for key, value in asdict(self).items() if key not in ("hub_id", "has_circuit")}
        judged = {"kept_share": self.measured.kept_share, "refused": self.refusal}
        return {**fields.pop("measured"), **judged, **fields, "adapter": str(self.adapter), "output": str(self.output)}

    def public(self) -> dict[str, Any]:
        """Return `to_json` without local paths, for publication in the exported folder."""
        kept = {key: value for key, value in self.to_json().items() if key not in ("adapter", "output", "held_out")}
        for key in ("calibration", "model"):
            kept[key] = kept[key] and public_name(kept[key].removeprefix("local folder "))
        return kept

    def describe(self) -> Group:
        """Return the report for the terminal."""
        table = Table(title=f"{self.held_out}, {self.measured.tokens:,} target tokens")
        for column in ("", "loss", "gain over base"):
            table.add_column(column, justify="right" if column else "left")
        for name, loss in self._losses().items():
            table.add_row(name, f"{loss:.4f}", f"{self.measured.base_loss - loss:.4f}")
        return Group(table, self._sentences(str(self.calibration)))

    @property
    def _method(self) -> str:
        return "LoRA" if self.method == "LORA" else self.method

    def _losses(self) -> dict[str, float]:
        base, hybrid, exported = self.measured.base_loss, self.measured.hybrid_loss, self.measured.exported_loss
        return {"base model": base, f"{self._method} adapter": hybrid, "export": exported}

    def _sentences(self, text: str) -> str:
        """Return what was fitted on a text, measured and written."""
        templates = Environment(loader=PackageLoader("qweft.exporting", "."), trim_blocks=True, lstrip_blocks=True)
        return templates.get_template("outcome.j2").render(vars(self), text=text).rstrip()

    def card(self) -> str:
        """Return the README.md of the exported folder."""
        public = self.public()
        rows = "\n".join(f"| {name} | {loss:.4f} |" for name, loss in self._losses().items())
        library, title, use = USES[self.to]
        body = f"""`qweft export` made it; qweft is not needed to use it.

| held-out rows, {self.measured.tokens:,} target tokens | loss |
|---|---:|
{rows}

{self._sentences(escape_markdown(str(public["calibration"])))}

Base model: {escape_markdown(str(public["model"]))}.

{use}
"""
        return card(title.format(self._method), body, self.hub_id, library_name=library, tags=["lora", "qweft"])
