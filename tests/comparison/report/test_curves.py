"""The figures: written, self-contained, and right where it can be checked without looking."""

import itertools
import math
import os
import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from qweft.analysis.inspection import LayerInspection
from qweft.analysis.jacobian import spread_of
from qweft.comparison.report import curves
from qweft.comparison.report.content import Content, figures, styles_of
from qweft.comparison.report.curves import apart, emphasised, lines
from qweft.comparison.report.forest import differences, forest_figure
from qweft.comparison.report.heat_maps import Scale
from qweft.comparison.report.inspection import MEASURES, inspections
from qweft.comparison.report.pareto import Point, front, pareto_figure, points
from qweft.comparison.searched import searches
from qweft.comparison.summarise import summarise
from qweft.comparison.verdicts import findings
from qweft.figures.figure import spread
from qweft.figures.styles import COLOURS, DASHES, SHAPES, fitting, styles
from qweft.method.names import PARTS
from tests.comparison.comparison_examples import run, runs, verdict
from tests.comparison.report.report_examples import ADAPTERS, many_adapters, results

RUNS = runs(base=[1.3], lora=[0.8, 0.81, 0.82], qtha=[0.9, 0.91, 0.92], mpo=[0.905, 0.915, 0.925])
SOME = {name: ADAPTERS[name] for name in ("lora", "qtha", "mpo")}


def content_of(made):
    return Content.read({"runs": [entry.to_json() for entry in made]})


@pytest.fixture(scope="module")
def full():
    return Content.read(results(SOME))


def test_every_figure_is_there_and_written_whole_as_png(full, tmp_path):
    drawn = figures(full)
    names = [figure.name for figure in drawn.every]
    assert names[:8] == ["differences", "differences_others", "loss_curves", "loss_curves_apart", "loss_by_size",
                         "loss_by_time", "learning_rates", "spectra"]  # fmt: skip
    assert len(drawn.maps) == 15 and len(set(names)) == len(names)
    for figure in drawn.every[:8]:
        content = figure.write(tmp_path).read_bytes()
        assert content.startswith(b"\x89PNG") and content.rstrip().endswith(b"IEND\xaeB`\x82")
    assert sorted(os.listdir(tmp_path)) == sorted(f"{name}.png" for name in names[:8])


def test_a_map_is_written_as_an_svg_that_stands_alone(full, tmp_path):
    path = figures(full).maps[0].write(tmp_path)
    assert path.name == "map_effective_rank_token.svg"
    root = ET.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and "background:#fff" in root.get("style")


def test_an_svg_is_well_formed_refers_only_to_itself_and_says_what_it_shows(full):
    for figure in [*figures(full).every[:8:2], *figures(full).maps[:1]]:
        text = figure.svg("a-")
        root = ET.fromstring(text)
        ids = [element.get("id") for element in root.iter() if element.get("id")]
        assert len(ids) == len(set(ids)) and all(name.startswith(f"a-{figure.name}-") for name in ids)
        used = {e.get("href") for e in root.iter() if e.get("href")} | set(re.findall(r"url\((#[^)]+)\)", text))
        assert used and all(reference[0] == "#" and reference[1:] in ids for reference in used)
        assert "http" not in text and "<script" not in text and "<!--" not in text
        assert root.get("aria-labelledby").split() == [root.find("title").get("id"), root.find("desc").get("id")]
        assert root.find("title").text == figure.title and root.find("desc").text == figure.description
        assert list(root.iter("text")), "text is text, not outlines"
        assert text == figure.svg("a-")


def test_two_figures_on_one_page_share_no_id(full):
    ids = [set(re.findall(r' id="([^"]+)"', figure.svg())) for figure in figures(full).every[4:10:2]]
    assert all(found and not found & other for found, other in itertools.combinations(ids, 2))


def test_global_settings_are_left_alone(full, tmp_path):
    before, backend = dict(matplotlib.rcParams), matplotlib.get_backend(auto_select=False)
    figures(full).every[0].write(tmp_path)
    figures(full).every[0].svg()
    assert dict(matplotlib.rcParams) == before and matplotlib.get_backend(auto_select=False) == backend


@pytest.mark.parametrize(
    "made",
    [
        runs(base=[1.3]),
        runs(lora=[1.0]),
        runs(base=[1.3], lora=[None, 1.0]),
        [run("lora", 0, None, train_loss_curve=((1, 2.0), (2, float("nan"))))],
        [run("lora", 0, None, train_loss_curve=((1, float("nan")), (2, float("nan"))))],
        [run("lora", 0, train_loss_curve=((1, 2.0), (2, 1.0))), run("lora", 1, train_loss_curve=((2, 1.0),))],
        [run(r"$\frac{a$", 0), run("<script>alert(1)</script>-->", 0)],
        [run("lora", 0, step_seconds_median=None)],
        runs(**{f"method_{i}": [1.0 + i / 100] for i in range(16)}),
    ],
    ids=["base alone", "one run", "diverged", "all diverged", "from the start", "unequal curves", "odd names",
         "no times", "many"],
)  # fmt: skip
def test_odd_comparisons_are_drawn(made, tmp_path):
    for figure in figures(content_of(made)).every:
        ET.fromstring(figure.svg())
        figure.write(tmp_path)


def test_the_trailing_mean_by_hand():
    assert curves._trailing_mean(np.array([1.0, 3.0, 5.0, 9.0]), 2).tolist() == [1, 2, 4, 7]


def test_a_line_is_the_mean_over_seeds_between_the_lowest_and_the_highest():
    (line,) = lines(runs(lora=[1.0, 1.0, 1.0]))
    assert line.steps.tolist() == [1, 2, 3, 4] and line.seeds == 3
    assert line.middle == pytest.approx([2.0, 1.6, 1.2, 1.1])
    assert line.low[1] == 1.5 and line.high[1] == pytest.approx(1.7)


def test_names_are_spread_just_so_far_that_they_do_not_overlap():
    places = spread([0.1, 0.5, 0.5, 0.52], gap=0.05)
    assert places[0] == 0.1
    assert all(b - a >= 0.05 - 1e-9 for a, b in itertools.pairwise(places))
    assert sum(places[1:]) == pytest.approx(0.5 + 0.5 + 0.52)


def test_of_many_methods_the_reference_the_best_and_the_hybrids_are_named():
    losses = {f"m{i}": [1.0 + i / 100] for i in range(12)} | {"lora": [2.0], "qtha": [1.9], "qwthn": [1.8]}
    adapters = {"lora": ADAPTERS["lora"], "qtha": ADAPTERS["qtha"], "qwthn": ADAPTERS["qwthn"]}
    made = [run(m, 0, loss[0], adapter=adapters.get(m, {"peft_type": "IA3"})) for m, loss in losses.items()]
    assert emphasised(summarise(made)) == {"lora", "m0", "m1", "m2", "m3", "m4", "qwthn", "qtha"}
    assert emphasised(summarise(made[:8])) == {f"m{i}" for i in range(8)}
    method_styles = styles_of([content_of(made)])
    assert len({method_styles[name].colour for name in ("m0", "m1", "m2", "m3", "m4", "lora")}) == 6


def test_the_names_in_a_figure_do_not_overlap():
    figure = figures(Content.read(results(many_adapters(16), seeds=1, inspected=False))).curves
    ends = [
        e for e in ET.fromstring(figure.svg()).iter("text") if re.fullmatch(r"lora|method_\d+|.*…d_start", e.text or "")
    ]
    assert len(ends) == 8
    heights = sorted(float(e.get("y") or re.search(r" (-?[\d.]+)\)", e.get("transform"))[1]) for e in ends)
    size = float(re.search(r"font(?:-size)?: ([\d.]+)px", ends[0].get("style"))[1])
    assert all(b - a >= size for a, b in itertools.pairwise(heights))


def test_no_two_methods_look_alike():
    found = list(styles(f"method {i}" for i in range(36)).values())
    assert len({(style.colour, style.dash) for style in found}) == 36
    assert len({(style.colour, style.marker) for style in found}) == 36
    first = found[:6]
    assert len({style.colour for style in first}) == len({style.dash for style in first}) == 6
    assert len({style.marker for style in first}) == 6 and len(COLOURS) == len(DASHES) == 6
    for style in found[:7]:
        swatch = ET.fromstring(style.swatch())
        assert (swatch.find("path").get("stroke-dasharray") is None) == (not DASHES[style.dash])
        assert SHAPES[style.marker] in style.swatch()


def test_long_names_keep_their_beginning_and_their_end():
    assert fitting("qtha") == "qtha"
    short = fitting("quantum_weighted_rank_4_scaled")
    assert len(short) == 16 and short.startswith("quantum") and short.endswith("scaled") and "…" in short


def brute_force_front(found):
    """Points that no other one beats or equals in both, with one of the two better."""
    return {
        a
        for a in found
        if not any(b.cost <= a.cost and b.loss <= a.loss and (b.cost, b.loss) != (a.cost, a.loss) for b in found)
    }


def test_the_front_is_what_no_other_method_beats():
    grid = [Point(f"{i}", (7 * i) % 11, (5 * i) % 13, ()) for i in range(1, 40)]
    expected = {(point.cost, point.loss) for point in brute_force_front(grid)}
    assert [(p.cost, p.loss) for p in front(grid)] == sorted(expected)


def test_points_are_means_and_leave_out_what_has_no_cost():
    summary = summarise([*runs(base=[1.3], lora=[0.8, 1.0]), run("fast", 0, 1.0, step_seconds_median=None)])
    assert [(p.method, p.cost, p.loss) for p in points(summary, "parameters")] == [
        ("lora", 1000, 0.8),
        ("fast", 500, 1.0),
    ]
    summary = summarise(runs(base=[1.3], lora=[0.8, 1.0]))
    assert [p.loss for p in points(summary, "parameters")] == [pytest.approx(0.9)]
    assert [p.method for p in points(summary, "time")] == ["lora"]


def test_a_front_is_of_the_seeds_that_all_methods_have():
    """Seeds that were added to open questions are harder here: the smaller method, decided worse, has none of them."""
    summary = summarise(
        [
            *(run("lora", seed, loss) for seed, loss in enumerate([3.60, 3.60, 3.80, 3.80])),
            *(run("small", seed, 3.63, trainable_parameters=500) for seed in (0, 1)),
            *(
                run("large", seed, loss, trainable_parameters=2000)
                for seed, loss in enumerate([3.61, 3.61, 3.81, 3.81])
            ),
        ]
    )
    found = points(summary, "parameters")
    assert [(p.method, p.loss, len(p.seeds)) for p in front(found)] == [("small", 3.63, 2), ("lora", 3.60, 2)]
    assert pareto_figure(summary, "parameters", {}, (), []).caption.count("mean over the seeds that all have") == 1


def finding(method, other, difference, interval, topic="reference", direction="not decided"):
    return verdict(method, other, direction, difference, interval, topic)


def test_the_forests_have_each_difference_once_under_its_heading_and_fill_those_that_are_shown():
    found = [
        finding("qtha", "lora", 2.0, (1.0, 3.0), direction="higher"),
        finding("qwthn", "lora", 1.0, (-1.0, 3.0)),
        finding("qtha", "lora", 2.0, (1.0, 3.0), "size", "higher"),
        finding("qtha", "mpo", None, None, "circuit"),
        finding("qtha", "mlp", -0.5, (-2.0, 1.0), "circuit"),
        finding("mpo", "lora", 0.5, (0.1, 0.9), "other"),  # above the p that six seeds can give: not shown
    ]
    assert [(d.group, d.name, d.mean, d.low, d.high, d.shown) for d in differences(found, "hybrids")] == [
        ("qtha against", "lora", 2, 1, 3, True),
        ("qtha against", "mlp", -0.5, -2, 1, False),
        ("qwthn against", "lora", 1, -1, 3, False),
    ]
    assert [(d.group, d.name, d.shown) for d in differences(found, "others")] == [("against lora", "mpo", False)]
    method_styles = styles(["qtha", "qwthn", "mpo", "mlp", "lora"])
    text = forest_figure(found, "hybrids", method_styles, []).svg()
    assert "qtha against lora: +2.00 [+1.00, +3.00]" in text and "−0.50 [−2.00, +1.00]" in text
    assert text.count("fill: var(--page") == 2 and text.count(">qtha against<") == 1
    assert forest_figure([], "hybrids", {}, []) is None


def test_a_summary_of_findings_has_the_intervals_of_the_verdicts():
    summary = summarise(RUNS)
    told = {(f.method, f.other): f.interval for f in findings(summary)}
    (entry,) = differences(findings(summary), "others")
    assert (entry.low, entry.high) == told["mpo", "lora"] == summary["mpo"].eval_loss_difference_interval


def test_what_lies_apart_is_the_mean_difference_on_the_same_batches():
    curve = {"lora": [[5, 4], [3, 7]], "qtha": [[6, 4], [3, 9]]}
    made = [run(m, seed, train_loss_curve=tuple(enumerate(curve[m][seed]))) for m in curve for seed in (0, 1)]
    (line,) = apart(made, "lora")
    assert line.method == "qtha" and line.middle.tolist() == [0.5, 1]
    assert apart(made, "mpo") == []


def limits(figure):
    """The limits of a figure's first axes."""
    drawn, _ = figure._drawn()
    return drawn.axes[0].get_xlim(), drawn.axes[0].get_ylim()


def test_beside_each_other_figures_share_scales_and_looks():
    low, high = (
        Content.read(results(SOME, inspected=False)),
        Content.read(results(ADAPTERS, shift=1.0, inspected=False)),
    )
    method_styles = styles_of([low, high])
    for left, right in zip(figures(low, [low, high]).every, figures(high, [low, high]).every, strict=True):
        (width, height), (other_width, other_height) = limits(left), limits(right)
        assert left.name == right.name and width == other_width
        assert height == other_height or left.name.startswith("differences"), "a forest is as high as it has rows"
    assert limits(figures(low, [low, high]).curves)[1] != limits(figures(low).curves)[1]
    assert set(method_styles) == set(ADAPTERS) and list(method_styles)[:3] == list(SOME)


def test_a_map_has_a_cell_for_each_layer_that_says_its_number(full):
    by_name = {figure.name: figure for figure in figures(full).maps}
    text = by_name["map_entanglement"].svg()
    assert text.count("<title>qtha, block ") == 60 and "<title>lora, block" not in text
    layer = full.inspected["qtha"].values["entanglement"][("v_proj", 7)]
    assert f"<title>qtha, block 7, v_proj: {layer:.4g}</title>" in text
    size = full.inspected["qtha"].values["relative_size"][("q_proj", 7)]
    assert f"<title>qtha, block 7, q_proj: {100 * size:.4g}%</title>" in by_name["map_relative_size"].svg()
    assert by_name["map_relative_size"].svg().count("<title>lora, block ") == 60


def test_the_colours_of_a_map_span_its_numbers_but_for_a_few_far_out():
    scale = Scale.over([0.0, 0.5, 1.0])
    assert (scale.low, scale.high, scale.cut) == (0, 1, False)
    colours = [to_hex(matplotlib.colormaps["cividis"](share)) for share in (0.0, 0.25, 1.0)]
    assert [scale.colour(number) for number in (0.0, 0.25, 1.0)] == colours
    far = Scale.over([*np.linspace(0, 1, 99), 50.0])
    assert far.cut and far.high <= 1 and far.colour(50.0) == scale.colour(1.0)
    assert Scale.over([3.0, 3.0]).colour(3.0) == colours[0]


def test_every_number_of_an_inspection_is_shown_or_left_out_on_purpose():
    known = set(LayerInspection("model.layers.0.q_proj", 4, spread_of(torch.eye(4)[None]), 0.1).scalars())
    assert known - {measure.key for measure in MEASURES} == {"stable_rank_token", "rank_token", "entanglement_sd"}
    assert {m.key.partition(".")[0] for m in MEASURES} - known == {"gradient_norms"}
    assert {m.key.partition(".")[2] for m in MEASURES} - {""} == set(PARTS)


def test_shares_are_percentages_and_rounding_is_zero():
    share, rank = (next(m for m in MEASURES if m.key == key) for key in ("varying_share", "different_maps"))
    assert [share.said(x) for x in (9.2e-32, 0.0613, 0.0004, 1.25, None)] == ["0%", "6.1%", "0.04%", "125.0%", "–"]
    assert [rank.said(x) for x in (1.658, 0.0079, 20.53)] == ["1.66", "0.0079", "20.5"]
    assert share.exactly(0.061283) == "6.128%" and rank.exactly(2.0, 3) == "2"


def test_a_method_is_inspected_as_the_mean_over_its_seeds(full):
    records = [r for r in results(SOME)["runs"] if r["method"] == "qtha"]
    numbers = [r["inspection"]["layers"][5]["relative_size"] for r in records]
    assert full.inspected["qtha"].values["relative_size"][("v_proj", 2)] == pytest.approx(sum(numbers) / 3)
    spectra = [layer["spectrum"] for r in records for layer in r["inspection"]["layers"]]
    assert full.inspected["qtha"].spectrum == pytest.approx(
        [sum(column) / len(spectra) for column in zip(*spectra, strict=True)]
    )


def test_the_search_is_read_in_the_order_of_the_rates():
    (found,) = searches({"a": {"best": 0.01, "at_end_of_grid": True, "validation_loss": {"0.01": 1.0, "0.001": None}}})
    assert list(found.losses.items()) == [(0.001, math.inf), (0.01, 1.0)] and found.at_end
    assert searches(None) == []


def test_a_run_that_explodes_does_not_flatten_the_others():
    made = [run("lora", 0), run("qtha", 0, None, train_loss_curve=((1, 2.0), (2, 1e6), (3, math.nan)))]
    figure = figures(content_of(made)).curves
    assert limits(figure)[1][1] < 2 * curves.CUT * 1.1


def test_a_method_that_diverged_at_a_seed_is_on_no_front():
    """The mean of its other seeds would flatter it."""
    found = Content.read(results(diverged=("lora_small",), inspected=False))
    assert {point.method for point in points(found.summary, "parameters")} == set(ADAPTERS) - {"lora_small"}


def test_layers_of_one_module_name_and_block_stay_apart():
    layers = [
        {"layer": f"h.0.{part}.c_proj", "module": "c_proj", "block": 0, "relative_size": size, "spectrum": [1.0]}
        for part, size in (("attn", 0.01), ("mlp", 0.09))
    ]
    runs = [{"method": "qtha", "seed": seed, "inspection": {"layers": layers}} for seed in (0, 1)]
    (entry,) = inspections(runs).values()
    assert entry.values["relative_size"] == {("attn.c_proj", 0): 0.01, ("mlp.c_proj", 0): 0.09}
