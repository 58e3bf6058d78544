"""Tokens per second of greedy generation with an adapter that is not merged: against LoRA of the same rank."""

from collections.abc import Callable
from typing import Any

from benchmarks.adapted import adapted, batch
from benchmarks.rounds import alternate, medians, spread

PROMPT, TOKENS = 32, 48


def generate_with(kind: str) -> Callable[[], Any]:
    """A call that generates `TOKENS` tokens."""
    model = adapted(kind, 4, 4).eval()
    ids = batch(1, PROMPT)
    fixed = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False}
    return lambda: model.generate(input_ids=ids, attention_mask=ids.new_ones(ids.shape), **fixed)


def measure(rounds: int, everything: bool) -> dict[str, Any]:
    """Tokens per second at r = 4, L = 4, and the ratios to LoRA's."""
    kinds = ["lora", "qtha", "qwthn", *(["mpo", "base"] if everything else [])]
    seconds = alternate({kind: generate_with(kind) for kind in kinds}, rounds)
    speeds = {kind: TOKENS / middle for kind, middle in medians(seconds).items()}
    return {
        "vs_lora": speeds["qtha"] / speeds["lora"],
        "qwthn_vs_lora": speeds["qwthn"] / speeds["lora"],
        "tokens_per_second": speeds,
        "spread": {kind: spread(found) for kind, found in seconds.items()},
    }
