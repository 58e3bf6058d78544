"""What the pages of results and the README say of the experiments is what the raw results give."""

import json
import math
import re
from functools import partial
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from research.rates import joined

from qweft.cli.presets import RECOMMENDED
from qweft.comparison.conclusion import claimed
from qweft.comparison.family import holm
from qweft.comparison.findings import findings
from qweft.comparison.phrases import effect_said, p_said
from qweft.comparison.rates import parabola
from qweft.comparison.report.content import Content
from qweft.comparison.results import Run
from qweft.comparison.searched import doubt, searches, with_doubts
from qweft.comparison.statistics import Look, paired
from qweft.comparison.summarise import summarise

ROOT = Path(__file__).parents[2]
FIRST = (ROOT / "docs" / "results.md").read_text()
WHICH = (ROOT / "docs" / "which-adapter.md").read_text()
PAGE = " ".join((FIRST + (ROOT / "docs" / "results-appendix.md").read_text() + WHICH).split())
README = " ".join((ROOT / "README.md").read_text().split())
LOOKS = [Look(level=0.025, seeds=tuple(range(6 * number)), number=number, planned=2) for number in (1, 2)]
"""The looks of the runs that go on until each question is decided."""


def summary_of(name):
    record = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
    return summarise([Run.from_json(entry) for entry in record["runs"]], "lora")


def decided():
    """Both looks of the experiment that stated a margin, at six and twelve seeds."""
    record = json.loads((ROOT / "docs" / "results" / "decide.json").read_text())
    return summarise([Run.from_json(entry) for entry in record["runs"]], "mpo", 0.5, LOOKS)


def all_searches(name):
    """The searches of an experiment, with those on further seeds where there are any."""
    folder = ROOT / "docs" / "results"
    search, more = json.loads((folder / f"{name}.json").read_text())["search"], folder / f"{name}-rates.json"
    if name not in ("decide", "bias", "long-60"):
        return searches(search)
    found = joined(search, json.loads(more.read_text())["methods"])
    # the constant was held against qtha at the rate that it had in the experiment with the margin
    return found + [each for each in all_searches("decide") if each.method == "qtha"] if name == "bias" else found


def upwards(percent):
    return f"{math.ceil(100 * percent) / 100:.2f}%"


def test_the_experiment_with_a_margin():
    summary = decided()
    search = Content.read(json.loads((ROOT / "docs" / "results" / "decide.json").read_text())).search
    short = {each.method: each.shortfall.percent for each in search}
    for entry in (entry for entry in summary.values() if entry.kind != "base"):
        loss = f"{entry.eval_loss:.3f} ± {entry.eval_loss_deviation:.3f}"
        line = f"| {entry.trainable_parameters:,} | {entry.learning_rate:g} | {short[entry.method]:.2f}% "
        assert line + f"| {entry.late_train_loss:.3f} | {loss} |" in PAGE, entry.method
    pairs = [finding for finding in findings(summary) if finding.topic == "circuit" and finding.other]
    assert len(pairs) == 3
    further = {each.method: each.shortfall.percent for each in all_searches("decide")}
    rates = [further["qtha"] + further[pair.other] for pair in pairs]
    told = " ".join(FIRST.split())
    whole = [max(map(abs, pair.interval)) + rate for pair, rate in zip(pairs, rates, strict=True)]
    each_said = "{} (no circuit), {} (a perceptron) and {} (no entanglement)"
    estimate = each_said.replace(") and", "),").format(*map(upwards, whole))
    assert f"the differences in A could be, by an estimate, up to {estimate} and " in told
    alone = [max(map(abs, pair.interval)) + short["qtha"] + short[pair.other] for pair in pairs]
    assert f"could make the differences in A {each_said.format(*map(upwards, alone))}" in PAGE
    for pair in pairs:
        said = re.search(r": ([^:]+), (\S+% \[.+?\]) \(\d+ seeds: (.+?); p ", pair.text)
        numbers = (p_said(pair.p_value), p_said(pair.corrected), effect_said(pair.visible))
        cells = (*said.group(2, 3), *(number.removeprefix("= ") for number in numbers), said.group(1))
        assert f"(`{pair.other}`) | " + " | ".join(cells) + " |" in PAGE, pair.text
        assert pair.direction == "equivalent"
        assert further["qtha"] + further[pair.other] > 0.5 - max(map(abs, pair.interval))
        assert pair.other == "product_linear" or said.group(2) in README


def row(entry, reference):
    """A row of the table from the losses on."""
    against = ""
    if entry is not reference:
        found = paired(entry, reference)
        low, high = found.interval
        against = f"{found.mean:+.1f}% [{low:+.1f}, {high:+.1f}]"
    return entry, f"{entry.eval_loss:.3f} ± {entry.eval_loss_deviation:.3f}", against


COLUMNS = ("decide", "long-60", "experiment-second-model")
QUESTIONS = [
    ("its controls together", "circuit", ""),
    ("no circuit", "circuit", "mpo"),
    ("a perceptron in its place", "circuit", "mlp_linear"),
    ("no entanglement", "circuit", "product_linear"),
    ("a constant in its place", "circuit", "bias_linear"),
    ("LoRA of its size", "size", "lora_small"),
    ("LoRA of rank 8 (D: 4)", "reference", "lora"),
]
"""The rows of the page's first table: what `qtha` is held against, and where the findings have it."""


def of_column(name):
    """The findings of an experiment, and those whose verdict the rates may decide."""
    record = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
    runs = [Run.from_json(entry) for entry in record["runs"]]
    margin = 0.5 if name in ("long-60", "bias") else None
    look = Look(level=0.025, seeds=tuple(range(6)), number=1, planned=2)  # as the first one of that column
    of_bias = partial(summarise, runs, "bias_linear", margin, [look])
    made = {"decide": decided, "bias": of_bias}.get(name, partial(summarise, runs, "lora", margin))
    found = findings(made())
    told, _ = with_doubts(found, all_searches(name))
    made = [(entry, entry.text != after.text) for entry, after in zip(found, told, strict=True)]
    if name != "decide":
        return made
    # the constant ran later, in the design of this column
    return made + [each for each in of_column("bias") if each[0].topic == "circuit" and each[0].other]


def cell(found, topic, other):
    """What a cell of the first table says: the difference with its interval, and the verdict."""
    names = {other, "lora_1"} if other == "lora_small" else {other}
    about = [each for each in found if (each[0].topic, each[0].method) == (topic, "qtha")]
    whole = [each for each in about if each[0].other in names]
    pairs = [entry for entry, _ in about if entry.other]
    if not whole or not pairs:
        return "not run"
    ((verdict, doubted),) = whole
    words = {"higher": "shown worse", "lower": "shown better", "open": "not asked"}
    said = words.get(verdict.direction, verdict.direction)
    if said == "not decided":
        visible = verdict.visible if other else max(entry.visible for entry in pairs)
        said += f" ({effect_said(visible).removesuffix('%')})"
    elif said == "equivalent":
        doubted = doubted or (not other and all(doubt for entry, doubt in about if entry.other))
    said += "*" * doubted
    if verdict.difference is None:
        return said
    low, high = verdict.interval
    return f"{verdict.difference:+.2f} [{low:+.2f}, {high:+.2f}] {said}"


def first_table():
    """The first table of the page, from the raw results."""
    found = [of_column(name) for name in COLUMNS]
    lines = ["| `qtha` against | A: controls | B: eight methods | D: Qwen2.5 |", "|---|---|---|---|"]
    for question, topic, other in QUESTIONS:
        lines.append(f"| {question} | {' | '.join(cell(each, topic, other) for each in found)} |")
    return "\n".join(lines)


def test_the_first_table_has_each_experiments_verdict():
    assert f"\n\n{first_table()}\n\n" in FIRST
    left_out = [entry for name in ("experiment-dialogue", "experiment-reasoning") for entry, _ in of_column(name)]
    asked = {other for _, _, other in QUESTIONS}
    of_qtha = [entry for entry in left_out if entry.method == "qtha" and entry.other in asked]
    assert {entry.direction for entry in of_qtha} == {"not decided"} and len(of_qtha) == 12


@pytest.mark.parametrize(
    "name", ["experiment-dialogue", "experiment-reasoning", "experiment-second-model", "experiment-untuned", "controls"]
)
def test_every_row_of_the_tables_is_in_the_raw_results(name):
    summary = summary_of(name)
    for entry in [entry for entry in summary.values() if entry.kind != "base"]:
        _, loss, against = row(entry, summary["lora"])
        visible = "" if not against else f"{effect_said(entry.eval_loss_difference_visible)} |"
        assert " ".join(f"| {entry.late_train_loss:.3f} | {loss} | {against} | {visible}".split()) in PAGE, entry.method


@pytest.mark.parametrize("name", ["experiment-dialogue", "experiment-reasoning", "experiment-second-model", "controls"])
def test_every_answer_on_the_hybrids_is_word_for_word(name):
    for finding in findings(summary_of(name)):
        if (finding.topic == "circuit" and not finding.other) or finding.topic == "size":
            assert finding.text in PAGE


@pytest.mark.parametrize("name", ["experiment-dialogue", "experiment-reasoning", "experiment-second-model"])
def test_every_pair_of_a_hybrid_and_a_control_has_its_row(name):
    pairs = [finding for finding in findings(summary_of(name)) if finding.topic == "circuit" and finding.other]
    for pair in pairs:
        said = re.search(r": (.+), (\S+% \[.+?\]) \(\d seeds: (.+?); p ", pair.text)
        numbers = (p_said(pair.p_value), p_said(pair.corrected), effect_said(pair.visible))
        cells = (*said.group(2, 3), *(number.removeprefix("= ") for number in numbers), said.group(1))
        row = f"`{pair.other}`) | " + " | ".join(cells) + " |"
        assert re.search(rf"\| `{pair.method}` and [\w ]+ \({re.escape(row)}", PAGE), pair.text
    assert pairs


def test_the_papers_claim_on_training_loss():
    said = []
    for name in ("experiment-dialogue", "experiment-second-model", "experiment-reasoning"):
        summary = summary_of(name)
        lora = summary["lora"].late_train_loss
        said += [100 * (summary[method].late_train_loss / lora - 1) for method in ("qtha", "qwthn")]
    numbers = [f"{rise:+.{1 if place < 4 else 0}f}%" for place, rise in enumerate(said)]
    claim = "dialogues {} (`qtha`), {} (`qwthn`), with Qwen2.5 {}, {}; word problems {}, {}; each at its best rate"
    assert f"over the last quarter of the steps, {claim.format(*numbers)}" in PAGE
    for name, rank_4 in (("front-dialogue", "lora_r4"), ("baselines", "lora"), ("front-sentences", "lora_r4")):
        summary = summary_of(name)
        said.append(100 * (summary["qtha"].late_train_loss / summary[rank_4].late_train_loss - 1))
    ends = f"the last quarter of the steps is {min(said):.1f} to {max(said):.0f}% above that of LoRA of rank 4"
    assert (
        f"In six experiments of 40 or 60 steps each method had its own rate. The hybrids' training loss over {ends}"
        in README
    )
    assert min(said) == said[0] and f"The {said[0]:.1f}% is against one at too high a rate" in README
    short = summary_of("controls")
    early = [100 * (short[name].late_train_loss / short["lora"].late_train_loss - 1) for name in ("qtha", "qwthn")]
    assert f"After 24 steps on dialogues {early[0]:+.1f}%, {early[1]:+.1f}% (48 test rows)" in PAGE
    assert f"After 24 steps `qtha` was {-early[0]:.1f}% below it" in README
    record = json.loads((ROOT / "docs" / "results" / "experiment-reasoning.json").read_text())
    runs = [run for run in map(Run.from_json, record["runs"]) if run.late_train_loss is not None]
    for seed in {run.seed for run in runs}:
        assert min((run.late_train_loss, run.method) for run in runs if run.seed == seed)[1] == "lora"
    assert f"has the lowest at every seed, `qtha` {said[4]:.0f}% above it" in PAGE


def test_how_many_claims_the_rates_may_have_decided():
    counts = []
    for name in ("experiment-dialogue", "experiment-second-model"):
        content = Content.read(json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text()))
        found = {search.method: search for search in content.search}
        shown = [finding for finding in findings(content.summary) if finding.direction in ("lower", "higher")]
        claims = {(finding.method, finding.other): doubt(finding, found) for finding in shown if finding.other}
        counts += [sum(map(bool, claims.values())), len(claims)]
    assert counts[:2] == [0, 0]
    assert "In D better rates may account for two or more of the six differences that are shown" in PAGE
    assert counts[2:] == [2, 6]


def test_the_readme_says_the_same():
    found = findings(summary_of("experiment-dialogue"))
    for method, other in (("qtha", "mlp_linear"), ("qtha", "lora_small"), ("qwthn", "lora_small")):
        (one,) = (f for f in found if (f.method, f.other) == (method, other))
        assert one.direction == "not decided"
    second = {(f.method, f.other): f for f in findings(summary_of("experiment-second-model"))}
    small = second["qwthn", "lora_small"]
    short = {(f.method, f.other): f for f in findings(summary_of("controls"))}["qwthn", "lora_small"]
    assert f"It is shown {short.difference:.1f}% worse than LoRA of its size in a shorter run" in PAGE
    both = f"in D, by {small.difference:.1f}% (its rate in doubt), and after 24 steps, by {short.difference:.1f}%"
    assert f"shown worse {both}" in PAGE
    assert small.direction == short.direction == "higher" and second["qtha", "mlp_linear"].direction == "not decided"


@pytest.mark.parametrize(
    ("name", "methods"),
    [("experiment-dialogue", 19), ("experiment-reasoning", 11), ("experiment-second-model", 7), ("controls", 12)],
)
def test_the_raw_results_make_a_report_and_hold_the_search_and_the_inspections(name, methods):
    content = Content.read(json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text()))
    assert len(content.search) == methods and all(entry.losses for entry in content.search)
    assert {"qtha", "qwthn", "mpo", "lora", "product_linear"} <= content.inspected.keys()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *(("coverage", part) for part in ("coverage", "visible", "rare", "few")),
        ("judges", "family"),
        ("judges", "looks"),
    ],
)
def test_the_tables_of_the_page_on_statistics_are_what_was_measured(name, part):
    page = (ROOT / "docs" / "statistics.md").read_text()
    rows = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())[part]["rows"]
    for cells in (row.values() for row in rows):
        told = (f"{cell[0]} ({cell[1]})" if isinstance(cell, list) else str(cell) for cell in cells)
        assert f"\n| {' | '.join(told)} |\n" in page


def test_whose_the_reduction_of_numbers_is():
    size = {name: entry.trainable_parameters for name, entry in summary_of("experiment-dialogue").items()}
    fewer = {name: 1 - size[name] / size["lora"] for name in ("qtha", "qwthn", "mpo")}
    assert "`qtha` {qtha:.1%}, `qwthn` {qwthn:.1%} fewer than LoRA of its rank".format(**fewer) in PAGE
    assert f"have {fewer['mpo']:.1%} fewer: the reduction is theirs" in PAGE
    assert f"makes `qtha` {size['qtha'] / size['mpo'] - 1:.0%} larger" in PAGE


def test_what_a_search_on_four_seeds_says_of_the_eight_methods():
    found = all_searches("long-60")
    assert {len(losses) for each in found for losses in each.by_seed.values()} == {4}
    bounds = sorted(each.shortfall.percent for each in found)
    curves = [(each, parabola(each.by_seed)) for each in found]
    cost = {
        each.method: 100 * (curve.at(each.best) - curve.at(curve.vertex)) / curve.losses[1] for each, curve in curves
    }
    estimates = sorted(cost.values())
    said = (
        f"every verdict at the bounds, {bounds[0]:.2f} to {bounds[-1]:.1f}% of the loss",
        f"At the estimates, {estimates[0]:.2f} to {estimates[-1]:.2f}%",
    )
    summary = summarise(
        [Run.from_json(run) for run in json.loads((ROOT / "docs/results/long-60.json").read_text())["runs"]],
        "lora",
        0.5,
    )
    plain = [each for each in findings(summary) if each.other]
    told, _ = with_doubts(plain, found)
    doubted = [one for one, other in zip(plain, told, strict=True) if one.text != other.text]
    assert len(doubted) == 8 and {each.other for each in plain if each not in doubted} == {"mpo"}
    page = " ".join(WHICH.split())
    for text in (README, page):
        assert all(each in text for each in said)
    gains = {"lower": lambda one: cost[one.other], "higher": lambda one: cost[one.method]}  # of the one that is behind
    gains["equivalent"] = lambda one: cost[one.other] + cost[one.method]
    changed = {one.method for one in plain if one.direction in gains and gains[one.direction](one) > one.room}
    assert changed == {"ia3", "lora_1"}
    assert f"leaves 0.24%, and a better rate may give `lora` {cost['lora']:.2f}%" in page


def test_whose_rates_are_in_doubt():
    rooms = {}
    for name in ("long-60", "long-250", "long-40-sentences"):
        record = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
        summary = summarise([Run.from_json(entry) for entry in record["runs"]], "lora", 0.5)
        found = findings(summary)
        rooms[name] = sorted((each.room, each.method, each.other) for each in found if each.room is not None)
        _, said = with_doubts(found, searches(record["search"]), claimed(summary))
        assert ("claimed of mpo and lora, lora_all and mpo:" in said) == (name == "long-40-sentences")
    page = " ".join(WHICH.split())
    assert "a better rate of `mpo` might change what is said of it" in page
    (room, *pair), *_ = rooms["long-60"]
    assert pair == ["ia3", "lora"] and f"The lead of `ia3` leaves {room:.2f}%" in page
    assert [pair[1:] for pair in rooms["long-250"][:3]] == [("qtha", "lora_1"), ("lora_1", "lora"), ("ia3", "lora")]
    least, *more = (f"{room:.2f}" for room, *_ in rooms["long-250"][:3])
    assert f"leave {least}% for it" in page and {*more} == {"0.23"} and "0.23% (`lora_1` and `ia3` behind" in page


@pytest.mark.parametrize("name", ["long-60", "long-250"])
def test_what_is_said_of_all_pairs_of_the_eight_methods(name):
    summary = summary_of(name)
    pairs = list(combinations([method for method in summary if method != "base"], 2))
    corrected = holm([paired(summary[one], summary[other]).p_value for one, other in pairs])
    p_of = {frozenset(pair): p for pair, p in zip(pairs, corrected, strict=True)}
    assert len(pairs) == 28 and "`lora_all_1`, after 250 steps, too, corrected for all 28 pairs" in PAGE
    of_all = {pair: p for pair, p in p_of.items() if "lora_all" in pair}
    assert [pair for pair, p in of_all.items() if p > 0.05] == [{"lora_all", "lora_all_1"}]
    assert {paired(summary["lora_all"], summary[other]).direction for other in ("lora", "sparse", "mpo")} == {"lower"}
    sparse, network = p_of[frozenset(("sparse", "lora_all_1"))], p_of[frozenset(("mpo", "lora_1"))]
    told = {
        "long-60": ("28 pairs p is {:.2f}", "28 pairs p is {:.3f}"),
        "long-250": ("28 pairs p is {:.3f}", "corrected p {:.3f}"),
    }
    for said, p in zip(told[name], (sparse, network), strict=True):
        assert f"{said.format(p)})" in PAGE


def test_the_eight_methods():
    record = json.loads((ROOT / "docs" / "results" / "long-60.json").read_text())
    summary = summarise([Run.from_json(entry) for entry in record["runs"]], "lora", 0.5)
    lora = summary["lora"]
    for entry in (entry for entry in summary.values() if entry.kind != "base"):
        loss = f"{entry.eval_loss:.3f} ± {entry.eval_loss_deviation:.3f}"
        assert re.search(rf"\| `{entry.method}`[^|]*\| {entry.trainable_parameters:,} \| {loss} \| ", WHICH), loss
        size = int(entry.adapter_bytes)
        assert f"| `{entry.method}` | {entry.learning_rate:.3g} | {entry.late_train_loss:.3f} | {size:,} |" in PAGE
        if entry is not lora:
            pairing = paired(entry, lora)
            digits = 1 if abs(pairing.mean) >= 1 else 2
            ends = ", ".join(f"{end:+.{digits}f}" for end in pairing.interval)
            like = "equivalent, " if pairing.direction == "equivalent" else ""
            assert f"| {loss} | {like}{pairing.mean:+.{digits}f}% [{ends}] |\n" in WHICH
            told = f"| {entry.trainable_parameters:,} | {loss} | {pairing.mean:+.{digits}f}% [{ends}] |"
            assert told in README or entry.method in ("sparse", "ia3", "lora")
            assert pairing.direction != "not decided"
    large, sparse, small = (
        paired(summary[one], summary[other])
        for one, other in (("lora_all_1", "lora_all"), ("sparse", "lora_all_1"), ("qtha", "lora_1"))
    )
    low, high = large.interval
    seen = f"(smallest visible effect {effect_said(large.visible)}), with an eighth"
    assert f"{large.mean:+.2f}% [{low:+.2f}, {high:+.2f}] {seen}" in PAGE and large.direction == "not decided"
    low, high = sparse.interval
    assert f"six times its size, by {sparse.mean:.2f}% [{low:.2f}, {high:.2f}]" in PAGE
    low, high = small.interval
    assert f"by {small.mean:.1f}% [{low:.1f}, {high:.1f}]. Against `mpo`" in PAGE and small.direction == "higher"
    assert f"shown {small.mean:.1f}% [{low:.1f}, {high:.1f}] worse than LoRA of its size in B" in PAGE
    network, circuit = paired(summary["mpo"], summary["lora_1"]), paired(summary["qtha"], summary["mpo"])
    low, high = network.interval
    assert f"`mpo` is {network.mean:.2f}% [{low:.2f}, {high:.2f}] behind that LoRA" in PAGE
    assert f"without a circuit is {network.mean:.1f}% [{low:.1f}, {high:.1f}] behind that LoRA" in PAGE
    low, high = circuit.interval
    assert f"{circuit.mean:+.2f}% [{low:+.2f}, {high:+.2f}] (smallest visible effect" in PAGE
    low, high = small.interval
    assert (
        f"is shown {small.mean:.1f}% [{low:.1f}, {high:.1f}] worse than LoRA of rank 1 on q_proj and v_proj" in README
    )
    sentences = json.loads((ROOT / "docs" / "results" / "front-sentences.json").read_text())
    of_sentences = summarise([Run.from_json(entry) for entry in sentences["runs"]], "lora_r1", 1.0)
    other = paired(of_sentences["qtha"], of_sentences["lora_r1"])
    low, high = other.interval
    assert f"On sentences to put in order it is shown {other.mean:.1f}% [{low:.1f}, {high:.1f}] worse" in README
    assert other.direction == "higher"
    open_ones = {
        "baselines": "lora_r1", "controls": "lora_small", "demo": "lora_small", "experiment-dialogue": "lora_small",
        "experiment-reasoning": "lora_small", "experiment-second-model": "lora_small",
        "experiment-untuned": "lora_small", "front-dialogue": "lora_r1", "long-40-sentences": "lora_1",
    }  # fmt: skip
    effects = []
    for name, of_its_size in open_ones.items():
        record = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
        all_ = summarise([Run.from_json(entry) for entry in record["runs"]], of_its_size)
        asked = [each for each in findings(all_) if (each.method, each.other) == ("qtha", of_its_size)]
        assert {each.direction for each in asked} == {"not decided"}, name
        effects += [each.visible for each in asked]
    assert (
        len(open_ones) == 9
        and f"In the nine others it is not decided ({min(effects):.2g} to {max(effects):.0f}%)" in README
    )
    whole = f"shown worse, {other.mean:.1f}% [{low:.1f}, {high:.1f}]; nine not decided ({min(effects):.2g} to"
    assert f"in ten other runs, C to F among them | on sentences, 40 steps, {whole} {max(effects):.0f})" in FIRST


def signed(pairing):
    digits = 1 if abs(pairing.mean) >= 1 else 2
    low, high = (f"{end:+.{digits}f}" for end in pairing.interval)
    return f"{pairing.mean:+.{digits}f}% [{low}, {high}]"


def table_after(steps, summary):
    """The part of the page on a number of steps, whose table is checked, and the methods by their losses."""
    part = WHICH.split(f"## The same after {steps}")[1].split("\n## ")[0]
    order = sorted((entry for entry in summary.values() if entry.kind != "base"), key=lambda entry: entry.eval_loss)
    told = {"lower": "shown better", "higher": "shown worse", "not decided": "not decided", "equivalent": "equivalent"}
    rows = re.findall(r"\n\| `(\w+)`[^|]*\| ([\d.]+) \| ([\d.]+) \| ([^|]+) \| ([^|]*)\|", part)
    for (name, rate, late, loss, verdict), entry in zip(rows, order, strict=True):
        assert (name, float(rate)) == (entry.method, float(f"{entry.learning_rate:.2g}"))
        assert (late, loss) == (
            f"{entry.late_train_loss:.3f}", f"{entry.eval_loss:.3f} ± {entry.eval_loss_deviation:.3f}"
        )  # fmt: skip
        pairing = None if name == "lora" else paired(entry, summary["lora"])
        seen = f" ({effect_said(pairing.visible)})" if pairing and pairing.direction == "not decided" else ""
        assert verdict.strip() == ("" if pairing is None else f"{signed(pairing)}: {told[pairing.direction]}{seen}")
    return part, order


def test_the_eight_methods_after_1000_steps():
    record = json.loads((ROOT / "docs" / "results" / "thousand.json").read_text())
    summary = summarise([Run.from_json(entry) for entry in record["runs"]], "lora", 0.5)
    assert len(record["runs"]) == record["planned_runs"] and summary["lora"].seeds == tuple(range(6))
    part, order = table_after("1,000 steps", summary)
    said = " ".join(part.split())
    asked = [each.direction for each in findings(summary) if each.other]
    assert len(asked) == 9 and asked.count("equivalent") == 2 and "not decided" not in asked
    assert "All nine questions are decided**, seven shown and two equivalent" in said
    expected = {
        ("lora_all_1", "lora_all"): "equivalent", ("qtha", "mpo"): "equivalent", ("qtha", "lora_1"): "higher",
        ("mpo", "lora_1"): "higher", ("sparse", "lora_all_1"): "higher",
    }  # fmt: skip
    for (one, other), direction in expected.items():
        pairing = paired(summary[one], summary[other])
        assert signed(pairing) in said and pairing.direction == direction, (one, other)
    everyone = list(combinations([entry.method for entry in order], 2))
    corrected = holm([paired(summary[one], summary[other]).p_value for one, other in everyone])
    p_of = {frozenset(pair): p for pair, p in zip(everyone, corrected, strict=True)}
    assert f"for all 28 pairs p is {p_of[frozenset(('mpo', 'lora_1'))]:.2g})" in said
    assert p_of[frozenset(("sparse", "lora_all_1"))] < 0.001 and "corrected p below 0.001)" in said
    ranks = p_of[frozenset(("lora_all_1", "lora_all"))]
    assert f"corrected for all 28 pairs {float(f'{ranks:.2g}'):g})" in said and len(everyone) == 28
    assert [entry.method for entry in order[:2]] == ["lora_all", "lora_all_1"] and order[4].method == "ia3"
    assert {row.rows for row in [paired(summary["qtha"], summary["mpo"])]} == {145}
    assert [each.method for each in searches(record["search"]) if each.shortfall.percent is None] == ["qtha"]
    before = json.loads((ROOT / "docs" / "results" / "long-250.json").read_text())
    was = {entry["method"]: entry["learning_rate"] for entry in before["runs"]}
    grown = {entry.method: entry.learning_rate / was[entry.method] for entry in order}
    least, most = (rule(grown[name] for name in ("lora_all", "lora_all_1", "lora", "sparse")) for rule in (min, max))
    assert f"are {least:.1f} to {most:.1f} times those of 250 steps" in said and 0.5 < grown["lora_1"] < 2
    small = paired(summary["qtha"], summary["lora_1"])
    low, high = small.interval
    for page in (FIRST, README):
        assert f"{small.mean:.2f}% [{low:.2f}, {high:.2f}] after 1,000" in " ".join(page.split())
    assert "after 1,000 on more rows, it is equivalent within 0.5% to the best" in " ".join(RECOMMENDED.split())
    rooms = [
        0.5 - paired(summary[one], summary[other]).widest
        for one, other in (("lora_all_1", "lora_all"), ("qtha", "mpo"), ("ia3", "lora"))
    ]
    assert f"The equivalence of `ia3` leaves {rooms.pop():.2f}% for its rate" in said
    strict = summarise(
        [Run.from_json(entry) for entry in record["runs"]],
        "lora",
        0.5,
        [Look(level=0.025, seeds=tuple(range(6)), number=1, planned=2)],
    )
    undecided = [each.method for each in findings(strict) if each.other and each.direction == "not decided"]
    assert undecided == ["ia3"] and "`ia3` would not be decided. The other eight would" in said
    lead = -paired(summary["lora_all"], summary["lora_all_1"]).mean
    assert f"After 1,000 rank 8 is shown {lead:.2f}% ahead" in README
    above = []
    for name in ("long-60", "long-250", "thousand"):
        losses = {key: entry.late_train_loss for key, entry in summary_of(name).items()}
        above.append(f"{100 * (losses['qtha'] / losses['lora'] - 1):.1f}%")
    assert (
        "the training loss of `qtha` is {} above after 60 steps, {} after 250 and {} after 1,000".format(*above) in PAGE
    )
    rooms = [math.floor(100 * room) / 100 for room in (*rooms, low)]
    assert "leaves {:.2f}% for it, that of `qtha` and `mpo` {:.2f}%, and".format(*rooms) in said
    assert f"behind LoRA of its size {rooms[2]:.2f}%" in said


def test_the_eight_methods_after_250_steps():
    record = json.loads((ROOT / "docs" / "results" / "long-250.json").read_text())
    summary = summarise([Run.from_json(entry) for entry in record["runs"]], "lora", 0.5)
    assert len(record["runs"]) == record["planned_runs"] and len(summary["lora"].seeds) == 6
    part, order = table_after("250 steps", summary)
    said = " ".join(part.split())
    directions = {}
    for one, other in (
        ("lora_all_1", "lora_all"), ("sparse", "lora_all_1"), ("qtha", "lora_1"), ("qtha", "mpo"), ("mpo", "lora_1")
    ):  # fmt: skip
        pairing = paired(summary[one], summary[other])
        assert signed(pairing) in said, (one, other)
        directions[one, other] = pairing.direction
    assert directions["lora_all_1", "lora_all"] == "equivalent" and directions["qtha", "lora_1"] == "higher"
    assert directions["qtha", "mpo"] == "not decided"
    best = order[0].method
    assert best in ("lora_all", "lora_all_1") and "equivalent within 0.5% to the best of eight methods" in RECOMMENDED
    assert yaml.safe_load(record["config_yaml"])["methods"]["lora_all_1"]["adapter"] == {
        "peft_type": "LORA", "r": 1, "target_modules": "all-linear"
    }  # fmt: skip
    circuit, small = paired(summary["qtha"], summary["mpo"]), paired(summary["qtha"], summary["lora_1"])
    assert f"(smallest visible effect {circuit.visible:.2f}%)" in said
    low, high = small.interval
    for page in (PAGE, " ".join(README.split())):
        assert f"{small.mean:.2f}% [{low:.2f}, {high:.2f}]" in page


def test_the_eight_methods_on_a_second_text():
    found = json.loads((ROOT / "docs" / "results" / "long-40-sentences.json").read_text())
    runs = [Run.from_json(record) for record in found["runs"]]
    summary = summarise(runs, "lora", None)
    means = {name: paired(summary[name], summary["lora_all"]).mean for name in summary if name != "base"}
    assert min(means, key=lambda name: means[name]) == "lora_all" and len(runs) == found["planned_runs"]
    text = " ".join(WHICH.split("**On a second text")[1].split("\n\n")[0].split())
    back = {name: paired(summary["lora_all"], summary[name]) for name in means if name != "lora_all"}
    assert f"`lora_all_1` by {-back['lora_all_1'].mean:.1f}% [2.9, 6.5]" in text
    for name in ("ia3", "sparse", "lora", "lora_1", "qtha", "mpo"):
        assert re.search(rf"`{name}` by {-back[name].mean:.1f}%", text), name
    assert {name for name, each in back.items() if each.direction == "lower"} == {"sparse", "lora_1", "mpo"}
    circuit = paired(summary["qtha"], summary["mpo"])
    low, high = circuit.interval
    seen = f"(smallest visible effect {effect_said(circuit.visible)})"
    assert f"{circuit.mean:+.1f}% [{low:+.1f}, {high:+.1f}] {seen}" in text and circuit.direction == "not decided"


def test_how_often_the_choice_is_right():
    page = (ROOT / "docs" / "statistics.md").read_text()
    first, second = page.split("### How often the choice is right")[1].split("**On a second text**")
    made = json.loads((ROOT / "benchmarks" / "results" / "choices.json").read_text())
    for part, data, claims in ((first, "chitchat", 5), (second, "reasoning_gym:sentence_reordering", 3)):
        found = made[f"embedded:{data}"]
        assert min(found["long"], key=found["long"].get) == "lora_all"
        for row in found["table"]:
            shares = " | ".join(f"{row[name]:.1f}" for name in ("right", "harmless", "decided"))
            said = (
                rf"\| {row['budget']} \| [\w ]*\| {row['comparisons']} \| {re.escape(shares)} \| {row['worst']:.2f}% \|"
            )
            assert re.search(said, part), row
        claimed = [one for one in found["choices"] if one["text"].startswith("Use ")]
        assert len(claimed) == claims and all(one["above"] == 0 for one in claimed)
    others = made["embedded:reasoning_gym:sentence_reordering"]["choices"]
    assert sum(one["above"] == 0 for one in others) == 14 and "took it in 14 of 15" in second


def test_the_table_on_how_often_the_recommendation_is_false():
    page = (ROOT / "docs" / "statistics.md").read_text()
    for row in json.loads((ROOT / "benchmarks" / "results" / "halving.json").read_text())["table"]:
        names = ("false", "false_best_of_all", "best", "harmless", "decided")
        shares = " | ".join(f"{row[name]:.1f}" for name in names)
        assert f"| {row['rows'][0]}, {row['rows'][1]} | {row['truth']} | {row['chance']} | {shares} |\n" in page


def test_the_comparisons_of_unseen_files():
    page = (ROOT / "docs" / "comparison.md").read_text()
    made = json.loads((ROOT / "docs" / "results" / "unseen-files.json").read_text())["comparisons"]
    quoted = " ".join(page.replace("\n>", " ").split())
    assert any(". ".join(one["recommendation"]["text"].split(". ")[:2]) + ". It goes on" in quoted for one in made)
    assert {one["recommendation"]["method"] for one in made} == {"lora_all"}  # "all six take the same method"
    for one in made:
        pace, text = one["budget"]["pace"], one["recommendation"]["text"]
        found = re.match(r"Use lora_all \(.+?\): (.+? lower loss than \w+)\.", text)
        said = f"lora_all: {found[1]}" if found else "lora_all, not decided against lora"
        assert f"| {one['minutes']:.0f} | {pace['methods']} | {pace['steps']} | {said} |" in page, one["file"]
        assert found or text.startswith("Nothing is decided between lora_all and lora (")
        losses = {method: [run["eval_loss"] for run in one["runs"] if run["method"] == method] for method in
                  {run["method"] for run in one["runs"]}}  # fmt: skip
        assert min(losses, key=lambda method: sum(losses[method]) / len(losses[method])) == "lora_all"


def test_no_circuit_in_other_runs():
    folder = ROOT / "docs" / "results"
    found = {}
    for name in (
        "controls", "demo", "experiment-dialogue", "experiment-second-model", "experiment-reasoning", "long-60",
        "long-250", "front-dialogue", "long-40-sentences", "front-sentences",
    ):  # fmt: skip
        runs = [Run.from_json(entry) for entry in json.loads((folder / f"{name}.json").read_text())["runs"]]
        summary = summarise(
            [run for run in runs if run.method in ("qtha", "mpo")], "mpo", 1.0 if name == "front-dialogue" else None
        )
        found[name] = paired(summary["qtha"], summary["mpo"])
    assert found.pop("front-dialogue").direction == "equivalent"
    seen = [each.visible for each in found.values()]
    assert f"effects are {effect_said(min(seen)).removesuffix('%')} to {effect_said(max(seen))}" in PAGE
    texts = [found.pop(name).mean for name in ("experiment-reasoning", "long-40-sentences", "front-sentences")]
    assert {each.direction for each in found.values()} == {"not decided"}
    on_dialogues = sorted(each.mean for each in found.values())
    said = "{:+.1f} to {:+.1f}% on dialogues, {:+.1f}% on word problems, {:+.1f}% (three seeds) and {:+.1f}% (six)"
    assert said.format(on_dialogues[0], on_dialogues[-1], *texts) in PAGE
    assert (
        len(found) + len(texts) == 9
        and "against no circuit in nine other runs, B to E among them | not decided" in PAGE
    )


def test_the_constant_in_the_circuits_place():
    (pair,) = [entry for entry, _ in of_column("bias") if entry.topic == "circuit" and entry.other]
    rates = sum(each.shortfall.percent for each in all_searches("bias"))
    whole = max(map(abs, pair.interval)) + rates
    low, high = pair.interval
    said = f"{pair.difference:+.2f}% [{low:+.2f}, {high:+.2f}]"
    page = " ".join((ROOT / "docs" / "trained-circuit.md").read_text().split())
    assert pair.direction == "equivalent"
    assert said in page and f"what the two rates may fall short is {upwards(rates)} at most" in page
    assert f"together leave room for {upwards(whole)}" in page
    (alone,) = [
        each.shortfall.percent
        for each in searches(json.loads((ROOT / "docs" / "results" / "bias.json").read_text())["search"])
        if each.method == "bias_linear"
    ]
    assert f"the constant's rate may cost {alone:.2f}%" in page and alone > 0.5 + low
    told = " ".join(FIRST.split())
    assert f"(no entanglement) and {upwards(whole)} ([a constant]" in told


def test_the_verdicts_on_further_questions():
    told = " ".join(FIRST.split("| further questions |")[1].split("## Design")[0].split())
    long_run, qubits, recorded = summary_of("thousand"), summary_of("qubits"), summary_of("recorded")
    circuit = paired(long_run["qtha"], long_run["mpo"])
    low, high = circuit.interval
    assert f"equivalent within 0.5%, {circuit.mean:+.2f} [{low:+.2f}, {high:+.2f}], its rate in doubt" in told
    assert max(map(abs, circuit.interval)) < 0.5
    seen = {}
    for place, name in zip("CDE", ("dialogue", "second-model", "reasoning"), strict=True):
        pairs = [each for each in findings(summary_of(f"experiment-{name}")) if each.method == "qwthn" and each.other]
        seen[place, "circuit"] = max(each.visible for each in pairs if each.topic == "circuit")
        (size,) = (each for each in pairs if each.other == "lora_small")
        seen[place, "size"] = effect_said(size.visible).removesuffix("%")
        assert size.direction == ("higher" if place == "D" else "not decided")
    c, d, e = (effect_said(seen[place, "circuit"]).removesuffix("%") for place in "CDE")
    assert f"not decided in C ({c}), D ({d}, no circuit alone) and E ({e})" in told
    assert f"not decided in C ({seen['C', 'size']}) and E ({seen['E', 'size']})" in told
    against = [paired(qubits["qubits_10"], qubits[other]) for other in ("mpo", "mlp_10", "bias_10")]
    seen_there = ", ".join(effect_said(each.visible).removesuffix("%") for each in against)
    assert f"| not decided ({seen_there}) |" in told
    behind = [paired(recorded[method], recorded["lora"]) for method in ("qtha", "qwthn")]
    cells = [f"{each.mean:.2f}% [{each.interval[0]:.2f}, {each.interval[1]:.2f}]" for each in behind]
    assert f"shown worse, by {cells[0]} and {cells[1]} (one seed of search) |" in told
    for name, layers in (("gate", "eight layers"), ("gate-2", "two layers")):
        record = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
        cost = {each.method: each.shortfall.percent for each in searches(record["search"])}
        most = cost.pop({"gate": "gate_8", "gate-2": "gate_2"}[name]) + max(cost.values())
        row = told.partition(f"of {layers}")[2].partition(" |\n")[0]
        assert f"equivalent within 0.5%, by rates that may cost a pair up to {most:.1f}%" in row
    front = summarise(
        [Run.from_json(run) for run in json.loads((ROOT / "docs/results/front-dialogue.json").read_text())["runs"]],
        "lora_r1",
        1.0,
    )
    wider = paired(front["qtha"], front["mpo"])
    low, high = wider.interval
    assert f"in F equivalent within 1%, {wider.mean:+.2f} [{low:+.2f}, {high:+.2f}]" in told


def test_what_twelve_seeds_of_column_a_say():
    told, record = " ".join(FIRST.split()), json.loads((ROOT / "docs" / "results" / "decide.json").read_text())
    runs = [Run.from_json(run) for run in record["runs"]]
    whole = summarise(runs, "mpo", 0.5)
    pairs = [paired(whole["qtha"], whole[other]) for other in ("mlp_linear", "product_linear")]
    assert {len(pair.seeds) for pair in pairs} == {12} and {pair.direction for pair in pairs} == {"equivalent"}
    cells = [f"{pair.mean:+.2f} [{pair.interval[0]:+.2f}, {pair.interval[1]:+.2f}]" for pair in pairs]
    assert f"the perceptron has {cells[0]} and no entanglement {cells[1]}." in told
    later = [Run.from_json(run) for run in json.loads((ROOT / "docs/results/bias.json").read_text())["runs"]]
    own = [run for run in runs if run.method == "qtha" and run.seed < 6]
    mixed = summarise([*own, *(run for run in later if run.method != "qtha")], "bias_linear", 0.5)
    pair = paired(mixed["qtha"], mixed["bias_linear"])
    assert f"it has {pair.mean:+.2f} [{pair.interval[0]:+.2f}, {pair.interval[1]:+.2f}]." in told
    again = [run.eval_loss for run in sorted(later, key=lambda run: run.seed) if run.method == "qtha"]
    inspected = json.loads((ROOT / "docs" / "results" / "decide-inspected.json").read_text())
    assert [each["eval_loss"] for each in inspected] == pytest.approx(again[:3], rel=1e-9)
    far = [100 * (one / other.eval_loss - 1) for one, other in zip(again, own, strict=True)]
    page = " ".join((ROOT / "docs" / "trained-circuit.md").read_text().split())
    assert f"Seed 0 ends {-far[0]:.2f}% lower than in A, the others within {max(map(abs, far[1:3])):.2f}%" in page


def test_the_circuits_of_column_a_are_nearly_affine():
    page = (ROOT / "docs" / "trained-circuit.md").read_text()
    record = json.loads((ROOT / "docs" / "results" / "decide-inspected.json").read_text())
    kept = {fit: [entry["dequantised"]["fits"][fit] for entry in record] for fit in ("constant", "affine", "quadratic")}
    for said, fit in (("a constant", "constant"), ("an affine map", "affine"), ("a quadratic", "quadratic")):
        cells = [f"{100 * each['kept']:.1f}% ± {100 * each['kept_error']:.1f}%" for each in kept[fit]]
        assert f"| {said} | {' | '.join(cells)} |\n" in page
    ends = {
        fit: [f"{100 * rule(each['kept'] for each in fits):.1f}" for rule in (min, max)] for fit, fits in kept.items()
    }
    told = "keeps {} to {}% of the adapter's gain, a constant {} to {}%"
    assert told.format(*ends["affine"], *ends["constant"]) in " ".join(FIRST.split())
    assert "{} to {}% of that of A".format(*ends["affine"]) in PAGE
    shares = [[100 * entry["means"][key] for entry in record] for key in ("circuit_share", "circuit_share_varying")]
    said = "{:.0f} to {:.0f}% of the update passes through the circuits, and {:.0f} to {:.0f}% differs"
    assert said.format(*(rule(share) for share in shares for rule in (min, max))) in " ".join(page.split())
    rates = {each["learning_rate"] for each in record}
    assert rates == {decided()["qtha"].learning_rate} and [each["seed"] for each in record] == [0, 1, 2]


def test_more_qubits_at_one_size():
    record = json.loads((ROOT / "docs" / "results" / "qubits.json").read_text())
    page = (ROOT / "docs" / "trained-circuit.md").read_text()
    told, found = " ".join(page.split()), summary_of("qubits")
    names = [*(f"qubits_{n}" for n in (4, 6, 8, 10)), "mpo", "mlp_10", "bias_10", "lora"]
    for key, form in (("trainable_parameters", "{:,}"), ("eval_loss", "{:.3f}"), ("eval_loss_deviation", "{:.3f}")):
        assert f" | {' | '.join(form.format(getattr(found[name], key)) for name in names)} |\n" in page
    inspected = {run["method"]: run["inspection"] for run in record["runs"] if run["inspection"]}
    for fit in ("constant", "affine"):
        kept = [inspected[name]["dequantised"]["fits"][fit] for name in names[:4]]
        cells = [f"{100 * each['kept']:.1f}% ± {100 * each['kept_error']:.1f}%" for each in kept]
        assert f" | {' | '.join(cells)} | | | | |\n" in page
    for key in ("circuit_share", "circuit_share_varying"):
        cells = [f"{100 * inspected[name]['means'][key]:.1f}%" for name in names[:4]]
        assert f" | {' | '.join(cells)} | |" in page
    variances = [inspected[name]["means"]["gradient_variance_mean"] for name in names[:4]]
    assert (
        f"| ... mean over all angles | {variances[0]:.3f} | {' | '.join(f'{one:.4f}' for one in variances[1:])} |"
        in page
    )
    for other, said in (("mpo", "no circuit by"), ("mlp_10", "the perceptron by"), ("bias_10", "the constant by")):
        pair = paired(found["qubits_10"], found[other])
        low, high = pair.interval
        assert f"{said} {pair.mean:+.2f}% [{low:+.2f}, {high:+.2f}]" in told and pair.direction == "not decided"
    behind = [paired(found[name], found["lora"]).mean for name in names[:4]]
    assert f"{min(behind):.1f} to {max(behind):.1f}% behind LoRA" in told
    jumps = [each.method for each in searches(record["search"]) if each.shortfall.percent is None]
    assert len(jumps) == 3 and "Three methods' losses jump" in told


@pytest.mark.parametrize(("name", "layers"), [("gate", 8), ("gate-2", 2)])
def test_the_gate_where_a_circuit_is_worth_most(name, layers):
    record = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
    found = summarise([Run.from_json(entry) for entry in record["runs"]], "none", 0.5, LOOKS)
    short = {each.method: each.shortfall.percent for each in searches(record["search"])}
    page = (ROOT / "docs" / "positive-control.md").read_text()
    controls = ["none", *(f"{name}_{layers}" for name in ("mlp", "fourier", "product"))]
    for method in (f"gate_{layers}", *controls):
        entry = found[method]
        cells = [f"{entry.trainable_parameters:,}", f"{entry.learning_rate:g}"]
        cells += [f"{entry.eval_loss:.4f} ± {entry.eval_loss_deviation:.4f}"]
        if method in controls:
            pair = paired(found[f"gate_{layers}"], entry)
            cells += [f"{pair.mean:+.2f}% [{pair.interval[0]:+.2f}, {pair.interval[1]:+.2f}]", str(len(pair.seeds))]
        row = f"(`{method}`) | {' | '.join(cells)} | {'equivalent' if method in controls else '| |'} |"
        assert f"{row} {short[method]:.2f}% |\n" in page
    told, _ = with_doubts(findings(found), searches(record["search"]))
    doubted = {one.other for one in told if one.topic == "circuit" and "The learning rates may cost" in one.text}
    assert doubted == set(controls)  # "the rates are in doubt", of each pair


def test_what_the_trained_gate_of_two_layers_does():
    record = json.loads((ROOT / "docs" / "results" / "gate-2.json").read_text())
    looked = {run["method"]: run["inspection"] for run in record["runs"] if run["inspection"]}
    page = " ".join((ROOT / "docs" / "positive-control.md").read_text().split())
    gate = looked["gate_2"]["means"]
    shares = [f"{100 * gate[key]:.1f}" for key in ("circuit_share", "circuit_share_varying")]
    assert "{}% of the update passes through the circuit, and {}% differs".format(*shares) in page
    others = [looked[method]["means"] for method in ("mlp_2", "fourier_2", "product_2")]
    told = [f"{100 * part[key]:.1f}" for part in others for key in ("circuit_share", "circuit_share_varying")]
    assert "perceptron has {} and {}%, Fourier {} and {}%, no entanglement {} and {}%".format(*told) in page
    assert f"{shares[0]}% of the update passes through the circuit" in " ".join(FIRST.split())
    constant = looked["gate_2"]["dequantised"]["fits"]["constant"]
    assert f"keeps {100 * constant['kept']:.1f}% ± {100 * constant['kept_error']:.1f}% of the gain" in page
    found = summarise([Run.from_json(entry) for entry in record["runs"]], "none", 0.5, LOOKS)
    pairs = [paired(found["gate_2"], found[other]) for other in ("none", "mlp_2", "fourier_2", "product_2")]
    effects = sorted(pair.visible for pair in pairs)
    assert f"visible effects are {effects[0]:.2f} to {effects[-1]:.2f}%" in page
    assert all(abs(pair.mean) < 0.3 for pair in pairs)  # as expected before the run


def test_ten_qubits_at_the_rates_on_record():
    told, found = " ".join((ROOT / "docs" / "protocols.md").read_text().split()), summary_of("recorded")
    base = found["base"].eval_loss
    for end, of_rate in (("_5e5", "5e-5"), ("_5e4", "5e-4"), ("", "tuned, {:g}")):
        for method in ("lora", "qtha", "qwthn"):
            entry = found[method + end]
            cells = [f"{entry.trainable_parameters:,}", of_rate.format(entry.learning_rate)]
            cells += [f"{entry.late_train_loss:.3f}", f"{entry.eval_loss:.4f} ± {entry.eval_loss_deviation:.4f}"]
            cells += [f"{100 * (1 - entry.eval_loss / base):.2f}%"]
            if method != "lora":
                pair = paired(entry, found["lora" + end])
                cells += [f"{pair.mean:+.2f}% [{pair.interval[0]:+.2f}, {pair.interval[1]:+.2f}]"]
            assert f"| {' | '.join(cells)} |" in told
    named = {(one.method, one.other): one.direction for one in findings(found) if one.topic == "reference"}
    assert all(named[method, "lora"] == "higher" for method in ("qtha", "qwthn"))
    pair = paired(found["qwthn"], found["qtha"])
    low, high = pair.interval
    assert pair.direction == "not decided" and f"not decided: {pair.mean:+.2f}% [{low:+.2f}, {high:+.2f}]" in told


def test_the_paper_s_steps_and_rows():
    told, found = " ".join((ROOT / "docs" / "protocols.md").read_text().split()), summary_of("protocol")
    base = found["base"].eval_loss
    above = {"late_train_loss": [], "eval_loss": []}
    for end, of_rate in (("_5e5", "5e-5"), ("_5e4", "5e-4"), ("", "{:g}, of 60 steps")):
        lora = found[f"lora{end}"]
        for method in ("lora", "qtha", "qwthn"):
            entry = found[method + end]
            cells = [f"{entry.trainable_parameters:,}", of_rate.format(entry.learning_rate)]
            cells += [
                f"{entry.late_train_loss:.3f}",
                f"{entry.eval_loss:.3f}",
                f"{100 * (1 - entry.eval_loss / base):.1f}%",
            ]
            if method != "lora":
                for key, values in above.items():
                    values.append(100 * (getattr(entry, key) / getattr(lora, key) - 1))
                    cells.append(f"{values[-1]:+.1f}%")
            assert f"| {' | '.join(cells)} |" in told
    (least, most), (first, *_) = (min(above["late_train_loss"]), max(above["late_train_loss"])), above["eval_loss"]
    assert least > 0 < min(above["eval_loss"]) and f"by {first:.1f} and {above['eval_loss'][1]:.1f}%" in told
    assert f"{least:.1f} to {most:.1f}% above [LoRA of rank 10]" in README and f"{least:+.1f}% to {most:+.1f}%" in PAGE
    size = {name: found[name].trainable_parameters for name in ("lora", "qtha", "qwthn")}
    fewer = [100 * (1 - size[name] / size["lora"]) for name in ("qtha", "qwthn")]
    assert "here they have {:.0f} and {:.0f}% fewer".format(*fewer) in told


def test_the_further_seeds_of_the_rates():
    found = {each.method: each.shortfall.percent for each in all_searches("decide")}
    said = "{qtha:.2f}% (`qtha`), {mpo:.2f}% (`mpo`), {mlp_linear:.2f}% (`mlp_linear`) and {product_linear:.2f}%"
    assert f"may fall short by {said.format(**found)} (`product_linear`)" in PAGE
