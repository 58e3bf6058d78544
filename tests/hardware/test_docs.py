"""The tables of docs/robustness.md are those of the raw results."""

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def rows_of(name):
    """The table as the raw results give it."""
    found = json.loads((DOCS / "results" / f"robustness-{name}.json").read_text())
    yield f"| | computed | {found['exact']:.4f} | | | |"
    for point in found["points"]:
        scale, shots = point["setting"]["noise_scale"], point["setting"]["shots"]
        yield (
            f"| x {scale:g} | {'all' if shots is None else f'{shots:,}'} | {point['loss']:.4f} "
            f"| {point['rise']:+.4f} ± {point['rise_error']:.4f} | {100 * point['agreement']:.1f}% "
            f"| {point['same_answers']} of {len(point['answers'])} |"
        )
    yield f"| | base model | {found['base']:.4f} | {found['base'] - found['exact']:+.4f} | | |"


@pytest.mark.parametrize("name", ["qtha", "qwthn"])
def test_the_table_is_that_of_the_raw_results(name):
    assert "\n".join(rows_of(name)) in (DOCS / "robustness.md").read_text()


@pytest.mark.parametrize(("name", "left"), [("qtha", 91), ("qwthn", 33)])
def test_what_is_left_of_the_gain(name, left):
    found = json.loads((DOCS / "results" / f"robustness-{name}.json").read_text())
    loss = found["points"][-1]["loss"]
    assert found["points"][-1]["setting"] == {"shots": None, "noise_scale": 1.0}
    assert round(100 * (found["base"] - loss) / (found["base"] - found["exact"])) == left
    assert f"{left}% " in (DOCS / "robustness.md").read_text()
