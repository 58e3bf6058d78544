"""The matrix of the positive control: every teacher at every dose, each a comparison of `qweft compare`.

    python -m research.positive_control --output runs/positive-control

It makes what is missing of configs/positive-control.yaml, or of another --config, in a folder for each teacher and
dose; further options are those of `qweft compare`. Then it gathers the comparisons that are finished in
OUTPUT/matrix.json (matrix-far.json) and prints their table. The same command goes on after a stop, and started twice it
shares the runs. With --far it makes one cell: the planted circuit at dose 1, whose student starts as ever and not near
the teacher. A dose of 0 has no circuit and no perceptron, so it is made once, with the maps of the circuit's teacher.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qweft.cli import compare
from qweft.comparison.findings import findings
from qweft.comparison.phrases import ANSWERS, SMALLER
from qweft.comparison.results import Run
from qweft.comparison.searched import searches, with_doubts
from qweft.comparison.summarise import summarise
from qweft.files import write_bytes

TEACHERS = {"quantum": (0.0, 0.25, 0.5, 1.0), "mlp": (0.25, 0.5, 1.0)}
"""The function of the teacher's core, and its doses."""
CONFIG = "configs/positive-control.yaml"
SHOWN, DOUBT = ", shown", ", in doubt"
"""What the table adds to an equivalence with a smaller difference that is shown, and where the rates may decide."""


def cells(far: bool = False) -> list[tuple[str, float]]:
    """Returns the teachers with their doses: the extremes first, since they tell whether the rest is worth its time.

    Args:
        far: The planted circuit at dose 1 alone.
    """
    if far:
        return [("quantum", 1.0)]
    found = [(teacher, dose) for teacher, doses in TEACHERS.items() for dose in doses]
    return sorted(found, key=lambda cell: cell[1] not in (0.0, 1.0))


def folder(output: Path, teacher: str, dose: float, far: bool = False) -> Path:
    """Returns the folder of one comparison."""
    return output / f"{teacher}-{dose:g}{'-far' if far else ''}"


def arguments(config: str, output: Path, teacher: str, dose: float, far: bool = False) -> list[str]:
    """Returns the arguments of `qweft compare` for one teacher."""
    place = str(folder(output, teacher, dose, far))
    start = ["--teacher.near", "null"] if far else []
    return [
        config, "--teacher.adapter.core", f"{teacher}_gated", "--teacher.dose", str(dose), *start, "--output", place,
    ]  # fmt: skip


def collected(results: dict[str, Any]) -> dict[str, Any]:
    """Returns what a comparison says of the circuit and of each pair, and the runs and searches that it says it of."""
    summary = next(iter(results["summary"].values()))
    kept = {name: results.get(name) for name in ("teacher", "planned_runs", "runs", "search", "environment")}
    kept |= {name: summary.get(name) for name in ("reference", "equivalent_within")}
    return kept | {"answers": answers(kept)}


def answers(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the answers of a collected comparison, computed from its runs: the whole one, then those of pairs.

    "doubted" says whether the learning rates may decide a pair's answer, by the searches' own curves.
    """
    runs = [Run.from_json(record) for record in cell["runs"]]
    plain = findings(summarise(runs, str(cell["reference"]), cell["equivalent_within"]))
    found, _ = with_doubts(plain, searches(cell["search"]))
    return [
        {
            "other": entry.other,
            "direction": entry.direction,
            "percent": entry.difference,
            "interval": entry.interval,
            "visible": entry.visible,
            "doubted": entry.text != before.text,
            "smaller": SMALLER in entry.text,
            "text": entry.text,
        }
        for entry, before in zip(found, plain, strict=True)
        if entry.topic == "circuit"
    ]


def table(record: dict[str, Any]) -> list[str]:
    """Returns a row for each comparison: does the circuit help, and by how much against each control."""
    lines = ["| teacher | dose | KL, nats | does the circuit help? | against each control, % of the loss (better?) |"]
    lines.append("|---|---:|---:|---|---|")
    for cell in record["cells"]:
        whole = next(entry for entry in cell["answers"] if not entry["other"])
        pairs = "; ".join(
            f"{entry['other']} {entry['percent']:+.2f} "
            f"({ANSWERS[entry['direction']]}{SHOWN * entry['smaller']}{DOUBT * entry['doubted']})"
            for entry in cell["answers"]
            if entry["other"] and entry["percent"] is not None
        )
        teacher = cell["teacher"]
        place = f"| {teacher['core']} | {teacher['dose']:g} | {teacher['kl']:.3f} "
        lines.append(f"{place}| {ANSWERS[whole['direction']]} | {pairs} |")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the comparisons, gathers them and prints their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--far", action="store_true")
    given, more = parser.parse_known_args(argv)
    for teacher, dose in cells(given.far):
        compare.run([*arguments(given.config, given.output, teacher, dose, given.far), *more])
    files = [folder(given.output, *cell, given.far) / "results.json" for cell in sorted(cells(given.far))]
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    found = [collected(each) for each in results if len(each["runs"]) == each["planned_runs"]]
    gathered = json.dumps({"cells": found}) + "\n"
    write_bytes(given.output / f"matrix{'-far' * given.far}.json", gathered.encode())
    print("\n".join(table({"cells": found})))


if __name__ == "__main__":
    main()
