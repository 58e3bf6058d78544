"""The report of an export: terminal output, JSON, and the model card of its folder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Group
from rich.table import Table

from qweft.exporting.config import Target
from qweft.exporting.measure import Measured
from qweft.publish.card import card, public_name
from qweft.text import escaped

ROUNDING, ROUNDING_SHARE = 1e-4, 0.01
"""Rounding tolerance of a loss in float32, in nats and as a share of the gain; the smaller one applies."""


PYTHON = """It loads wherever {} does:

```python
{}
```"""
USES: dict[Target, tuple[str, str, str]] = {
    "lora": (
        "peft",
        "A LoRA made from a {} adapter",
        PYTHON.format(
            "LoRA",
            "from peft import AutoPeftModelForCausalLM\n\n"
            'model = AutoPeftModelForCausalLM.from_pretrained("this folder")',
        ),
    ),
    "gguf": (
        "gguf",
        "A LoRA in GGUF, made from a {} adapter",
        "llama.cpp adds it to any GGUF file of the base model:\n\n"
        "    llama-server --model base.gguf --lora adapter.gguf",
    ),
    "merged": (
        "transformers",
        "A model with a {} adapter in its weights",
        PYTHON.format(
            "transformers",
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'model = AutoModelForCausalLM.from_pretrained("this folder")\n'
            'tokenizer = AutoTokenizer.from_pretrained("this folder")',
        ),
    ),
    "merged-gguf": (
        "gguf",
        "A model with a {} adapter in its weights, in GGUF",
        "llama.cpp and what is built on it load the file:\n\n    llama-server --model model.gguf",
    ),
}
"""The hub's name of the library, the title, and the use of an export, for its card."""


@dataclass(frozen=True)
class ExportReport:
    """An exported adapter and the change in its loss.

    `calibration` is the text that a circuit or a LoRA was fitted on, `None` where nothing was. `rank` and `parameters`
    are those of the LoRA, with fully trained modules; `None` if the adapter itself was merged.
    `layers` has the share of each fitted layer's output that the fit explains. `written_relative_difference` is the
    largest difference of a logit between what was measured and the written files, read back, over the largest logit of
    one row.
    """

    adapter: Path
    output: Path
    model: str
    calibration: str | None
    calibration_tokens: int
    held_out: str
    measured: Measured
    rank: int | None
    parameters: int | None
    modules_to_save: Sequence[str]
    layers: Mapping[str, float]
    largest_lost_share: float
    hub_id: str | None = None
    to: Target = "lora"
    method: str = "QWTHN"
    has_circuit: bool = False
    written_relative_difference: float | None = None

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
        measured = self.measured
        table = Table(title=f"{self.held_out}, {measured.tokens:,} target tokens")
        for column in ("", "loss", "gain over base"):
            table.add_column(column, justify="right" if column else "left")
        own = "hybrid" if self.has_circuit else "adapter"
        losses = {"base": measured.base_loss, own: measured.hybrid_loss, "exported": measured.exported_loss}
        for name, loss in losses.items():
            table.add_row(name, f"{loss:.4f}", f"{measured.base_loss - loss:.4f}")
        lines = self._changes()
        if measured.kept_share is not None:
            lines.append(f"share of the gain kept {measured.kept_share:.1%}")
        if self.layers:
            shares = self.layers.values()
            what = "circuits" if self.has_circuit else "a LoRA"
            lines.append(
                f"{what} fitted on {self.calibration_tokens:,} tokens of {self.calibration}: it explains "
                f"{fmean(shares):.1%} of what the layers do (worst layer {min(shares):.1%})"
            )
        if self.rank is not None:
            lines.append(f"rank {self.rank}, {self.parameters:,} parameters")
        if self.modules_to_save:
            refused = " (vLLM refuses such a LoRA)" if self.to == "lora" else ""
            lines.append(f"trained whole and in the folder too: {', '.join(self.modules_to_save)}{refused}")
        if self.written_relative_difference is not None:
            lines.append(f"read back, logits differ by {self.written_relative_difference:.1g} of the largest at most")
        return Group(table, *lines)

    def _changes(self) -> list[str]:
        """Return what was measured of single logits."""
        change, equal = self.measured.largest_logit_change, self.measured.equal_greedy_share
        if change is None or equal is None:
            return []
        return [f"largest change of a logit {change:.4g}", f"equal greedy tokens {equal:.2%}"]

    def card(self) -> str:
        """Return the README.md of the exported folder."""
        measured, public = self.measured, self.public()
        lines = [f"{line[:1].upper()}{line[1:]}." for line in self._changes()]
        if measured.kept_share is not None:
            lines.append(f"It keeps {measured.kept_share:.1%} of the gain.")
        how = "It equals the adapter, up to rounding."
        if self.layers:
            text = f"on {self.calibration_tokens:,} tokens of {escaped(str(public['calibration']))}"
            how = f"The LoRA is the one of its rank that is nearest to the adapter {text}."
            if self.has_circuit:
                how = f"The circuit was replaced by its best linear fit {text}; what was linear is exact."
        sizes = (
            "" if self.rank is None else f" Rank {self.rank}, lora_alpha {self.rank}, {self.parameters:,} parameters."
        )
        method = "LoRA" if self.method == "LORA" else self.method
        library, title, use = USES[self.to]
        body = f"""`qweft export` made it; qweft is not needed to use it. {how}

| held-out rows, {measured.tokens:,} target tokens | loss |
|---|---:|
| base model | {measured.base_loss:.4f} |
| {method} adapter | {measured.hybrid_loss:.4f} |
| this export | {measured.exported_loss:.4f} |

{" ".join(lines)}

Base model: {escaped(str(public["model"]))}.{sizes}

{use}
"""
        return card(title.format(method), body, self.hub_id, library_name=library, tags=["lora", "qweft"])
