"""A trained adapter judged beside its base model."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from qweft.data.load import load_data
from qweft.evaluation.answers import Answer, generate_answers
from qweft.evaluation.checks import check_evaluation
from qweft.evaluation.loss import HeldOutLoss, held_out_loss
from qweft.evaluation.saved import put_on, sections_of
from qweft.models.load import load_model


@dataclass(frozen=True)
class Evaluation:
    """Base model and adapter on the same rows.

    Args:
        adapter: The adapter's folder.
        model: Where the base model came from.
        data: The data's source.
        split: The rows: validation or test.
        base: The base model's loss.
        adapted: The adapted model's loss.
        base_answers: Answers of the base model.
        adapted_answers: Answers of the adapted model to the same prompts.
    """

    adapter: Path
    model: str
    data: str
    split: str
    base: HeldOutLoss
    adapted: HeldOutLoss
    base_answers: list[Answer]
    adapted_answers: list[Answer]

    def to_json(self) -> dict[str, Any]:
        """Numbers and answers as JSON can hold them."""
        return {
            "adapter": str(self.adapter),
            "model": self.model,
            "data": self.data,
            "split": self.split,
            "base": asdict(self.base),
            "adapted": asdict(self.adapted),
            "answers": [
                {**base.to_json(), "generated": {"base": base.generated, "adapted": adapted.generated}}
                for base, adapted in zip(self.base_answers, self.adapted_answers, strict=True)
            ],
        }

    def describe(self) -> Group:
        """A table of the losses, and the answers side by side, for the terminal."""
        table = Table(title=f"{self.data}, {self.split} rows, {self.base.tokens:,} target tokens")
        for column in ("", "loss", "standard error", "perplexity"):
            table.add_column(column, justify="right" if column else "left")
        for name, found in (("base", self.base), ("adapted", self.adapted)):
            error = "-" if found.standard_error is None else f"{found.standard_error:.4f}"
            table.add_row(name, f"{found.loss:.4f}", error, f"{found.perplexity:.2f}")
        panels = []
        for base, adapted in zip(self.base_answers, self.adapted_answers, strict=True):
            text = Text()
            for title, answer in (
                ("reference", base.reference),
                ("base", base.generated),
                ("adapted", adapted.generated),
            ):
                text.append(f"{title}: ", style="bold").append(f"{answer}\n")
            panels.append(Panel(text, title=Text(base.prompt[-200:]), title_align="left"))
        return Group(table, *panels)


def evaluate(adapter: Path, overrides: dict[str, Any] | None = None) -> Evaluation:
    """Judge an adapter and its base model on rows that were not trained on.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors.
        overrides: Keys of the sections model, data and evaluation that differ from the run that trained it.

    Raises:
        QweftError: If the folder holds no adapter, its file does not fit, or model or data cannot be had.
    """
    model_config, data_config, judging = sections_of(adapter, overrides or {})
    check_evaluation(judging, data_config)
    loaded = load_model(model_config)
    data = load_data(data_config, loaded.tokenizer)
    model = put_on(loaded, adapter)
    rows, texts = data.test, data.test_conversations
    if judging.split == "validation":
        rows, texts = data.validation, data.validation_conversations
    shown = texts[: judging.answers]

    def judge() -> tuple[HeldOutLoss, list[Answer]]:
        loss = held_out_loss(model, rows, loaded.tokenizer.pad_token_id, judging.batch_size)
        return loss, generate_answers(model, loaded.tokenizer, shown, judging.max_new_tokens)

    with model.disable_adapter():
        base, base_answers = judge()
    adapted, adapted_answers = judge()
    return Evaluation(
        adapter, loaded.source.origin, data_config.source, judging.split, base, adapted, base_answers, adapted_answers
    )
