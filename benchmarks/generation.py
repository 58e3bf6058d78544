"""Greedy generation with an adapter that is not merged: tokens per second against LoRA of the same rank."""

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.adapted import RECORDED, adapted, batch
from benchmarks.rounds import alternate, medians, spread

PROMPT, TOKENS = 32, 24
ROWS = (1, 8, 32)
RANKS = (4, 8)


def generate_with(model: Any, rows: int) -> Callable[[], Any]:
    """A call that generates `TOKENS` tokens for each of so many prompts."""
    ids = batch(1, PROMPT).repeat(rows, 1)
    fixed = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False}
    return lambda: model.generate(input_ids=ids, attention_mask=ids.new_ones(ids.shape), **fixed)


def measure(rounds: int, everything: bool) -> dict[str, Any]:
    """Tokens per second by rank and rows at a time, and the ratio of each method to LoRA."""
    kinds = ["lora", "qtha", *(["mpo", "base"] if everything else [])]
    found: dict[str, Any] = {}
    for r in RANKS:
        models = {kind: adapted(kind, r, r, **({} if kind in ("lora", "base") else RECORDED)).eval() for kind in kinds}
        for rows in ROWS:
            calls = {kind: generate_with(model, rows) for kind, model in models.items()}
            times: dict[str, list[float]] = {}
            ratios = {"lora": [1.0] * rounds}
            for kind in kinds[1:]:  # two at a time, as in `step`
                seconds = alternate({"lora": calls["lora"], kind: calls[kind]}, rounds)
                for each, taken in seconds.items():
                    times.setdefault(each, []).extend(taken)
                ratios[kind] = [lora / own for lora, own in zip(seconds["lora"], seconds[kind], strict=True)]
            typical = medians(times)
            found[f"r{r}_L{r}_rows{rows}"] = {
                "vs_lora": {kind: statistics.median(each) for kind, each in ratios.items()},
                "spread": {kind: spread(each) for kind, each in ratios.items()},
                "tokens_per_second": {kind: rows * TOKENS / typical[kind] for kind in kinds},
            }
    return found
