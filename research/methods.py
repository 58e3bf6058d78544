"""Every method of a comparison beside one of them, as a table of Markdown.

    python -m research.methods dialogues=research/data/front-dialogue.json --reference lora_r1

A row is a method, from few trained numbers to many. Each NAME=FILE adds two columns: the mean loss over the seeds, and
the difference to the reference in percent of its loss. A verdict follows where there is one: better or worse where that
is shown, or equivalent within its margin, both corrected by Holm for the questions of the comparison's config. Where
nothing is decided the minimum detectable effect stands in brackets, in percent.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from qweft.comparison.judge.summarise import summarise
from qweft.comparison.judge.summary import Summary, compare_methods
from qweft.comparison.report.wording import effect_said
from qweft.comparison.results import Run
from qweft.core.errors import QweftError

VERDICTS = {"lower": ": better", "higher": ": worse", "equivalent": ": equivalent"}


def table(comparisons: Mapping[str, Mapping[str, Any]], reference: str) -> str:
    """Returns the table.

    Args:
        comparisons: What results.json holds, by the name of the text that was learned. All have the same methods.
        reference: The method that the others are held against.

    Raises:
        QweftError: The comparisons have other methods, or the reference is none of them.
    """
    each = [_outcomes(results, reference) for results in comparisons.values()]
    first = each[0]
    if others := {name for outcomes in each for name in outcomes.keys() ^ first.keys()}:
        raise QweftError(f"only some of the comparisons have {', '.join(sorted(others))}; give each alone")
    lines = [
        "| method | trained numbers |" + "".join(f" {name}: loss | against `{reference}` |" for name in comparisons),
        "|---|---:|" + "---:|---|" * len(each),
    ]
    for name in sorted(first, key=lambda name: (first[name].trainable_parameters, name)):
        told = [f"`{name}` | {first[name].trainable_parameters:,}"]
        for outcomes in each:
            told += [_loss(outcomes[name]), _beside(outcomes[name], outcomes[reference])]
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines)


def _outcomes(results: Mapping[str, Any], reference: str) -> dict[str, Summary]:
    runs = [Run.from_json(run) for run in results["runs"]]
    names = {run.method for run in runs} - {"base"}
    if reference not in names:
        raise QweftError(f"{reference} did not run; there are {', '.join(sorted(names))}")
    outcomes = summarise(runs, reference, yaml.safe_load(results["config_yaml"])["equivalent_within"])
    return {name: outcome for name, outcome in outcomes.items() if name != "base"}


def _loss(outcome: Summary) -> str:
    return "diverged" if outcome.eval_loss is None else f"{outcome.eval_loss:.3f}"


def _beside(outcome: Summary, reference: Summary) -> str:
    pair = None if outcome is reference else compare_methods(outcome, reference)
    if pair is None or pair.mean is None:
        return ""
    effect = ""
    if pair.minimum_detectable_effect is not None:
        effect = f" ({effect_said(pair.minimum_detectable_effect).removesuffix('%')})"
    return f"{pair.mean:+.1f}%{VERDICTS.get(pair.direction, effect)}"


def main(words: Sequence[str] | None = None) -> None:
    """Prints the table of the results that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "results", metavar="NAME=FILE", nargs="+", help="a results.json, and what its columns are called"
    )
    parser.add_argument("--reference", required=True, metavar="METHOD")
    given = parser.parse_args(words)
    if unnamed := [each for each in given.results if "=" not in each]:
        parser.error(f"expected NAME=FILE, got {unnamed[0]}")
    named = [each.partition("=")[::2] for each in given.results]
    found = {name: json.loads(Path(path).read_text(encoding="utf-8")) for name, path in named}
    print(table(found, given.reference))


if __name__ == "__main__":
    main()
