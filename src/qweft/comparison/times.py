"""Times: what a run costs, and the time of a step."""

import time
from collections.abc import Sequence
from dataclasses import replace

from transformers import set_seed

from qweft.adapter.attach import detach
from qweft.comparison.context import Context
from qweft.comparison.methods import Method, put_on
from qweft.data.tokens import Encoded
from qweft.evaluation.loss import held_out_loss
from qweft.text import progress
from qweft.training.loop import Fit, fit, units

TRAINED = 3.0
"""Cost of a trained token in units of an evaluated one: forward, and twice that backward."""
GENERATED = 25.0
"""Cost of a generated token in the same units: a forward pass for one token reads all weights."""

HARMLESS = 1e-6
"""A learning rate at which no method diverges. Step time does not depend on it."""


def duration(seconds: float) -> str:
    """Return a rough time.

    >>> duration(48), duration(200), duration(7000)
    ('50 s', '3 min', '1.9 h')
    """
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def span(least: str, most: str) -> str:
    """Return two ends as text.

    >>> span("10 s", "3 min"), span("10 s", "10 s")
    ('10 s to 3 min', '10 s')
    """
    return least if least == most else f"{least} to {most}"


def tokens(rows: Sequence[Encoded]) -> int:
    """Return the number of tokens of some rows."""
    return sum(len(row["input_ids"]) for row in rows)


def cost(context: Context, method: Method | None, seed: int) -> float:
    """Return the cost of a run in units of an evaluated token."""
    data, training, judging = context.data, context.config.training, context.config.evaluation
    rows, _ = context.judged_rows()
    answers = min(judging.answers, len(rows)) * judging.max_new_tokens if seed == context.first_seed else 0
    steps = 0 if method is None else method.steps or context.steps
    a_step = tokens(data.train) / len(units(training, data.train)) * training.batch_size * training.batches_a_step
    return tokens(rows) + GENERATED * answers + TRAINED * a_step * steps


def seconds_of_a_token(context: Context) -> float | None:
    """Return the time that the base model takes for a token of an evaluation, on one batch; `None` without rows."""
    batch = context.judged_rows()[0][: context.config.evaluation.batch_size]
    pad = context.loaded.tokenizer.pad_token_id
    if not batch:
        return None
    with progress("timing the base model"):
        held_out_loss(context.loaded.model, batch, pad, len(batch))  # the first pass is slower than all others
        begun = time.perf_counter()
        held_out_loss(context.loaded.model, batch, pad, len(batch))
    return (time.perf_counter() - begun) / tokens(batch)


def timed_fit(context: Context, method: Method, seed: int, steps: int) -> Fit:
    """Return the fit of a short training that changes nothing, for its times."""
    training = replace(context.config.training, max_steps=steps, learning_rate=HARMLESS, seed=seed)
    set_seed(seed)
    adapted = put_on(context.loaded.model, method.adapter, steps)
    try:
        pad = context.loaded.tokenizer.pad_token_id
        return fit(adapted, context.data.train, pad, training, f"{method.name}, timing")
    finally:
        detach(adapted)
