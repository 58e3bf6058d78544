"""Evaluation of an adapter and its base model, on the run's data and on other data (forgetting)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qweft.claims import check_state, state_of
from qweft.data.config import DataConfig
from qweft.data.conversation import Conversation
from qweft.data.formats import to_conversation
from qweft.data.load import load_data
from qweft.data.read import read_rows
from qweft.data.split import TooFewRowsError
from qweft.data.tokens import Encoded, encode
from qweft.errors import QweftError
from qweft.evaluation.answer_scores import check_packages, check_rows, score_answers
from qweft.evaluation.checks import check_evaluation, check_judging
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.generation import Answer, generate_answers, reads_whole_text
from qweft.evaluation.harness import check_harness, compare_harness, run_harness
from qweft.evaluation.loss import check_room, held_out_loss
from qweft.evaluation.metric import Both
from qweft.evaluation.outcome import Evaluation
from qweft.evaluation.record import tell_unasked
from qweft.evaluation.row_scores import HeldOutLoss
from qweft.evaluation.saved import base_model, changed, check_runs, put_on, weights_of
from qweft.evaluation.scores import compare_losses, compare_perplexities
from qweft.evaluation.unseen import check_unseen, held_out_only
from qweft.models.config import ModelConfig
from qweft.models.load import load_model

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
        judging.forgetting, train_rows=1, validation_rows=0, test_rows=judging.forgetting_rows,
        max_length=judging.forgetting_length, split_seed=data.split_seed, skip_bad_rows=data.skip_bad_rows,
    )  # fmt: skip
    try:
        if judging.forgetting_first:
            return _first(judging.forgetting, judging, tokenizer)
        return load_data(config, tokenizer).test
    except TooFewRowsError as error:
        raise QweftError(
            f"{KEY} {judging.forgetting}: it has too few rows for {judging.forgetting_rows} and one of another group; "
            "lower evaluation.forgetting_rows, or give more data"
        ) from error
    except QweftError as error:
        raise QweftError(f"{KEY}: {error}") from error


def _first(source: str, judging: EvaluationConfig, tokenizer: Any) -> list[Encoded]:
    """Return the first rows, cut to the maximum length; a long plain text is not split into several rows."""
    found = [
        encode(to_conversation(row, where), tokenizer, judging.forgetting_length)
        for where, row in read_rows(source, judging.forgetting_rows)
    ]
    kept = [row for row in found if row is not None]
    if len(kept) < judging.forgetting_rows:
        raise QweftError(
            f"{source}: of its first {judging.forgetting_rows} rows {len(kept)} are there and have an answer "
            f"within {judging.forgetting_length} tokens; lower evaluation.forgetting_rows, or raise "
            "evaluation.forgetting_length"
        )
    return kept


@dataclass(frozen=True)
class _Judged:
    """Results of one model; those that were not requested are empty or `None`."""

    loss: HeldOutLoss
    elsewhere: HeldOutLoss | None
    answers: list[Answer]
    harness: dict[str, Any] | None


def checked_sections(adapter: Path, overrides: dict[str, Any]) -> tuple[ModelConfig, DataConfig, EvaluationConfig]:
    """Return the sections of `check_judging`, after checking the packages they need."""
    model, data, judging = check_judging(adapter, overrides, needs_weights=False)
    tell_unasked(adapter, overrides)
    check_packages(judging.metrics)
    if judging.lm_eval:
        check_harness(judging.lm_eval)
    return model, data, judging


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
    loaded = load_model(model_config)
    data = load_data(held_out_only(data_config), loaded.tokenizer)
    check_evaluation(judging, data.config)  # again, as the number of rows may be known only now
    state = state_of(adapter)
    check_unseen(adapter, overrides or {}, data, judging.split, loaded.tokenizer)
    other = other_rows(judging, data_config, loaded.tokenizer)
    check_room(loaded.model, other, LENGTH)
    before = weights_of(loaded.model, adapter)
    model = put_on(loaded, adapter)
    check_state(adapter, state)  # the rows are those that the adapter did not see
    rows = data.test if judging.split == "test" else data.validation
    texts = data.to_answer(judging.split)
    scored = texts[: judging.generated] if judging.metrics else []
    asked = texts[: max(len(scored), judging.answers)]
    check_rows(judging.metrics, scored, data.tokenizer)
    is_changed = changed(before, model)
    check_runs(model, loaded, adapter)
    if judging.lm_eval and reads_whole_text(model):
        raise QweftError(
            f"evaluation.lm_eval: {adapter} has virtual tokens, or tokens from which on it acts, and the harness knows "
            "neither; leave it out"
        )
    with base_model(is_changed, model, model_config) as untouched:
        base = _judge(untouched, data.tokenizer, rows, other, asked, judging)
    adapted = _judge(model, data.tokenizer, rows, other, asked, judging)
    scores = [compare_losses(base.loss, adapted.loss), compare_perplexities(base.loss, adapted.loss)]
    rows_of_answers: list[dict[str, Any]] = []
    if scored:
        both = Both(base.answers[: len(scored)], adapted.answers[: len(scored)])
        of_answers, rows_of_answers = score_answers(judging.metrics, data_config.source_of(judging.split), scored, both)
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
        dtype=str(loaded.dtype).removeprefix("torch."),
        device=str(loaded.device),
        data=data_config.source_of(judging.split),
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


def _judge(
    model: Any,
    tokenizer: Any,
    rows: list[Encoded],
    other: list[Encoded],
    asked: list[Conversation],
    judging: EvaluationConfig,
) -> _Judged:
    pad, size = tokenizer.pad_token_id, judging.batch_size
    loss = held_out_loss(model, rows, pad, size)
    elsewhere = held_out_loss(model, other, pad, size, key=LENGTH) if other else None
    # before the answers, which may take hours: a task that is not there is told by the harness alone
    harness = run_harness(model, tokenizer, judging.lm_eval, judging.lm_eval_limit, size) if judging.lm_eval else None
    answers = generate_answers(model, tokenizer, asked, judging.max_new_tokens, judging.generation_batch)
    return _Judged(loss, elsewhere, answers, harness)
