"""Loss on held-out rows, with its standard error."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from qweft.core.errors import QweftError, told_of_memory
from qweft.core.progress import with_progress
from qweft.core.text import many
from qweft.data.batches import Collator
from qweft.data.tokens import IGNORED, Encoded, target_tokens
from qweft.evaluation.scores import HeldOutLoss, RowScore, loss_of

TABLES = (".wpe", ".embed_positions", ".position_embeddings", ".positions_embed", ".pos_encoding")
"""Names of tables of positions; rotary positions have none."""
MAX_LENGTH = "data.max_length"
"""The setting by which the rows of a run are cut."""
POSITIONS_AT_A_TIME = 256
"""Positions whose logits are converted to float32 at a time: 256 take 50 MB for a vocabulary of 49,152."""


@contextmanager
def judged(model: torch.nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode without gradients, and restore each module's mode afterwards."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        # train() first: adapters drop their evaluation caches in it. Then the flags of modules that differ.
        model.train(before[0][1])
        for module, training in before:
            module.training = training


def device_of(model: torch.nn.Module) -> torch.device:
    """Return the device for a model's input ids: that of its first parameter."""
    return next(model.parameters()).device


def context_of(model: Any) -> int | None:
    """Return the most tokens that a model reads at once, beside virtual ones; `None` if its config knows no limit."""
    config = getattr(model, "config", None)
    text = config.get_text_config() if config is not None else None
    most = getattr(text, "max_position_embeddings", getattr(text, "max_seq_len", None))
    # transformers checks no value of a key that its family has not
    return max(1, most - _virtual(model)) if isinstance(most, int) and most > 0 else None


def _virtual(model: Any) -> int:
    """Return the number of virtual tokens that an adapter puts before each text."""
    return getattr(getattr(model, "active_peft_config", None), "num_virtual_tokens", None) or 0


def check_room(model: Any, rows: Sequence[Encoded], key: str = MAX_LENGTH) -> None:
    """Check that a model has embeddings for the tokens and room for the longest row, which the setting `key` cuts."""
    embeddings = model.get_input_embeddings() if hasattr(model, "get_input_embeddings") else None
    known = getattr(embeddings, "num_embeddings", None)
    largest = max((max(row["input_ids"], default=0) for row in rows), default=0)
    if known is not None and largest >= known:
        raise QweftError(
            f"the tokenizer gives token {largest:,}, and the model has {known:,}; use the model's own tokenizer"
        )
    longest, most = max((len(row["input_ids"]) for row in rows), default=0), context_of(model)
    if most is None or longest <= most:
        return
    beside = f" beside {many(_virtual(model), 'virtual token')} of its adapter" if _virtual(model) else ""
    names = [name for name, _ in (*model.named_modules(), *model.named_buffers())]
    if model.config.model_type == "mpt" or any(name.endswith(TABLES) for name in names):  # MPT makes its table
        raise QweftError(
            f"a row has {longest:,} tokens, and the model has positions for {most:,}{beside}; set {key} to {most}"
        )
    warnings.warn(
        f"a row has {longest:,} tokens, and the model's config names {most:,} positions{beside}: beyond them its "
        f"losses and answers may be poor; {key} {most} keeps rows within them",
        stacklevel=1,  # told once, whoever asks
    )


@contextmanager
def logits_of_targets(model: Any, labels: torch.Tensor) -> Iterator[None]:
    """Have a model compute its logits at target positions alone inside the block: (1, targets, vocabulary).

    A large vocabulary makes the output layer a quarter of a small model's work, and most of its memory. Chats learn
    half of their tokens or fewer. A model whose output layer is not found computes all logits, which `target_logits`
    reads, too.
    """
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if head is None:
        yield
        return

    def select_targets(module: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = inputs[0]
        is_this_batch = hidden.dim() == 3 and hidden.shape[0] == len(labels) and hidden.shape[1] >= labels.shape[1]
        if not is_this_batch:
            return inputs
        before_targets = hidden[:, -labels.shape[1] : -1]  # without the virtual tokens before the text
        mask = (labels[:, 1:] != IGNORED).to(hidden.device)
        return (before_targets[mask].unsqueeze(0), *inputs[1:])

    handle = head.register_forward_pre_hook(select_targets)
    try:
        yield
    finally:
        handle.remove()


def target_logits(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits at target positions, (targets, vocabulary), and the target tokens, row after row."""
    next_tokens = labels[:, 1:].to(logits.device)
    mask = next_tokens != IGNORED
    targets = next_tokens[mask]
    is_selected = logits.shape[:2] == (1, len(targets))
    return logits[0] if is_selected else logits[:, -labels.shape[1] : -1][mask], targets


def target_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Return the mean loss over the target tokens of a step, in nats, whatever the model's own loss is."""
    logits, targets = target_logits(outputs.logits, labels)
    total = cross_entropy(logits.float(), targets, reduction="sum")
    count = len(targets) if num_items_in_batch is None else num_items_in_batch
    return total / (count.to(total.device) if isinstance(count, torch.Tensor) else count)


def held_out_loss(
    model: torch.nn.Module, rows: Sequence[Encoded], pad_token_id: int, batch_size: int, key: str = MAX_LENGTH
) -> HeldOutLoss:
    """Return sum S_i / sum n_i, S_i the sum of -log p (float32, summed in float64) over the n_i targets of row i."""
    return loss_of(score_rows(model, rows, pad_token_id, batch_size, key))


def score_rows(
    model: torch.nn.Module, rows: Sequence[Encoded], pad_token_id: int, batch_size: int, key: str = MAX_LENGTH
) -> tuple[RowScore, ...]:
    """Score each row, as `held_out_loss` does, and return its loss and most probable tokens."""
    adapters = getattr(model, "peft_config", None) or {}
    if any(each.peft_type == "LILY" for each in adapters.values()):
        raise QweftError("LILY weighs its parts by the mean over all tokens of a batch, so its loss says nothing")
    order = [index for index, row in enumerate(rows) if target_tokens(row) > 0]
    if not order:
        raise QweftError(f"none of the {len(rows)} evaluation rows holds a target token; raise data.max_length")
    # Longest rows first: little padding, and a batch that does not fit in memory fails at once.
    order.sort(key=lambda index: len(rows[index]["input_ids"]), reverse=True)
    check_room(model, rows, key)
    collate = Collator(pad_token_id)
    scores = [RowScore(0.0, ())] * len(rows)
    way = f"shorten {key}" if batch_size == 1 else f"lower evaluation.batch_size (now {batch_size})"
    with judged(model), told_of_memory(way):
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        for batch in with_progress(batches, "evaluating", "row", len):
            of_batch = _scores(model, collate([rows[i] for i in batch]))
            for index, score in zip(batch, of_batch, strict=True):
                scores[index] = score
    return tuple(scores)


def _scores(model: torch.nn.Module, batch: dict[str, Any]) -> Iterator[RowScore]:
    """Yield the score of each row of a batch."""
    device = device_of(model)
    inputs = {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}
    labels = batch["labels"]
    with logits_of_targets(model, labels):
        outputs = model(**inputs, use_cache=False)
    logits, targets = target_logits(outputs.logits, labels)
    targets_per_row = (labels[:, 1:] != IGNORED).sum(1).tolist()
    for row_logits, row_targets in zip(logits.split(targets_per_row), targets.split(targets_per_row), strict=True):
        total = torch.zeros((), dtype=torch.float64)
        predicted: list[int] = []
        parts = zip(row_logits.split(POSITIONS_AT_A_TIME), row_targets.split(POSITIONS_AT_A_TIME), strict=True)
        for part_logits, part_targets in parts:
            losses = cross_entropy(part_logits.float(), part_targets, reduction="none")
            total += losses.cpu().double().sum()
            predicted += part_logits.argmax(-1).tolist()
        yield RowScore(total.item(), tuple(predicted))
