"""The report of an export: terminal output, JSON, and the model card of its folder."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from rich.console import Group
from rich.table import Table

from qweft.exporting.config import Target
from qweft.exporting.linearise import LayerFit
from qweft.exporting.measure import Measured
from qweft.publish.card import public_name
from qweft.text import escaped

ROUNDING, ROUNDING_SHARE = 1e-4, 0.01
"""Rounding tolerance of a loss in float32, in nats and as a share of the gain; the smaller one applies."""


class Use(NamedTuple):
    """How an export is used, for its card: library by the hub's name, title, where it loads, and how."""

    library: str
    title: str
    where: str
    how: str


USES: dict[Target, Use] = {
    "lora": Use(
        "peft",
        "A LoRA made from a {method} adapter",
        "It loads wherever LoRA does",
        """```python
from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained("this folder")
```""",
    ),
    "gguf": Use(
        "gguf",
        "A LoRA in GGUF, made from a {method} adapter",
        "llama.cpp adds it to any GGUF file of the base model",
        "    llama-server --model base.gguf --lora adapter.gguf",
    ),
    "merged": Use(
        "transformers",
        "A model with a {method} adapter in its weights",
        "It loads wherever transformers' models do",
        """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("this folder")
tokenizer = AutoTokenizer.from_pretrained("this folder")
```""",
    ),
    "merged-gguf": Use(
        "gguf",
        "A model with a {method} adapter in its weights, in GGUF",
        "llama.cpp and what is built on it load the file",
        "    llama-server --model model.gguf",
    ),
}


@dataclass(frozen=True)
class ExportReport:
    """An exported adapter and the change in its loss.

    Args:
        adapter: Folder of the original adapter.
        output: Folder of the export.
        model: Origin of the base model.
        calibration: Text that the circuits were fitted on; `None` without a circuit.
        calibration_tokens: Number of its tokens; 0 without a circuit.
        distill_steps: Training steps after the fit.
        held_out: Source and split of the held-out rows.
        measured: Losses and differences on these rows.
        rank: Rank of the LoRA.
        parameters: Number of parameters of the LoRA, including fully trained modules.
        whole: Fully trained modules, which are part of the export.
        layers: Quality of the fit to each layer's circuit.
        largest_lost_share: Largest share of the gain that the export may lose.
        hub_id: Hub id of the base model; `None` if it is not on the hub.
        to: The format.
        is_own: Whether the adapter is a QWTHN adapter, and no LoRA.
        written_difference: Largest difference of a logit between what was measured and the written files, read back, on
            one row; `None` before they are written.
    """

    adapter: Path
    output: Path
    model: str
    calibration: str | None
    calibration_tokens: int
    distill_steps: int
    held_out: str
    measured: Measured
    rank: int
    parameters: int
    whole: Sequence[str]
    layers: Sequence[LayerFit]
    largest_lost_share: float
    hub_id: str | None = None
    to: Target = "lora"
    is_own: bool = True
    written_difference: float | None = None

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
        return {
            **asdict(self.measured),
            "kept_share": self.measured.kept_share,
            "refused": self.refusal,
            "to": self.to,
            "written_logit_difference": self.written_difference,
            "adapter": str(self.adapter),
            "output": str(self.output),
            "model": self.model,
            "calibration": self.calibration,
            "calibration_tokens": self.calibration_tokens,
            "distill_steps": self.distill_steps,
            "held_out": self.held_out,
            "rank": self.rank,
            "parameters": self.parameters,
            "modules_to_save": list(self.whole),
            "largest_lost_share": self.largest_lost_share,
            "layers": [asdict(layer) for layer in self.layers],
        }

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
        own = "hybrid" if self.layers else "adapter"
        losses = {"base": measured.base_loss, own: measured.hybrid_loss, "exported": measured.exported_loss}
        for name, loss in losses.items():
            table.add_row(name, f"{loss:.4f}", f"{measured.base_loss - loss:.4f}")
        lines = self._changes()
        if measured.kept_share is not None:
            lines.append(f"share of the gain kept {measured.kept_share:.1%}")
        if self.layers:
            shares = [layer.explained for layer in self.layers]
            lines.append(
                f"circuits fitted on {self.calibration_tokens:,} tokens of {self.calibration}: a linear map explains "
                f"{fmean(shares):.1%} of what they do (worst layer {min(shares):.1%})"
            )
        lines.append(f"rank {self.rank}, {self.parameters:,} parameters")
        if self.whole:
            refused = " (vLLM refuses such a LoRA)" if self.to == "lora" else ""
            lines.append(f"trained whole and in the folder too: {', '.join(self.whole)}{refused}")
        if self.written_difference is not None:
            lines.append(f"read back, a logit of a held-out row differs by {self.written_difference:.2g} at most")
        return Group(table, *lines)

    def _changes(self) -> list[str]:
        """Return what was measured of single logits."""
        measured = self.measured
        if measured.largest_logit_change is None or measured.equal_greedy_share is None:
            return []
        return [
            f"largest change of a logit {measured.largest_logit_change:.4g}",
            f"equal greedy tokens {measured.equal_greedy_share:.2%}",
        ]

    def card(self) -> str:
        """Return the README.md of the exported folder."""
        measured, public = self.measured, self.public()
        kept = "" if measured.kept_share is None else f"It keeps {measured.kept_share:.1%} of the gain."
        changes = ", ".join(self._changes()).capitalize()
        summary = " ".join(filter(None, (changes and f"{changes}.", kept)))
        how = (
            f"The circuit was replaced by its best linear fit on {self.calibration_tokens:,} tokens of "
            f"{escaped(str(public['calibration']))}; what was linear is exact."
            if self.layers
            else "The adapter had no circuit, so this export equals it, up to rounding."
        )
        distilled = f" {self.distill_steps} steps of distillation followed." if self.distill_steps else ""
        base = f"base_model: {self.hub_id}\n" if self.hub_id else ""
        use = USES[self.to]
        method = "QWTHN" if self.is_own else "LoRA"
        return f"""---
library_name: {use.library}
{base}tags: [lora, qweft]
---

# {use.title.format(method=method)}

`qweft export` made it. {how}{distilled} {use.where}; qweft is not needed.

| held-out rows, {measured.tokens:,} target tokens | loss |
|---|---:|
| base model | {measured.base_loss:.4f} |
| {method} adapter | {measured.hybrid_loss:.4f} |
| this export | {measured.exported_loss:.4f} |

{summary}

Base model: {escaped(str(public["model"]))}. Rank {self.rank}, lora_alpha {self.rank}, {self.parameters:,} parameters.

{use.how}
"""
