"""The tables of docs/robustness.md are those of the raw results."""

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def rows_of(name):
    """The table as the raw results give it."""
    found = json.loads((DOCS / "results" / f"robustness-{name}.json").read_text())
    computed = found["computed"]
    yield f"| | computed | {computed['exact']:.4f} | | | |"
    for point in found["points"]:
        scale, shots = point["setting"]["noise_scale"], point["setting"]["shots"]
        yield (
            f"| x {scale:g} | {'all' if shots is None else f'{shots:,}'} | {point['loss']:.4f} "
            f"| {point['rise']:+.4f} ± {point['rise_error']:.4f} | {100 * point['agreement']:.1f}% "
            f"| {point['same_answers']} of {len(point['answers'])} |"
        )
    yield f"| | base model | {computed['base']:.4f} | {computed['base'] - computed['exact']:+.4f} | | |"


@pytest.mark.parametrize("name", ["qtha", "qwthn"])
def test_the_table_is_that_of_the_raw_results(name):
    assert "\n".join(rows_of(name)) in (DOCS / "robustness.md").read_text()


def test_what_is_left_of_the_gain():
    page = " ".join((DOCS / "robustness.md").read_text().split())
    last = {}
    for name in ("qtha", "qwthn"):
        found = json.loads((DOCS / "results" / f"robustness-{name}.json").read_text())
        last[name] = point = found["points"][-1]
        assert point["setting"] == {"shots": None, "noise_scale": 1.0}
        gain = found["computed"]["base"] - found["computed"]["exact"]
        kept, error = 100 * (1 - point["rise"] / gain), 100 * point["rise_error"] / gain
        assert (f"{kept:.0f}% ± {error:.0f}% are left" in page) == (name == "qwthn")
    assert abs(last["qtha"]["rise"]) < last["qtha"]["rise_error"]
    assert f"{last['qtha']['rise']:+.3f} ± {last['qtha']['rise_error']:.3f}" in page
    sizes = json.loads((DOCS / "results" / "robustness-qtha.json").read_text())
    assert f"{len(sizes['sample']['rows'])} held-out rows, {sum(sizes['computed']['targets'])} targets" in page


def test_the_table_of_mitigation_is_that_of_the_raw_results():
    page = (DOCS / "robustness.md").read_text()
    for each in json.loads((DOCS / "results" / "robustness-mitigation.json").read_text()):
        point, done = each["point"], each["done"]
        assert (
            f"| {done if done == 'nothing' else f'`{done}`'} | {point['loss']:.4f} | {point['rise']:+.4f} ± "
            f"{point['rise_error']:.4f} | {100 * point['agreement']:.1f}% | {point['circuits']:,} |"
        ) in page
