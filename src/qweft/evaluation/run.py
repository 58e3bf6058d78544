"""`qweft evaluate`: an adapter and its base model, judged on the run's data and on other data (forgetting)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from qweft.core.errors import QweftError
from qweft.core.text import many
from qweft.data.config import DataConfig
from qweft.data.load import load_data
from qweft.data.sources import read_conversations
from qweft.data.tokens import Encoded, fit, tokenise
from qweft.evaluation.checks import check_judging
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.generation import Answer, generate_answers, prompt_of, reads_whole_text
from qweft.evaluation.harness import compare_harness, run_harness
from qweft.evaluation.loss import check_room, held_out_loss
from qweft.evaluation.metrics import metric_of, score_answers
from qweft.evaluation.record import tell_unasked
from qweft.evaluation.saved import load_subject
from qweft.evaluation.scores import Compared, HeldOutLoss, Score, compare_losses, compare_perplexities

LENGTH = "evaluation.forgetting_length"
"""The setting by which the rows of other data are cut."""


@dataclass(frozen=True)
class Evaluation:
    """Results of both models on the same rows; `judged` has what metrics found of each answer."""

    adapter: Path
    model: str
    dtype: str
    device: str
    data: str
    split: str
    base: HeldOutLoss
    adapted: HeldOutLoss
    scores: list[Compared]
    answers: list[tuple[Answer, Answer]]
    judged: list[dict[str, Any]]
    shown: int
    max_new_tokens: int
    forgetting: tuple[HeldOutLoss, HeldOutLoss] | None = None
    harness: tuple[dict[str, Any], dict[str, Any]] | None = None
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return scores and answers as JSON can hold them."""
        whole = asdict(self) | {"adapter": str(self.adapter), "rows": len(self.base.rows)}
        judged, forgetting, harness, _ = (whole.pop(name) for name in ("judged", "forgetting", "harness", "shown"))
        whole["answers"] = [
            {
                **base.to_json(),
                "generated": _of_both(base.generated, adapted.generated),
                "is_cut": _of_both(base.is_cut, adapted.is_cut),
                **found,
            }
            for (base, adapted), found in zip(self.answers, judged, strict=True)
        ]
        if forgetting is not None:
            whole["forgetting"] = _of_both(*forgetting)
        return whole if harness is None else whole | {"lm_eval": _of_both(*harness)}

    def describe(self) -> Group:
        """Return a table of scores, their notes, and the answers of both models, for the terminal."""
        rows, tokens = many(len(self.base.rows), "row"), many(self.base.tokens, "target token")
        table = Table(title=f"{self.data}, {self.split}: {rows}, {tokens}; {self.dtype} on {self.device}")
        for column in ("", "base", "adapted", "difference", "rows"):
            table.add_column(column, justify="right" if column else "left")
        for each in self.scores:
            digits = 1 if each.unit == "%" else 2 if each.name == "perplexity" else 4
            cells = [_with_error(score, f".{digits}f") for score in (each.base, each.adapted)]
            name = Text(f"{each.name}, {each.unit}" if each.unit else each.name)
            table.add_row(name, *cells, _with_error(each.difference, f"+.{digits}f"), f"{each.base.rows:,}")
        panels = []
        for base, adapted in self.answers[: self.shown]:
            text = Text()
            answers = {"reference": base.reference, "base": base.generated, "adapted": adapted.generated}
            for title, answer in answers.items():
                text.append(f"{title}: ", style="bold").append(f"{answer}\n")
            panels.append(Panel(text, title=Text(base.prompt[-200:]), title_align="left"))
        return Group(table, *map(Text, self._notes()), *panels)

    def _notes(self) -> list[str]:
        """Return each note on scores once, and the number of cut answers if metrics scored single rows."""
        names: dict[str, list[str]] = {}
        for each in self.scores:
            names.setdefault(each.note, []).append(each.name)
        notes = [f"{', '.join(of_note)}: {note}" for note, of_note in names.items() if note]
        cut = [sum(pair[which].is_cut for pair in self.answers) for which in (0, 1)]
        if any(self.judged) and any(cut):
            notes.append(
                f"cut after {self.max_new_tokens} tokens (evaluation.max_new_tokens) or at the end of the context: "
                f"{cut[0]} of the base model's {many(len(self.answers), 'answer')}, {cut[1]} of the adapted one's"
            )
        return [*notes, *self.left_out]


def _of_both(base: Any, adapted: Any) -> dict[str, Any]:
    return {"base": base, "adapted": adapted}


def _with_error(score: Score, form: str) -> str:
    error = "" if score.standard_error is None else f" ± {score.standard_error:{form.removeprefix('+')}}"
    return f"{score.value:{form}}{error}"


def other_rows(judging: EvaluationConfig, data: DataConfig, tokenizer: Any) -> list[Encoded]:
    """Return the rows on which forgetting is measured: drawn like test rows, or the first ones; empty if unasked."""
    source, count = judging.forgetting, judging.forgetting_rows
    if source is None:
        return []
    try:
        config = DataConfig(
            source,
            train_rows=1,
            validation_rows=0,
            test_rows=count,
            max_length=judging.forgetting_length,
            split_seed=data.split_seed,
            skip_bad_rows=data.skip_bad_rows,
        )
        if not judging.forgetting_first:
            return load_data(config, tokenizer).test
        conversations = list(read_conversations(replace(config, max_rows=count)))
    except QweftError as error:
        raise QweftError(f"evaluation.forgetting: {error}") from error
    # cut to the maximum length: a long plain text is not split into several rows
    rows = [fit(tokenise(each, tokenizer), judging.forgetting_length, "cut") for each in conversations]
    kept = [row for row in rows if row is not None]
    if len(kept) < count:
        raise QweftError(f"evaluation.forgetting: {source}: {len(kept)} of {count} rows fit; raise {LENGTH}")
    return kept


def evaluate(adapter: Path, overrides: Mapping[str, Any] | None = None) -> Evaluation:
    """Evaluate an adapter and its base model on held-out rows.

    Args:
        adapter: A folder with adapter_config.json and adapter_model.safetensors.
        overrides: Settings of the sections model, data and evaluation that replace those of the training run.

    Returns:
        Losses, scores and answers of both models.

    Raises:
        QweftError: If the folder holds no adapter, its file does not fit the model, a setting is wrong, or the model,
            the data or a package is missing.
    """
    model_config, data_config, judging = check_judging(adapter, overrides or {})
    tell_unasked(adapter, dict(overrides or {}))
    subject = load_subject(adapter, overrides or {}, model_config, data_config, judging)
    data, loaded, tokenizer = subject.data, subject.loaded, subject.data.tokenizer
    other = other_rows(judging, data_config, loaded.tokenizer)
    check_room(loaded.model, other, LENGTH)
    to_answer = data.to_answer(judging.split)
    scored = to_answer[: judging.generated] if judging.metrics else []
    asked = [prompt_of(each, tokenizer) for each in to_answer[: max(len(scored), judging.answers)]]
    for metric in judging.metrics:
        metric_of(metric).check_rows([each.reference for each in asked[: len(scored)]])
    if judging.lm_eval and reads_whole_text(subject.model):
        raise QweftError(f"evaluation.lm_eval: the harness has no whole texts, which {adapter} reads; leave it out")

    def judge(model: Any) -> tuple[HeldOutLoss, HeldOutLoss | None, dict[str, Any] | None, list[Answer]]:
        pad, size = tokenizer.pad_token_id, judging.batch_size
        loss = held_out_loss(model, subject.rows, pad, size)
        elsewhere = held_out_loss(model, other, pad, size, key=LENGTH) if other else None
        harness = None
        if judging.lm_eval:  # before the answers, which may take hours: only the harness knows whether a task exists
            harness = run_harness(model, tokenizer, judging.lm_eval, judging.lm_eval_limit, size)
        answers = generate_answers(model, tokenizer, asked, judging.max_new_tokens, judging.generation_batch)
        return loss, elsewhere, harness, answers

    with subject.base() as untouched:
        of_base = judge(untouched)
    pairs: Any = zip(of_base, judge(subject.model), strict=True)
    losses, elsewhere, harness, answers = pairs
    source = data_config.source_of(judging.split)
    scores = [compare_losses(*losses), compare_perplexities(*losses)]
    of_answers, judged = score_answers(judging.metrics, source, scored, *(each[: len(scored)] for each in answers))
    scores += of_answers
    if other:
        name, note = f"loss on {judging.forgetting}", "forgetting is its rise"
        scores.append(compare_losses(elsewhere[0], elsewhere[1], name, note))
    if judging.lm_eval:
        scores += compare_harness(*harness)
    return Evaluation(
        adapter=adapter,
        model=loaded.source.origin,
        dtype=subject.dtype,
        device=str(loaded.device),
        data=source,
        split=judging.split,
        base=losses[0],
        adapted=losses[1],
        scores=scores,
        answers=list(zip(*answers, strict=True)),
        judged=judged + [{} for _ in asked[len(scored) :]],
        shown=judging.answers,
        max_new_tokens=judging.max_new_tokens,
        forgetting=elsewhere if other else None,
        harness=harness if judging.lm_eval else None,
        left_out=tuple(data.report.judged_without(judging.split)),
    )
