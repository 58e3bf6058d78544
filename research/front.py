"""Who is best at each size, by the results of research/configs/front.yaml.

    python -m research.front research/data/front-dialogue.json
    python -m research.front research/data/budget.json --pairs

At each budget, in trained numbers or in bytes of the file, the method of the lowest mean loss that fits, and the best
that fits on the other side: ours, or PEFT's. Their difference in percent with its interval, and p corrected by Holm for
all pairs of both tables. Both methods are chosen by the losses that are compared, so a small p is a little too small.
The second command judges the five pairs of configs/budget.yaml, four of them fixed before its runs.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qweft.comparison.judge.corrections import holm
from qweft.comparison.judge.summarise import summarise
from qweft.comparison.judge.summary import Summary, compare_methods
from qweft.comparison.report.wording import effect_said
from qweft.comparison.results import Run
from qweft.core.errors import QweftError

NUMBERS = (1_500, 5_000, 10_000, 30_000, 57_600, 100_000, 350_000)
"""Budgets in trained numbers; 57,600 are LoRA's of rank 1 on q_proj and v_proj."""
BYTES = (10_000, 35_000, 100_000, 270_000, 1_000_000, 1_300_000)
PAIRS = {
    1_500: ("subspace_8", "unilora_1440"),
    5_000: ("sparse_02", "unilora_4800"),
    10_000: ("sparse_04", "unilora_8k"),
    30_000: ("sparse_16", "unilora_28800"),
    57_600: ("sparse_16", "lora_r1"),
}
"""The best of ours and of PEFT's within a budget of trained numbers, by the front on sentences; and the usual LoRA."""
OURS = ("subspace", "basis", "readout", "sparse", "qtha", "mpo")


@dataclass(frozen=True)
class Best:
    """The best method within a budget, and the best of the other side.

    Args:
        budget: Most trained numbers or bytes.
        method: Of the lowest mean loss.
        other: Of the lowest mean loss among PEFT's methods where `method` is ours, or among ours where it is not;
            `None` without one.
        percent: Loss of `method` against `other`, with its 95% interval.
        p: Uncorrected; `None` likewise.
        corrected: By Holm, for all pairs of both tables, each counted once.
        minimum_detectable_effect: Of the pair alone, in percent; `None` likewise.
    """

    budget: int
    method: str
    other: str | None = None
    percent: tuple[float, float, float] | None = None
    p: float | None = None
    corrected: float | None = None
    minimum_detectable_effect: float | None = None


def sizes_of(results: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Returns the trained numbers and the bytes of the file of each method."""
    return {run["method"]: (run["trainable_parameters"], run["adapter_bytes"]) for run in results["runs"] if
            run["method"] != "base"}  # fmt: skip


def is_ours(method: str) -> bool:
    """Whether a method of research/configs/front.yaml is of Qweft's family."""
    return method.startswith(OURS)


def best(results: Mapping[str, Any]) -> tuple[list[Best], list[Best]]:
    """Returns the best within each budget, in trained numbers and in bytes.

    Args:
        results: A results.json.
    """
    outcomes: dict[str, Summary] = summarise([Run.from_json(run) for run in results["runs"]], "lora_r1", 1.0)
    tables = [_within(outcomes, sizes_of(results), budgets, column) for column, budgets in enumerate((NUMBERS, BYTES))]
    ps = {_pair(each): each.p for each in (*tables[0], *tables[1]) if each.p is not None}
    corrected = dict(zip(ps, holm(list(ps.values())), strict=True))
    numbers, sizes = ([replace(each, corrected=corrected.get(_pair(each))) for each in found] for found in tables)
    return numbers, sizes


def _pair(each: Best) -> frozenset[str | None]:
    return frozenset({each.method, each.other})


def _within(
    outcomes: Mapping[str, Summary], sizes: Mapping[str, tuple[int, int]], budgets: Sequence[int], column: int
) -> list[Best]:
    def lowest(names: Sequence[str]) -> str | None:
        return min(names, key=lambda name: outcomes[name].eval_loss or float("inf"), default=None)

    found = []
    for budget in budgets:
        fitting = [name for name, size in sizes.items() if size[column] <= budget]
        leader = lowest(fitting)
        if leader is None:
            continue
        other = lowest([name for name in fitting if is_ours(name) != is_ours(leader)])
        if other is None:
            found.append(Best(budget, leader))
        else:
            found.append(_compare(budget, outcomes[leader], outcomes[other]))
    return found


def _compare(budget: int, method: Summary, other: Summary) -> Best:
    """Returns two methods within a budget, with their difference if it can be tested."""
    pairing = compare_methods(method, other)
    test = pairing.difference
    if test is None or pairing.mean is None:
        return Best(budget, method.method, other.method)
    percent = (pairing.mean, *test.interval)
    effect = test.minimum_detectable_effect
    return Best(budget, method.method, other.method, percent, test.p_value, minimum_detectable_effect=effect)


def table(results: Mapping[str, Any]) -> str:
    """Returns both tables as Markdown."""
    outcomes = summarise([Run.from_json(run) for run in results["runs"]], "lora_r1", 1.0)
    lines = []
    for title, found in zip(("trained numbers", "bytes of the file"), best(results), strict=True):
        lines += [
            f"| {title}, at most | lowest loss | best of the other side | difference, 95% interval | p, corrected "
            "| minimum detectable effect |",
            "|---:|---|---|---:|---:|---:|",
        ]
        for each in found:
            told = "| | | |"
            effect = each.minimum_detectable_effect
            if each.other and each.percent and each.corrected is not None and effect is not None:
                mean, low, high = each.percent
                told = f"| {mean:+.2f}% [{low:+.2f}, {high:+.2f}] | {each.corrected:.2g} | {effect_said(effect)} |"
            other = "" if each.other is None else f"`{each.other}` {outcomes[each.other].eval_loss:.3f}"
            lines.append(f"| {each.budget:,} | `{each.method}` {outcomes[each.method].eval_loss:.3f} | {other} {told}")
        lines.append("")
    return "\n".join(lines)


def planned(results: Mapping[str, Any]) -> list[Best]:
    """Returns the pairs of `PAIRS`, ours first, with p corrected by Holm for all of them.

    Args:
        results: A results.json of configs/budget.yaml.

    Raises:
        QweftError: A method of a pair did not run, or a pair cannot be judged.
    """
    outcomes = summarise([Run.from_json(run) for run in results["runs"]], "unilora_8k", None)
    found = []
    for budget, (ours, other) in PAIRS.items():
        if {ours, other} <= outcomes.keys():
            found.append(_compare(budget, outcomes[ours], outcomes[other]))
        if not found or found[-1].budget != budget or found[-1].p is None:
            raise QweftError(f"{ours} and {other} cannot be judged: three seeds of both are needed")
    corrected = holm([each.p for each in found if each.p is not None])
    return [replace(each, corrected=p) for each, p in zip(found, corrected, strict=True)]


def pairs_table(results: Mapping[str, Any]) -> str:
    """Returns the pairs of `PAIRS` as Markdown."""
    outcomes = summarise([Run.from_json(run) for run in results["runs"]], "unilora_8k", None)
    lines = [
        "| ours | numbers | loss | of PEFT's | numbers | loss | difference, 95% interval | p, corrected "
        "| minimum detectable effect |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    for each in planned(results):
        sides = [outcomes[name] for name in PAIRS[each.budget]]
        told = [f"`{side.method}` | {side.trainable_parameters:,} | {side.eval_loss:.3f}" for side in sides]
        effect = each.minimum_detectable_effect
        if each.percent is not None and each.corrected is not None and effect is not None:
            mean, low, high = each.percent
            told += [f"{mean:+.2f}% [{low:+.2f}, {high:+.2f}]", f"{each.corrected:.2g}", effect_said(effect)]
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Prints the tables of a results.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--pairs", action="store_true", help="judge the pairs of configs/budget.yaml")
    given = parser.parse_args(words)
    results = json.loads(given.results.read_text(encoding="utf-8"))
    print(pairs_table(results) if given.pairs else table(results))


if __name__ == "__main__":
    main()
