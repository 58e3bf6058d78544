"""The figures: written, self-contained, and right where it can be checked without looking."""

import itertools
import os
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest

from qweft.comparison import curves
from qweft.comparison.curves import curves_svg, sizes_svg, write_png
from tests.comparison.comparison_examples import run, runs

RUNS = runs(base=[1.3], lora=[0.8, 0.81, 0.82], qtha=[0.9, 0.91, 0.92], mpo=[0.905, 0.915, 0.925])


def test_the_png_is_written_whole(tmp_path):
    path = tmp_path / "loss_curves.png"
    write_png(RUNS, path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG") and content.rstrip().endswith(b"IEND\xaeB`\x82")
    assert os.listdir(tmp_path) == ["loss_curves.png"]


@pytest.mark.parametrize("draw", [curves_svg, sizes_svg])
def test_the_svg_is_well_formed_and_refers_only_to_itself(draw):
    text = draw(RUNS)
    root = ET.fromstring(text)
    ids = {element.get("id") for element in root.iter()} - {None}
    used = {e.get("href") for e in root.iter() if e.get("href")}
    assert used and all(reference[0] == "#" and reference[1:] in ids for reference in used)
    assert "http" not in text and "<script" not in text and "<!--" not in text
    assert text == draw(RUNS)


def test_two_figures_on_one_page_share_no_id():
    ids = [{e.get("id") for e in ET.fromstring(draw(RUNS)).iter()} - {None} for draw in (curves_svg, sizes_svg)]
    assert ids[0] and not ids[0] & ids[1]


def test_global_settings_are_left_alone(tmp_path):
    before, backend = dict(matplotlib.rcParams), matplotlib.get_backend(auto_select=False)
    write_png(RUNS, tmp_path / "x.png")
    assert dict(matplotlib.rcParams) == before and matplotlib.get_backend(auto_select=False) == backend


@pytest.mark.parametrize(
    "made",
    [
        runs(base=[1.3]),
        runs(lora=[1.0]),
        runs(base=[1.3], lora=[None, 1.0]),
        [run("lora", 0, None, train_loss_curve=((1, 2.0), (2, float("nan"))))],
        [run("lora", 0, train_loss_curve=((1, 2.0), (2, 1.0))), run("lora", 1, train_loss_curve=((2, 1.0),))],
        [run(r"$\frac{a$", 0), run("<script>alert(1)</script>-->", 0)],
        runs(**{f"method_{i}": [1.0 + i / 100] for i in range(9)}),
    ],
    ids=["base alone", "one run", "diverged", "all diverged", "unequal curves", "odd names", "many"],
)
def test_odd_comparisons_are_drawn(made, tmp_path):
    write_png(made, tmp_path / "x.png")
    for draw in (curves_svg, sizes_svg):
        ET.fromstring(draw(made))


def test_the_trailing_mean_by_hand():
    assert curves._trailing_mean(np.array([1.0, 3.0, 5.0, 9.0]), 2).tolist() == [1, 2, 4, 7]


def test_names_are_spread_just_so_far_that_they_do_not_overlap():
    places = curves._spread([0.1, 0.5, 0.5, 0.52], gap=0.05)
    assert places[0] == 0.1
    assert all(b - a >= 0.05 - 1e-9 for a, b in itertools.pairwise(places))
    assert sum(places[1:]) == pytest.approx(0.5 + 0.5 + 0.52)
