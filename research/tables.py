"""The tables of docs/results.md and docs/which-adapter.md, made from research/data.

    python -m research.tables           # write them into the pages
    python -m research.tables --check   # fail where a page differs

A page has a table between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qweft.comparison.judge.statistics import SINGLE_ANALYSIS, InterimAnalysis, PairedComparison
from qweft.comparison.judge.summarise import summarise
from qweft.comparison.judge.summary import Summary, compare_methods
from qweft.comparison.report.wording import effect_said
from qweft.comparison.results import BASE, Run
from research import claim, evidence, exports, front, lora_fit, methods

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("results.md", "which-adapter.md", "method.md", "serving.md")
PLACE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(\n<!-- end -->)", re.DOTALL)
WORDS = {"lower": "better", "higher": "worse", "equivalent": "equivalent"}
TWO_ANALYSES = [
    InterimAnalysis(level=0.025, seeds=tuple(range(6 * number)), number=number, planned=2) for number in (1, 2)
]
"""The interim analyses that decide.yaml, gate.yaml and gate-2.yaml planned."""

Outcomes = dict[str, Summary]


def outcomes(
    name: str, reference: str, margin: float | None, analyses: Sequence[InterimAnalysis] = (SINGLE_ANALYSIS,)
) -> Outcomes:
    """Return the summary of a kept comparison by method."""
    return summarise([Run.from_json(run) for run in evidence.read(name)["runs"]], reference, margin, analyses)


def difference(method: Summary, other: Summary) -> str:
    """Return the difference in percent with its interval and its verdict."""
    pairing = compare_methods(method, other)
    if pairing.interval is None:
        return ""
    verdict = WORDS.get(pairing.direction) or f"not decided ({effect_said(pairing.minimum_detectable_effect or 0.0)})"
    return f"{format_interval(pairing)} {verdict}"


def format_interval(pairing: PairedComparison) -> str:
    """Return a difference in percent with its interval."""
    if pairing.interval is None:
        return f"{pairing.mean:+.2f}"
    low, high = pairing.interval
    return f"{pairing.mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a table whose first columns are aligned to the left."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in (head, rule, *rows))


def circuit() -> str:
    """`qtha` against its controls and LoRA, in percent of the other's loss."""
    runs = {
        "A": outcomes("decide", "mpo", 0.5, TWO_ANALYSES),
        "constant": outcomes("bias", "bias_linear", 0.5),
        "B": outcomes("long-60", "lora", 0.5),
        "C": outcomes("thousand", "lora", 0.5),
        "D": outcomes("experiment-second-model", "lora", None),
    }
    rows = [
        ("no circuit", {"A": "mpo", "B": "mpo", "C": "mpo", "D": "mpo"}),
        ("a perceptron", {"A": "mlp_linear", "D": "mlp_linear"}),
        ("no entanglement", {"A": "product_linear", "D": "product_linear"}),
        ("a constant", {"constant": "bias_linear"}),
        ("LoRA of its size", {"B": "lora_1", "C": "lora_1", "D": "lora_small"}),
        ("LoRA of rank 8 (D: 4)", {"B": "lora", "C": "lora", "D": "lora"}),
    ]
    cells = [
        [said, *(_cell(runs, others, ("A", "constant") if run == "A" else (run,)) for run in "ABCD")]
        for said, others in rows
    ]
    head = ["`qtha` against", "A: 60 steps", "B: 60 steps, other rows", "C: 1,000 steps", "D: Qwen2.5-0.5B"]
    return markdown(head, cells, left=5)


def _cell(runs: dict[str, Outcomes], others: dict[str, str], names: Sequence[str]) -> str:
    run = next((name for name in names if name in others), None)
    return "not run" if run is None else difference(runs[run]["qtha"], runs[run][others[run]])


RECORDED_PAIRS = (
    ("qtha", "mpo"),
    ("qtha", "perceptron"),
    ("qtha", "fourier"),
    ("qtha", "no_entanglement"),
    ("no_entanglement", "mpo"),
)
CONTROL_WORDS = {
    "qtha": "`qtha`",
    "mpo": "no circuit",
    "perceptron": "a perceptron",
    "fourier": "a Fourier series",
    "no_entanglement": "no entanglement",
}


def recorded_circuit() -> str:
    """`qtha` with the recorded start against its controls, and one of these against another."""
    methods_by_name = outcomes("decide-recorded", "mpo", 0.5, TWO_ANALYSES)
    rows = []
    for name, other_name in RECORDED_PAIRS:
        method = methods_by_name[name]
        other = methods_by_name[other_name]
        pairing = compare_methods(method, other)
        assert pairing.difference is not None  # each has twelve seeds
        rows.append(
            [
                CONTROL_WORDS[name],
                CONTROL_WORDS[other_name],
                difference(method, other),
                str(len(pairing.paired.seeds)),
                f"{pairing.difference.p_value:.2g}",
                f"{pairing.difference.corrected_p:.2g}",
            ]
        )
    head = ["method", "against", "held-out loss, difference in %", "seeds", "p", "p, corrected"]
    return markdown(head, rows, left=3)


RECORDED = "_recorded"
"""Ending of the name of a method with the recorded start."""
LENGTH_WORDS = {
    "qtha_recorded": "`qtha`, start `recorded`",
    "mpo_recorded": "`mpo`, start `recorded`",
    "qtha": "`qtha`, start `small`",
    "mpo": "`mpo`, start `small`",
}


def own_rates() -> str:
    """`qtha` and `mpo` of both starts against LoRA of their size after 60, 250 and 1,000 steps."""
    rows: dict[str, list[str]] = {name: [words] for name, words in LENGTH_WORDS.items()}
    for recorded, small in claim.LENGTHS:
        methods_by_name = _with_both_starts(recorded, small)
        for name, cells in rows.items():
            results = recorded if name.endswith(RECORDED) else small
            at_end = evidence.is_rate_at_end(results, name.removesuffix(RECORDED))
            cell = difference(methods_by_name[name], methods_by_name["lora_1"])
            cells.append(cell + (claim.END_OF_GRID if at_end else ""))
    return markdown(["against LoRA of rank 1", "60 steps", "250 steps", "1,000 steps"], list(rows.values()), left=4)


def _with_both_starts(recorded: str, small: str) -> Outcomes:
    """Return the summary of two kept comparisons on the same rows as if they were one."""
    runs = [Run.from_json(record) for record in evidence.read(small)["runs"]]
    for record in evidence.read(recorded)["runs"]:
        run = Run.from_json(record)
        if run.method != BASE:
            runs.append(replace(run, method=run.method + RECORDED))
    return summarise(runs, "lora_1", 0.5)


def gates() -> str:
    """The circuit in a gate of two and of eight layers against its controls."""
    two, eight = (outcomes(name, "none", 0.5, TWO_ANALYSES) for name in ("gate-2", "gate"))
    said = {"none": "no circuit", "mlp": "a perceptron", "fourier": "a Fourier series", "product": "no entanglement"}
    rows = []
    for name, words in said.items():
        pair = [
            difference(found[f"gate_{layers}"], found[name if name == "none" else f"{name}_{layers}"])
            for layers, found in ((2, two), (8, eight))
        ]
        rows.append([words, *pair])
    return markdown(["the gate against", "two layers", "eight layers"], rows, left=3)


def planted() -> str:
    """What the bench answers by what was planted, and how strong it was."""
    rows = []
    words = {"higher": "no", "lower": "yes", "equivalent": "equivalent", "not decided": "not decided"}
    for name, start in (
        ("positive-control", "beside it"),
        ("positive-control-far", "usual, 40 steps"),
        ("positive-control-far-120", "usual, 120 steps"),
    ):
        for cell in evidence.read(name)["cells"]:
            core, dose = cell["teacher"]["core"], cell["teacher"]["dose"]
            what = "nothing" if not dose else "a circuit" if core.startswith("quantum") else "a perceptron"
            answers: dict[str, Any] = {entry["other"] or "": entry for entry in cell["answers"]}
            beside = [
                f"{answers[other]['percent']:+.2f}" if other in answers else ""
                for other in ("none", "mlp", "fourier", "product")
            ]
            rows.append([what, f"{dose:g}", start, words[answers[""]["direction"]], *beside])
    head = ["planted", "strength", "start", "answer", "no circuit", "perceptron", "Fourier", "no entanglement"]
    return markdown(head, rows, left=4)


METHODS = {
    "lora_all": "LoRA, r = 8, all linear layers",
    "lora_all_1": "LoRA, r = 1, all linear layers",
    "sparse": "`sparse`",
    "ia3": "IA3",
    "lora": "LoRA, r = 8, q and v",
    "lora_1": "LoRA, r = 1, q and v",
    "mpo": "`mpo`: `qtha` without its circuit",
    "qtha": "`qtha`",
}


def steps() -> str:
    """Eight methods after 60, 250 and 1,000 steps, against LoRA of rank 8 on q_proj and v_proj."""
    runs = [outcomes(name, "lora", 0.5) for name in ("long-60", "long-250", "thousand")]
    rows = []
    for name, said in METHODS.items():
        cells = [f"{run[name].eval_loss:.3f}" + _beside(run[name], run["lora"]) for run in runs]
        rows.append([said, f"{runs[0][name].trainable_parameters:,}", *cells])
    return markdown(["method", "trained parameters", "60 steps", "250 steps", "1,000 steps"], rows)


def _beside(method: Summary, other: Summary) -> str:
    if method is other:
        return ""
    found = compare_methods(method, other)
    return f" ({found.mean:+.1f}%: {WORDS.get(found.direction, 'not decided')})"


def fronts() -> str:
    """The lowest loss within a number of trained parameters, and the best of the other side, on two texts."""
    tables = [front.best(evidence.read(name))[0] for name in ("front-dialogue", "front-sentences")]
    rows = []
    for one, other in zip(*tables, strict=True):
        rows.append([f"{one.budget:,}", *(cell for best in (one, other) for cell in _front(best))])
    head = ["trained parameters, at most", "dialogues: lowest", "ahead of", "by", "sentences: lowest", "ahead of", "by"]
    return markdown(head, rows)


def _front(best: front.Best) -> list[str]:
    if best.percent is None or best.corrected is None:
        return [f"`{best.method}`", "", ""]
    decided = "" if best.corrected < 0.05 else ", not decided"
    return [f"`{best.method}`", f"`{best.other}`", f"{-best.percent[0]:.1f}%{decided}"]


TRAINING = "difference in % (seeds)"
TEST = "difference in % (seeds, rows)"
AGAINST = ("method", "against", f"training loss, {TRAINING}", f"test loss, {TEST}")
CLAIM = ("method", "trained parameters", "rate", "training loss", TRAINING, "test loss", TEST)
LENGTHS = ("method", "dialogues, 60 steps", "250 steps", "1,000 steps", "word problems, 60 steps", "`scaled` there")

TABLES: dict[str, Callable[[], str]] = {
    "claim": lambda: markdown(CLAIM, claim.rows("claim")),
    "claim-circuit": lambda: markdown(AGAINST, claim.circuit_rows(), left=2),
    "claim-own-rates": lambda: markdown(CLAIM, claim.rows("claim-own-rates")),
    "starts": lambda: markdown(("start", "at 5e-5, %", "own rate", "at its own rate, %"), claim.start_rows()),
    "start-lengths": lambda: markdown(LENGTHS, claim.length_rows()),
    "lora-fit": lambda: markdown(
        ("method", "gain, nats", "rank of `convert_to_lora`", "rank of `qweft export`", "kept"), lora_fit.table_rows()
    ),
    "exports": lambda: markdown(
        ("method", "in PEFT", "merged", "merged-gguf", "as a LoRA"), exports.table_rows(), left=2
    ),
    "own-rates": own_rates,
    "circuit": circuit,
    "recorded-circuit": recorded_circuit,
    "gates": gates,
    "planted": planted,
    "steps": steps,
    "fronts": fronts,
    "pairs": lambda: front.pairs_table(evidence.read("budget")),
    "peft": lambda: methods.table({"dialogues": evidence.read("baselines")}, "lora"),
}


def filled(text: str) -> str:
    """Return a page with its tables made anew."""
    return PLACE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}", text)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(description="The tables of the pages, from the kept results.")
    parser.add_argument("--check", action="store_true", help="fail where a page differs")
    given = parser.parse_args(argv)
    for name in PAGES:
        page = DOCS / name
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if given.check and after != before:
            sys.exit(f"docs/{name} is not what the kept results give: python -m research.tables")
        page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
