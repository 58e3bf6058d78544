"""`--dry-run` of commands on a trained adapter: their work, described without loading weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from qweft.adapter.attach import attach
from qweft.adapter.config import QwthnConfig
from qweft.adapter.folder import find_weights, read_config, read_header
from qweft.adapter.strict_loading import check_tensors
from qweft.data.tokens import Encoded, total_tokens
from qweft.errors import QweftError
from qweft.evaluation.answer_scores import check_rows
from qweft.evaluation.loss import check_room
from qweft.evaluation.run import LENGTH, checked_sections, other_rows
from qweft.evaluation.saved import put_on_by_peft
from qweft.evaluation.subject import held_out_data
from qweft.models.config import ModelConfig
from qweft.models.load import LoadedModel, load_model
from qweft.text import many


@dataclass(frozen=True)
class Preview:
    """Lines that describe the work that a command would do."""

    lines: tuple[str, ...]

    def describe(self) -> Group:
        """Return the lines for the terminal."""
        return Group(*map(Text, self.lines))

    def to_json(self) -> dict[str, Any]:
        """Return the lines as JSON can hold them."""
        return {"dry_run": list(self.lines)}


def shapes_of(adapter: Path, config: ModelConfig) -> tuple[LoadedModel, list[str]]:
    """Load the base model on the meta device and check the adapter's file against it."""
    saved, header = read_config(adapter), read_header(find_weights(adapter))
    saved.inference_mode = True  # as in loading; else prompt tuning would load a tokenizer that the file names
    if isinstance(getattr(saved, "init_lora_weights", None), str):
        saved.init_lora_weights = True  # type: ignore[attr-defined]  # a start by base weights, which are not here
    loaded = load_model(replace(config, device="meta"))
    method = getattr(saved.peft_type, "value", saved.peft_type)
    numbers = sum(tensor.numel() for tensor in header.values())
    unseen = ""
    try:
        with put_on_by_peft(loaded, adapter):
            model = attach(loaded.model, saved)
        if isinstance(saved, QwthnConfig):
            check_tensors(model, "default", saved, header)
    except QweftError as error:
        if not isinstance(error.__cause__, NotImplementedError):
            raise
        unseen = " (whether it fits is seen as it is loaded: the method reads the model's weights)"
    return loaded, [
        f"adapter {adapter}: {method}, {numbers:,} numbers in {many(len(header), 'tensor')}{unseen}",
        f"model {loaded.source.origin}",
    ]


def preview_evaluation(adapter: Path, overrides: dict[str, Any] | None = None) -> Preview:
    """Describe the work of `qweft evaluate`."""
    model_config, data_config, judging = checked_sections(adapter, overrides or {})
    loaded, lines = shapes_of(adapter, model_config)
    data = held_out_data(adapter, overrides or {}, data_config, loaded, judging.split)
    rows = data.held_out(judging.split)
    check_rows(judging.metrics, data.to_answer(judging.split)[: judging.generated], data.tokenizer)
    lines.append(f"loss without and with it on {_described(rows)} of {data_config.source} ({judging.split})")
    if judging.forgetting:
        other = other_rows(judging, data_config, loaded.tokenizer)
        check_room(loaded.model, other, LENGTH)
        lines.append(f"loss without and with it on {_described(other)} of {judging.forgetting}")
    scored = (judging.generated or len(rows)) if judging.metrics else 0
    if answers := max(scored, min(judging.answers, len(rows))):
        by = f", {scored} scored by {', '.join(judging.metrics)}" if scored else ""
        lines.append(f"{many(answers, 'answer')} of at most {judging.max_new_tokens} tokens, without and with it{by}")
    if judging.lm_eval:
        most = "" if judging.lm_eval_limit is None else f", at most {judging.lm_eval_limit} examples of each"
        lines.append(f"tasks of lm-evaluation-harness without and with it: {', '.join(judging.lm_eval)}{most}")
    return Preview(tuple(lines))


def _described(rows: Sequence[Encoded]) -> str:
    return f"{many(len(rows), 'row')} ({total_tokens(rows):,} tokens)"
