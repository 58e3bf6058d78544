"""The loss on held-out rows with its standard error."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from qweft.data.batches import Collator
from qweft.data.tokens import IGNORED, Encoded, target_tokens
from qweft.errors import QweftError


@contextmanager
def judged(model: torch.nn.Module) -> Iterator[None]:
    """Puts a model into evaluation mode without gradients, and each of its modules back into its own mode afterwards.

    Args:
        model: Any module. Some of its parts may be in evaluation mode while it trains; they stay so.
    """
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        # train() first: adapters drop what they cached for evaluation in it. The flags of parts that differ come after.
        model.train(before[0][1])
        for module, training in before:
            module.training = training


def device_of(model: torch.nn.Module) -> torch.device:
    """The device on which a model takes its token ids.

    Args:
        model: A transformers model, bare or with an adapter.
    """
    return next(model.parameters()).device


# Logits that are turned into float32 at a time: at 49,152 words 256 positions take 50 MB.
POSITIONS_AT_A_TIME = 256


@dataclass(frozen=True)
class HeldOutLoss:
    """The loss of one model on one set of rows.

    Args:
        loss: Mean of -log p(token | tokens before it) over all target tokens, in nats.
        perplexity: exp(loss).
        tokens: Target tokens, the denominator.
        standard_error: Of the loss over rows, in nats; none with fewer than two rows that hold targets.
        rows: (sum of -log p in nats, target tokens) of each row, in the order in which the rows were given. A row
            without targets keeps its place as (0, 0), so that two models' rows can be held against each other.
    """

    loss: float
    perplexity: float
    tokens: int
    standard_error: float | None
    rows: tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class RowScore:
    """One row as a model judges it.

    Args:
        total: Sum of -log p over its targets, in nats.
        predicted: For each target the most probable token.
    """

    total: float
    predicted: tuple[int, ...]

    @property
    def targets(self) -> int:
        """Number of its targets."""
        return len(self.predicted)


def held_out_loss(model: torch.nn.Module, rows: Sequence[Encoded], pad_token_id: int, batch_size: int) -> HeldOutLoss:
    """The loss of a causal language model over all target tokens of the rows.

        loss = sum_i S_i / sum_i n_i,   S_i = sum over targets t of row i of -log p(t | tokens before t)

    The mean is over tokens of the whole set, so neither the batch size nor the order of the rows changes it. The
    first token of a row has nothing before it and never counts. Its standard error is that of `ratio`.

    Args:
        model: A transformers causal language model, bare or with an adapter. Its mode is restored afterwards.
        rows: Each {"input_ids": T token ids, "labels": T token ids, -100 where a token is not a target}.
        pad_token_id: Fills shorter rows of a batch on the right.
        batch_size: Rows at a time.

    Returns:
        The loss; log-probabilities are computed in float32 and added up in float64.

    Raises:
        QweftError: No row holds a target token, or the batch size is below one.
    """
    return loss_of(score_rows(model, rows, pad_token_id, batch_size))


def score_rows(
    model: torch.nn.Module, rows: Sequence[Encoded], pad_token_id: int, batch_size: int
) -> tuple[RowScore, ...]:
    """The same row by row, with the tokens that the model holds most probable; arguments and errors as above."""
    if batch_size < 1:
        raise QweftError(f"evaluation.batch_size is {batch_size}: it must be at least 1")
    order = [index for index, row in enumerate(rows) if target_tokens(row) > 0]
    if not order:
        raise QweftError(
            f"none of the {len(rows)} evaluation rows holds a target token: every label is -100 (or is a row's first "
            "token); are the answers longer than data.max_length leaves room for?"
        )
    # The longest rows first: little padding, and a batch that does not fit in memory fails at once.
    order.sort(key=lambda index: len(rows[index]["input_ids"]), reverse=True)
    collate = Collator(pad_token_id)
    found = [RowScore(0.0, ())] * len(rows)
    with judged(model):
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            for index, score in zip(batch, _scores(model, collate([rows[i] for i in batch])), strict=True):
                found[index] = score
    return tuple(found)


def _scores(model: torch.nn.Module, batch: dict[str, Any]) -> Iterator[RowScore]:
    """The score of each row of one batch."""
    device = device_of(model)
    logits = model(
        input_ids=batch["input_ids"].to(device), attention_mask=batch["attention_mask"].to(device), use_cache=False
    ).logits  # (rows, T, words), in the model's type
    labels = batch["labels"].to(logits.device)
    for row_logits, row_labels in zip(logits[:, :-1], labels[:, 1:], strict=True):
        positions = (row_labels != IGNORED).nonzero().squeeze(1)
        total = torch.zeros((), dtype=torch.float64)
        predicted: list[int] = []
        for part in positions.split(POSITIONS_AT_A_TIME):
            losses = cross_entropy(row_logits[part].float(), row_labels[part], reduction="none")
            total += losses.cpu().double().sum()
            predicted += row_logits[part].argmax(-1).tolist()
        yield RowScore(total.item(), tuple(predicted))


def loss_of(scores: Sequence[RowScore]) -> HeldOutLoss:
    """The loss over rows that were scored."""
    rows = tuple((score.total, score.targets) for score in scores)
    loss, error = ratio(rows)
    # exp overflows above 709; a loss like that is a diverged run, and its perplexity is infinite for every purpose.
    perplexity = math.exp(loss) if loss < 700 else math.inf
    return HeldOutLoss(loss, perplexity, sum(count for _, count in rows), error, rows)


def ratio(rows: Sequence[tuple[float, int]]) -> tuple[float, float | None]:
    """sum_i S_i / sum_i n_i over rows (S_i, n_i), and its standard error; none with fewer than two rows of n_i > 0.

    The error is that of a ratio estimator over the m rows with n_i > 0:

        se = sqrt( m / (m - 1) * sum_i (S_i - ratio * n_i)^2 ) / sum_i n_i
    """
    scored = [(total, count) for total, count in rows if count]
    tokens, m = sum(count for _, count in scored), len(scored)
    found = math.fsum(total for total, _ in scored) / tokens
    if m < 2:
        return found, None
    squares = math.fsum((total - found * count) ** 2 for total, count in scored)
    return found, math.sqrt(m / (m - 1) * squares) / tokens
