"""Evaluation of an adapter and its base model, on the run's data and on other data (forgetting)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qweft.data.config import DataConfig
from qweft.data.formats import to_conversation
from qweft.data.load import load_data
from qweft.data.read import read_rows
from qweft.data.split import TooFewRowsError
from qweft.data.tokens import Encoded, encode
from qweft.errors import QweftError
from qweft.evaluation.answer_scores import check_packages, check_rows, score_answers
from qweft.evaluation.checks import check_judging
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.generation import Answer, generate_answers, reads_whole_text
from qweft.evaluation.harness import check_harness, compare_harness, run_harness
from qweft.evaluation.loss import check_room, held_out_loss
from qweft.evaluation.metric import Both
from qweft.evaluation.outcome import Evaluation
from qweft.evaluation.record import tell_unasked
from qweft.evaluation.row_scores import HeldOutLoss
from qweft.evaluation.saved import check_runs
from qweft.evaluation.scores import compare_losses, compare_perplexities
from qweft.evaluation.subject import load_subject
from qweft.models.config import ModelConfig

KEY = "evaluation.forgetting"
LENGTH = f"{KEY}_length"
"""The setting by which the rows of other data are cut."""


def other_rows(judging: EvaluationConfig, data: DataConfig, tokenizer: Any) -> list[Encoded]:
    """Return the rows on which forgetting is measured; empty if it is not requested.

    They are drawn like the test rows of a run on that data, or are its first rows.
    """
    if judging.forgetting is None:
        return []
    config = DataConfig(
        judging.forgetting,
        train_rows=1,
        validation_rows=0,
        test_rows=judging.forgetting_rows,
        max_length=judging.forgetting_length,
        split_seed=data.split_seed,
        skip_bad_rows=data.skip_bad_rows,
    )
    try:
        if judging.forgetting_first:
            return _first_rows(judging.forgetting, judging, tokenizer)
        return load_data(config, tokenizer).test
    except TooFewRowsError as error:
        raise QweftError(
            f"{KEY} {judging.forgetting}: it has too few rows for {judging.forgetting_rows} and one of another group; "
            "lower evaluation.forgetting_rows, or give more data"
        ) from error
    except QweftError as error:
        raise QweftError(f"{KEY}: {error}") from error


def _first_rows(source: str, judging: EvaluationConfig, tokenizer: Any) -> list[Encoded]:
    """Return the first rows, cut to the maximum length; a long plain text is not split into several rows."""
    rows = [
        encode(to_conversation(row, where), tokenizer, judging.forgetting_length)
        for where, row in read_rows(source, judging.forgetting_rows)
    ]
    kept = [row for row in rows if row is not None]
    if len(kept) < judging.forgetting_rows:
        raise QweftError(
            f"{source}: of its first {judging.forgetting_rows} rows {len(kept)} have an answer within "
            f"{judging.forgetting_length} tokens; lower evaluation.forgetting_rows, or raise {LENGTH}"
        )
    return kept


def checked_sections(adapter: Path, overrides: dict[str, Any]) -> tuple[ModelConfig, DataConfig, EvaluationConfig]:
    """Return the sections of `check_judging`, after checking the packages they need."""
    model, data, judging = check_judging(adapter, overrides, needs_weights=False)
    tell_unasked(adapter, overrides)
    check_packages(judging.metrics)
    if judging.lm_eval:
        check_harness(judging.lm_eval)
    return model, data, judging


@dataclass(frozen=True)
class _Judged:
    """Results of one model; those that were not requested are empty or `None`."""

    loss: HeldOutLoss
    elsewhere: HeldOutLoss | None
    answers: list[Answer]
    harness: dict[str, Any] | None


def evaluate(adapter: Path, overrides: dict[str, Any] | None = None) -> Evaluation:
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
    model_config, data_config, judging = checked_sections(adapter, overrides or {})
    subject = load_subject(adapter, overrides or {}, model_config, data_config, judging)
    data, loaded, tokenizer = subject.data, subject.loaded, subject.data.tokenizer
    other = other_rows(judging, data_config, loaded.tokenizer)
    check_room(loaded.model, other, LENGTH)
    texts = data.to_answer(judging.split)
    scored = texts[: judging.generated] if judging.metrics else []
    asked = texts[: max(len(scored), judging.answers)]
    check_rows(judging.metrics, scored, tokenizer)
    check_runs(subject.model, loaded, adapter)
    if judging.lm_eval and reads_whole_text(subject.model):
        raise QweftError(
            f"evaluation.lm_eval: {adapter} has virtual tokens, or tokens from which on it acts, and the harness knows "
            "neither; leave it out"
        )

    def judge(model: Any) -> _Judged:
        pad, size = tokenizer.pad_token_id, judging.batch_size
        loss = held_out_loss(model, subject.rows, pad, size)
        elsewhere = held_out_loss(model, other, pad, size, key=LENGTH) if other else None
        harness = None
        if judging.lm_eval:  # before the answers, which may take hours: only the harness knows whether a task exists
            harness = run_harness(model, tokenizer, judging.lm_eval, judging.lm_eval_limit, size)
        answers = generate_answers(model, tokenizer, asked, judging.max_new_tokens, judging.generation_batch)
        return _Judged(loss, elsewhere, answers, harness)

    with subject.base() as untouched:
        base = judge(untouched)
    adapted = judge(subject.model)
    source = data_config.source_of(judging.split)
    scores = [compare_losses(base.loss, adapted.loss), compare_perplexities(base.loss, adapted.loss)]
    rows_of_answers: list[dict[str, Any]] = []
    if scored:
        both = Both(base.answers[: len(scored)], adapted.answers[: len(scored)])
        of_answers, rows_of_answers = score_answers(judging.metrics, source, scored, both)
        scores += of_answers
    forgetting = harness = None
    if base.elsewhere and adapted.elsewhere:
        forgetting = base.elsewhere, adapted.elsewhere
        name = f"loss on {judging.forgetting}"
        scores.append(compare_losses(*forgetting, name=name, note="forgetting is its rise"))
    if base.harness and adapted.harness:
        harness = base.harness, adapted.harness
        scores += compare_harness(*harness)
    return Evaluation(
        adapter=adapter,
        model=loaded.source.origin,
        dtype=subject.dtype,
        device=str(loaded.device),
        data=source,
        split=judging.split,
        base=base.loss,
        adapted=adapted.loss,
        scores=scores,
        base_answers=base.answers,
        adapted_answers=adapted.answers,
        judged=rows_of_answers + [{} for _ in asked[len(scored) :]],
        shown=judging.answers,
        max_new_tokens=judging.max_new_tokens,
        forgetting=forgetting,
        harness=harness,
        left_out=tuple(data.report.judged_without(judging.split)),
    )
