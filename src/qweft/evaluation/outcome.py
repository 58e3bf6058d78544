"""Results of evaluating an adapter and its base model, as JSON and as a table."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from qweft.evaluation.generation import Answer
from qweft.evaluation.row_scores import HeldOutLoss
from qweft.evaluation.scores import Compared, Score
from qweft.text import many


@dataclass(frozen=True)
class Evaluation:
    """Results of the base model and the adapted model on the same rows.

    `judged` has the results of the metrics for each answered row, `shown` is the number of answers for the terminal.
    `forgetting` has both models' losses on the other data, `harness` their results of lm-evaluation-harness.
    """

    adapter: Path
    model: str
    dtype: str
    device: str
    data: str
    split: str
    base: HeldOutLoss
    adapted: HeldOutLoss
    scores: list[Compared]
    base_answers: list[Answer]
    adapted_answers: list[Answer]
    judged: list[dict[str, Any]]
    shown: int
    max_new_tokens: int
    forgetting: tuple[HeldOutLoss, HeldOutLoss] | None = None
    harness: tuple[dict[str, Any], dict[str, Any]] | None = None
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return scores and answers as JSON can hold them."""
        answers = [
            {
                **base.to_json(),
                "generated": _of_both(base.generated, adapted.generated),
                "is_cut": _of_both(base.is_cut, adapted.is_cut),
                **judged,
            }
            for base, adapted, judged in zip(self.base_answers, self.adapted_answers, self.judged, strict=True)
        ]
        return {
            "adapter": str(self.adapter),
            "model": self.model,
            "dtype": self.dtype,
            "device": self.device,
            "data": self.data,
            "split": self.split,
            "rows": len(self.base.rows),
            "left_out": list(self.left_out),
            "base": asdict(self.base),
            "adapted": asdict(self.adapted),
            "scores": list(map(asdict, self.scores)),
            "max_new_tokens": self.max_new_tokens,
            "answers": answers,
            **({} if self.forgetting is None else {"forgetting": _of_both(*map(asdict, self.forgetting))}),
            **({} if self.harness is None else {"lm_eval": _of_both(*self.harness)}),
        }

    def describe(self) -> Group:
        """Return a table of scores, their notes, and the answers of both models, for the terminal."""
        rows, tokens = many(len(self.base.rows), "row"), many(self.base.tokens, "target token")
        table = Table(title=f"{self.data}, {self.split}: {rows}, {tokens}; {self.dtype} on {self.device}")
        for column in ("", "base", "adapted", "difference", "rows"):
            table.add_column(column, justify="right" if column else "left")
        for each in self.scores:
            name = Text(f"{each.name}, {each.unit}" if each.unit else each.name)
            table.add_row(name, *_cells(each), f"{each.base.rows:,}")
        panels = []
        pairs = list(zip(self.base_answers, self.adapted_answers, strict=True))
        for base, adapted in pairs[: self.shown]:
            text = Text()
            answers = {"reference": base.reference, "base": base.generated, "adapted": adapted.generated}
            for title, answer in answers.items():
                text.append(f"{title}: ", style="bold").append(f"{answer}\n")
            panels.append(Panel(text, title=Text(base.prompt[-200:]), title_align="left"))
        return Group(table, *(Text(note) for note in self._notes()), *panels)

    def _notes(self) -> list[str]:
        """Return each note on scores once, and the number of cut answers if metrics scored single rows."""
        told: dict[str, list[str]] = {}
        for each in self.scores:
            if each.note:
                told.setdefault(each.note, []).append(each.name)
        notes = [f"{', '.join(names)}: {note}" for note, names in told.items()]
        cut = [sum(answer.is_cut for answer in answers) for answers in (self.base_answers, self.adapted_answers)]
        if any(self.judged) and any(cut):
            notes.append(
                f"cut after {self.max_new_tokens} tokens (evaluation.max_new_tokens) or at the end of the context: "
                f"{cut[0]} of the base model's {many(len(self.base_answers), 'answer')}, {cut[1]} of the adapted one's"
            )
        return [*notes, *self.left_out]


def _of_both(base: Any, adapted: Any) -> dict[str, Any]:
    return {"base": base, "adapted": adapted}


def _cells(score: Compared) -> list[str]:
    digits = 1 if score.unit == "%" else 2 if score.name == "perplexity" else 4
    signed = _with_error(score.difference, f"+.{digits}f")
    return [_with_error(score.base, f".{digits}f"), _with_error(score.adapted, f".{digits}f"), signed]


def _with_error(score: Score, form: str) -> str:
    error = "" if score.standard_error is None else f" ± {score.standard_error:{form.removeprefix('+')}}"
    return f"{score.value:{form}}{error}"
