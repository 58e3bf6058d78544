"""The numbers of docs/research.md and its appendix are those of the raw results."""

import json
import math
import re
from itertools import combinations
from pathlib import Path

import pytest
from research import front, methods, overlap, rates
from research.candidates import CANDIDATES
from research.ranking import SEARCHED, by_difference, ranking
from research.table import IN_SHORT, rows

from qweft.comparison.family import holm
from qweft.comparison.findings import findings
from qweft.comparison.phrases import effect_said
from qweft.comparison.results import Run
from qweft.comparison.searched import searches
from qweft.comparison.statistics import paired
from qweft.comparison.summarise import summarise
from qweft.errors import QweftError

DOCS = Path(__file__).parents[1] / "docs"
PAPER, APPENDIX = (DOCS / f"research{end}.md" for end in ("", "-appendix"))


def test_each_candidate_says_what_was_expected():
    assert len(CANDIDATES) > 20 and all(candidate.expected and candidate.rates for candidate in CANDIDATES.values())


def test_each_candidate_is_the_adapter_that_was_tried():
    """A name in the raw results still stands for the config that gave them."""
    tried = json.loads((DOCS / "results/research-candidates.json").read_text())
    assert {run["candidate"] for run in tried} <= set(CANDIDATES)
    assert [run["candidate"] for run in tried if run["adapter"] != CANDIDATES[run["candidate"]].adapter] == []


def test_the_table_is_that_of_the_raw_results():
    assert "\n".join(rows()) in APPENDIX.read_text()
    assert "\n".join(rows(IN_SHORT)) in PAPER.read_text() and len(rows(IN_SHORT)) == len(IN_SHORT)


def test_losses_in_the_text_are_those_of_the_raw_results():
    """Behind a name in brackets stands the loss of a run of it, or the mean of those at one rate."""
    runs = [
        run for run in json.loads((DOCS / "results/research-candidates.json").read_text()) if run["validation_loss"]
    ]
    prose = "".join(line for page in (PAPER, APPENDIX) for line in page.read_text().splitlines(True) if line[0] != "|")
    named = re.findall(r"`(\w+)`(?:\)\s+|,\s+)(3\.\d{3})", prose)
    assert len(named) > 30
    for name, loss in named:
        own = [run for run in runs if run["candidate"] == name]
        means = []
        for rate in {run["rate"] for run in own}:
            by_seed = {run["seed"]: run["validation_loss"] for run in own if run["rate"] == rate}
            means += [
                sum(by_seed[seed] for seed in seeds) / len(seeds)
                for size in range(1, len(by_seed) + 1)
                for seeds in combinations(by_seed, size)
            ]
        assert any(abs(mean - float(loss)) < 0.00051 for mean in means), (name, loss, means)


def test_how_well_the_proxy_ranks():
    found, text = [ranking(name) for name in SEARCHED[:3]], " ".join(PAPER.read_text().split())
    assert "{:+.2f}, {:+.2f} and {:+.2f}".format(*(correlation for _, correlation, _, _ in found)) in text
    alike, pairs = (sum(each[place] for each in found) for place in (2, 3))
    assert f"{alike} of {pairs} pairs of methods stand in the same order" in text
    close, between, far = by_difference(SEARCHED[:3])
    assert f"all {far[0]} stand in the same order" in text and far[0] == far[1]
    assert "{} of {}, of closer ones {} of {}".format(*between, *close) in text


def pages():
    """The page and its appendix."""
    return " ".join((PAPER.read_text() + APPENDIX.read_text()).split())


def raw(name):
    return json.loads((DOCS / "results" / f"{name}.json").read_text())["runs"]


def run_that_decided(name):
    return summarise([Run.from_json(entry) for entry in raw(name)], "lora")


def difference(summary, method, other, digits):
    found = paired(summary[method], summary[other])
    return f"{found.mean:+.{digits}f}% [{found.interval[0]:+.{digits}f}, {found.interval[1]:+.{digits}f}]"


@pytest.mark.parametrize(
    "name",
    [f"research-{run}" for run in ("dialogue", "readout", "sparse", "again", "reasoning", "second-model")],
)
def test_the_tables_of_the_runs_that_decide(name):
    summary, text = run_that_decided(name), pages()
    for entry in [entry for entry in summary.values() if entry.kind != "base"]:
        against = "" if entry.method == "lora" else difference(summary, entry.method, "lora", 1)
        loss = f"{entry.eval_loss:.3f} ± {entry.eval_loss_deviation:.3f}"
        line = (
            f"{entry.trainable_parameters:,} | {entry.learning_rate:g} | {entry.late_train_loss:.3f} | {loss} "
            f"| {against} |"
        )
        assert " ".join(line.split()) in text, entry.method


def test_the_differences_of_subspace():
    summary, text = run_that_decided("research-dialogue"), pages()
    for method in ("subspace", "subspace_4"):
        assert all(difference(summary, method, other, 2) in text for other in ("lora", "lora_small", "lora_down"))
    for other in ("lora_all", "lora_down_same_time"):
        assert difference(summary, "subspace", other, 2) in text
    assert all(finding.text in text for finding in findings(summary) if finding.topic == "circuit")


def test_the_differences_of_readout():
    summary, text = run_that_decided("research-readout"), pages()
    for method, others in {
        "readout": ("lora", "lora_small", "lora_down"), "readout_2": ("lora", "lora_small", "lora_down", "lora_same"),
    }.items():  # fmt: skip
        assert all(difference(summary, method, other, 2) in text for other in others), method
    over_all = {}
    for run in raw("research-readout"):
        over_all.setdefault(run["method"], []).append(run["train_loss"])
    means = {method: sum(found) / len(found) for method, found in over_all.items() if method != "base"}
    assert min(means, key=means.get) == "readout_2" and f"the lowest of all, {means['readout_2']:.3f}" in text
    loras = [entry.late_train_loss for entry in summary.values() if entry.kind == "lora"]
    assert sum(loss <= summary["readout_2"].late_train_loss for loss in loras) == 2
    assert f"{summary['readout_2'].step_time_ratio:.2f} times one of LoRA of rank 8" in text
    assert f"{summary['readout_2'].adapter_bytes / 2**20:.2f} MiB at r = 2" in text


def test_the_differences_of_sparse():
    summary, text = run_that_decided("research-sparse"), pages()
    others = ("lora", "lora_small", "lora_down", "lora_fifth", "lora_down_same_time")
    assert all(difference(summary, "sparse", other, 2) in text for other in others)
    assert all(difference(summary, other, "lora_small", 2) in text for other in ("lora_down", "lora_fifth"))
    sparse, small = summary["sparse"], summary["lora_small"]
    assert all(ours < theirs for ours, theirs in zip(sparse.eval_losses, small.eval_losses, strict=True))
    assert [round(paired(sparse, summary[other]).sign_flip, 3) for other in ("lora_small", "lora_fifth")] == [
        0.031,
        0.062,
    ]
    assert f"{sparse.step_time_ratio / summary['lora_down'].step_time_ratio:.2f} times as long" in text
    sizes = [summary[method].adapter_bytes / 2**20 for method in ("sparse", "lora")]
    assert "{:.1f} MiB, that of LoRA of rank 8 is {:.1f}".format(*sizes) in text
    assert "made 91 steps for 60 of `sparse`" in text
    assert {run["steps"] for run in raw("research-sparse") if run["method"] == "lora_down_same_time"} == {91}


def test_the_differences_of_sparse_again():
    summary, text = run_that_decided("research-again"), pages()
    others = ("lora", "lora_small", "lora_down")
    assert all(difference(summary, "sparse", other, 2) in text for other in others)
    assert difference(summary, "lora_down", "lora", 2) in text
    sparse = paired(summary["sparse"], summary["lora"])
    better = [sum(each < 0 for each in paired(summary["sparse"], summary[other]).differences) for other in others]
    assert better == [12, 12, 11] and "on eleven of twelve seeds" in text
    assert (len(sparse.seeds), round(sparse.sign_flip, 4)) == (12, 0.0005)
    assert round(paired(summary["sparse"], summary["lora_down"]).sign_flip, 3) == 0.001
    ratio = summary["sparse"].step_time_ratio / summary["lora_down"].step_time_ratio
    assert f"{ratio:.2f} times as long as one of LoRA of rank 1 on down_proj" in text


def test_sparse_beside_lora_in_four_places():
    record = json.loads((DOCS / "results" / "rivals.json").read_text())
    summary = summarise([Run.from_json(entry) for entry in record["runs"]], "sparse", 0.5)
    text, page = pages(), " ".join(PAPER.read_text().split())
    told = {"lower": "shown better", "equivalent": "equivalent"}
    smaller = "equivalent, a smaller difference is shown"
    expected = {"lora_all_1": "equivalent", "lora_down": "equivalent", "lora": "lower", "lora_1": "lower"}
    found = {other: paired(summary["sparse"], summary[other]) for other in expected}
    for other, pairing in found.items():
        said, entry = difference(summary, "sparse", other, 2), summary[other]
        line = (
            f"{entry.trainable_parameters:,} | {entry.learning_rate:g} | {entry.late_train_loss:.3f} "
            f"| {entry.eval_loss:.3f} ± {entry.eval_loss_deviation:.3f} "
            f"| {said}: {smaller if other == 'lora_all_1' else told[pairing.direction]} | {pairing.visible:.2f}% |"
        )
        assert line in text and f"({said})" in page, other
        assert (pairing.direction, len(pairing.seeds), pairing.rows) == (expected[other], 12, 76)
    signs = [sum(each < 0 for each in found[other].differences) for other in ("lora_1", "lora")]
    assert signs == [12, 11] and f"(p {found['lora'].corrected:.4f}, corrected" in text
    assert f"Corrected, its p is {found['lora_all_1'].corrected:.3f}." in text
    assert all(difference(summary, other, "lora_all_1", 2) in text for other in ("lora_down", "lora", "lora_1"))
    everyone = list(combinations([name for name in summary if name != "base"], 2))
    p_of = dict(zip(everyone, holm([paired(summary[a], summary[b]).p_value for a, b in everyone]), strict=True))
    beside = [p for pair, p in p_of.items() if "lora_all_1" in pair and "sparse" not in pair]
    assert len(everyone) == 10 and len(beside) == 3 and max(beside) < 0.001
    assert all(each > 0 for each in paired(summary["lora_down"], summary["lora_all_1"]).differences)
    short = {each.method: each.shortfall.percent for each in searches(record["search"])}
    assert f"The searches say {short['lora']:.2f} and {short['lora_1']:.2f}%, by two seeds" in text
    lead = math.floor(100 * found["lora_all_1"].interval[0]) / 100
    assert f"leaves {lead:.2f}%, less than the {short['sparse']:.2f}% that" in text and lead < short["sparse"]
    rooms = [math.floor(100 * (0.5 - found[other].widest)) / 100 for other in ("lora_all_1", "lora_down")]
    assert rooms == [0.09, 0.09] and short["lora_all_1"] < 0.09 < short["sparse"] and "have 0.09% of room" in text
    leads = [math.floor(-100 * found[other].interval[1]) / 100 for other in ("lora", "lora_1")]
    assert "leave {:.2f} and {:.2f}% (rounded".format(*leads) in text and max(short["lora"], short["lora_1"]) < min(
        leads
    )
    times = [summary["sparse"].step_time_ratio / summary[other].step_time_ratio for other in expected]
    assert [f"{ratio:.2g}" for ratio in times[1:]] == [
        "1.3"
    ] * 3 and f"{times[0]:.2f} times as one of LoRA on all" in text


@pytest.mark.slow
def test_sparse_beside_lora_without_rows_that_were_looked_at_before(capsys):
    overlap.main(["rivals"])
    unseen = capsys.readouterr().out.partition("the 36 that were either, 348 rows:")[2]
    assert re.findall(r": ([-+]\d\.\d\d)%", unseen) == ["+0.26", "-0.21", "-0.37", "-0.66"]
    assert re.findall(r", (\w+)\n", unseen) == ["equivalent", "equivalent", "lower", "lower"]
    assert "differences are +0.26, -0.21, -0.37 and -0.66%, with the same verdicts" in pages()


@pytest.mark.slow
def test_a_thousand_steps_without_rows_that_were_looked_at_before(capsys):
    overlap.main(["thousand"])
    unseen = capsys.readouterr().out.partition("without the 40 that were either, 728 rows:")[2]
    assert re.findall(r", (\w+)\n", unseen) == ["equivalent", "equivalent", "higher", "equivalent"]
    (ranks,) = re.findall(r"lora_all_1 against lora_all: (.+?),[^,]+\n", unseen)
    assert f"are nearer to each other: {ranks} (`python -m research.overlap thousand`)" in " ".join(
        (DOCS / "which-adapter.md").read_text().split()
    )


@pytest.mark.slow
def test_the_gate_of_two_layers_without_rows_that_were_looked_at_before(capsys):
    overlap.main(["gate-2"])
    unseen = capsys.readouterr().out.partition("without the 63 that were test rows, 321 rows:")[2].split("without")[0]
    assert re.findall(r", (\w+)\n", unseen) == ["equivalent"] * 4


def test_the_second_model():
    summary, text = run_that_decided("research-second-model"), pages()
    assert all(difference(summary, "sparse", other, 2) in text for other in ("lora", "lora_small", "lora_down"))
    sparse, small = summary["sparse"], summary["lora_small"]
    assert difference(summary, "sparse", "lora_small", 2) in " ".join(PAPER.read_text().split())
    assert all(ours < theirs for ours, theirs in zip(sparse.eval_losses, small.eval_losses, strict=True))
    share = sparse.trainable_parameters / summary["lora"].trainable_parameters
    assert f"with {share:.0%} of its parameters" in text
    assert f"With {1 - sparse.trainable_parameters / small.trainable_parameters:.0%} fewer parameters" in text
    assert (
        f"{summary['lora_down'].trainable_parameters / sparse.trainable_parameters - 1:.0%} larger, not shown" in text
    )
    ratio = sparse.step_time_ratio / summary["lora_down"].step_time_ratio
    assert f"{ratio:.2f} times as long as one of LoRA of rank 1 on down_proj" in text
    sizes = [summary[method].adapter_bytes / 2**20 for method in ("sparse", "lora")]
    assert "{:.1f} MiB, that of LoRA of rank 8 {:.1f}".format(*sizes) in text
    assert f"{sizes[0] / sizes[1]:.1f} times (Qwen)" in text


def test_word_problems():
    summary, text = run_that_decided("research-reasoning"), pages()
    assert all(difference(summary, "sparse", other, 2) in text for other in ("lora_small", "lora_down"))
    methods = ("lora", "lora_small", "lora_down", "sparse")
    pairs = [paired(summary[one], summary[other]) for one in methods for other in methods if one != other]
    assert {found.direction for found in pairs} == {"not decided"}
    assert min(methods, key=lambda method: summary[method].late_train_loss) == "sparse"


@pytest.mark.slow
def test_the_differences_again_without_rows_that_were_looked_at_before(capsys):
    overlap.main(["again"])
    told, text = capsys.readouterr().out, pages()
    assert "95 were validation rows" in text and "the 95 that were validation rows, 289 rows" in told
    assert "200 test rows of an earlier run" in text and "the 200 that were test rows, 184 rows" in told
    unseen = told.partition("the 251 that were either, 133 rows:")[2]
    validated = told.partition("289 rows:")[2].partition("without")[0]
    for where, lines in {
        unseen: (
            "lora: -0.15% [-0.61, +0.31]", "lora_small: -0.88% [-1.27, -0.49]", "lora_down: -0.66% [-1.05, -0.26]",
        ),
        validated: (
            "lora: -0.39% [-0.69, -0.09]", "lora_small: -0.95% [-1.21, -0.69]", "lora_down: -0.60% [-0.86, -0.34]",
        ),
    }.items():  # fmt: skip
        assert all(line in where and line.partition(": ")[2] in text for line in lines)


@pytest.mark.slow
def test_the_verdicts_with_a_margin_without_rows_that_were_looked_at_before(capsys):
    overlap.main(["decide"])
    told, text = capsys.readouterr().out, " ".join((DOCS / "results-appendix.md").read_text().split())
    assert "the 67 that were compared before, 317 rows" in told and "On 67 of them" in text
    assert "the 250 that were test rows, 134 rows" in told and "250 were test rows of earlier runs" in text
    before, _, tested, either = (part.partition("without")[0] for part in told.split("rows:\n")[1:])
    assert before.count(", equivalent") == either.count(", equivalent") == 3
    assert (
        "mpo: -0.31% [-0.62, +0.00], not decided (0.44%)" in tested and "+0.00], smallest visible effect 0.44%" in text
    )
    assert tested.count(", equivalent") == 2
    assert "-0.31% [-0.62, +0.00]" in text and "103 rows" in text


@pytest.mark.slow
def test_the_eight_methods_without_rows_that_were_looked_at_before(capsys):
    overlap.main(["long-60"])
    told, text = capsys.readouterr().out, " ".join((DOCS / "results-appendix.md").read_text().split())
    assert "the 610 that were test rows" in told and "610 were test rows of earlier runs" in text
    unseen = told.partition("the 646 that were either, 122 rows:")[2]
    for line in (
        "lora_all against lora: -2.26% [-3.17, -1.35]", "lora_all_1 against lora: -1.81% [-2.64, -0.98]",
        "sparse against lora: -0.80% [-1.38, -0.23]", "qtha against lora_1: +2.09% [+0.73, +3.45]",
    ):  # fmt: skip
        assert line in unseen and line.partition(": ")[2] in text


@pytest.mark.slow
def test_the_differences_of_sparse_without_rows_that_were_looked_at_before(capsys):
    overlap.main(["sparse"])
    told, text = capsys.readouterr().out, pages()
    assert "the 34 that were validation rows, 350 rows" in told and "the 119 that were test rows, 265 rows" in told
    without = told.partition("the 148 that were either, 236 rows:")[2]
    for line in (
        "lora: -0.43% [-1.02, +0.17]", "lora_small: -1.15% [-1.62, -0.67]", "lora_down: -0.45% [-1.16, +0.25]",
        "lora_fifth: -0.61% [-1.13, -0.09]",
    ):  # fmt: skip
        assert line in without and line.partition(": ")[2] in text
    assert "34 were validation rows of the proxy, and 119 test rows" in text


@pytest.mark.slow
def test_the_differences_without_rows_that_were_looked_at_before(capsys):
    overlap.main(["readout"])
    told, text = capsys.readouterr().out, pages()
    assert "the 18 that were validation rows, 174 rows" in told and "the 30 that were test rows" in told
    told_of = ("lora: +0.17% [-0.38, +0.71]", "lora_same: +0.76% [+0.09, +1.42]", "lora_small: -0.59% [-1.23, +0.05]")
    for line in told_of:
        assert line in told and line.partition(": ")[2] in text
    assert "18 were validation rows of the proxy, and 30 test rows" in text


def test_the_front_is_that_of_the_raw_results():
    results = json.loads((DOCS / "results/front-dialogue.json").read_text())
    page = (DOCS / "which-adapter.md").read_text()
    numbers, _ = front.table(results).strip().split("\n\n")
    assert numbers in page
    told = {each.budget: each for each in front.best(results)[1]}
    for budget, method, other, ahead in (
        (270_000, "unilora_64k", "readout", "1.92% [1.14, 2.70] (corrected p 0.079)"),
        (1_300_000, "lora_all", "sparse_32", "0.86% [0.46, 1.25] (0.09)"),
    ):
        each = told[budget]
        assert (each.method, each.other) == (method, other)
        mean, low, high = (f"{-number:.2f}" for number in (each.percent[0], each.percent[2], each.percent[1]))
        assert ahead.startswith(f"{mean}% [{low}, {high}]") and f"{each.corrected:.2g})" in ahead
        assert ahead in " ".join(page.split())
    assert all(each.corrected is None or each.corrected > 0.05 for each in told.values())
    assert [each.budget for each in front.best(results)[0] if each.corrected < 0.05] == [57_600]
    summary = summarise([Run.from_json(run) for run in results["runs"]], "lora_r1", 1.0)
    others = [name for name in summary if name not in ("base", "lora_r1")]
    level = [name for name in others if paired(summary[name], summary["lora_r1"]).direction == "equivalent"]
    assert sorted(level) == [
        "ia3", "lora_r4", "lora_v", "sparse_08", "sparse_16", "subspace_128", "unilora_28800", "unilora_8k"
    ]  # fmt: skip
    sizes = front.sizes_of(results)
    assert min(sizes[name][0] for name in level) == 8_192 and sizes["sparse_32"][0] == 51_420
    assert len([name for name in level if sizes[name][0] < sizes["lora_r1"][0]]) == 6
    assert "are eight methods, six of them smaller; the least has 8,192" in " ".join(page.split())
    better = paired(summary["sparse_32"], summary["lora_r1"])
    assert better.direction == "not decided" and f"{-better.mean:.1f}" == "1.1" and len(results["search"]) == 36
    assert f"by a p of {better.corrected:.3f} corrected for 37 questions" in " ".join(page.split())
    ahead = [-paired(summary[name], summary["lora_v"]).mean for name in ("sparse_16", "sparse_32")]
    assert "`sparse` is {:.1f} and {:.1f}% ahead of it".format(*ahead) in " ".join(page.split())
    behind = paired(summary["qtha"], summary["lora_r4"])
    appendix = " ".join((DOCS / "results-appendix.md").read_text().split())
    assert f"in F it is {behind.mean:.1f}% ahead of `qtha`" in appendix
    alike = paired(summary["qtha"], summary["mpo"])
    assert alike.direction == "equivalent"
    assert f"{alike.mean:+.2f}% [{alike.interval[0]:+.2f}, {alike.interval[1]:+.2f}]" in page


def test_the_table_of_all_methods_is_that_of_both_fronts(capsys):
    files = {"dialogues": DOCS / "results/front-dialogue.json", "sentences": DOCS / "results/front-sentences.json"}
    methods.main([*(f"{name}={path}" for name, path in files.items()), "--reference", "lora_r1"])
    told = capsys.readouterr().out.strip()
    assert told in (DOCS / "which-adapter.md").read_text() and len(told.splitlines()) == 2 + 36
    with pytest.raises(QweftError, match=r"^lora did not run; there are basis_16, "):
        methods.main([f"dialogues={files['dialogues']}", "--reference", "lora"])
    with pytest.raises(SystemExit):
        methods.main([str(files["dialogues"]), "--reference", "lora_r1"])
    assert "expected NAME=FILE, got " in capsys.readouterr().err
    with pytest.raises(QweftError, match=r"^only some of the comparisons have basis_16, .*; give each alone$"):
        methods.main([f"a={files['dialogues']}", f"b={DOCS / 'results/budget.json'}", "--reference", "lora_r1"])


def test_the_larger_front():
    files = {part: DOCS / f"results/front-large-{file}.json" for part, file in LARGER.items()}
    records = {part: json.loads(path.read_text()) for part, path in files.items()}
    page = (DOCS / "which-adapter.md").read_text()
    told = " ".join(page.split())
    assert f"\n\n{methods.table(records, 'lora_all')}\n\n" in page
    found = {
        part: summarise([Run.from_json(run) for run in record["runs"]], "lora_all", 1.0)
        for part, record in records.items()
    }
    asked = [each.direction for each in findings(found["dialogues"]) if each.other == "lora_all"]
    assert len(asked) == 5 and set(asked) == {"equivalent", "not decided"}
    sparse = paired(found["dialogues"]["sparse_100"], found["dialogues"]["lora_all"])
    assert f"{sparse.mean:+.2f}% [{sparse.interval[0]:+.2f}, {sparse.interval[1]:+.2f}]" in told
    sentences = found["sentences"]
    best = paired(sentences["subspace_r8"], sentences["lora_all"])
    low, high = (-end for end in reversed(best.interval))
    pairs = list(combinations([name for name in sentences if name != "base"], 2))
    all_pairs = holm([paired(sentences[one], sentences[other]).p_value for one, other in pairs])
    p_of = {frozenset(pair): p for pair, p in zip(pairs, all_pairs, strict=True)}
    ours = p_of[frozenset(("subspace_r8", "lora_all"))]
    said = (
        f"by {-best.mean:.1f}% [{low:.1f}, {high:.1f}] (six seeds, corrected p {best.corrected:.3f}; for all 15 pairs"
    )
    assert f"{said} {ours:.3f})" in told and best.direction == "lower" and len(pairs) == 15
    assert all(p_of[frozenset(("subspace_r8", other))] < 0.05 for other in ("miss_3", "lora_down_7", "lora_8"))
    (unknown,) = (each for each in searches(records["sentences"]["search"]) if each.method == "lora_all")
    assert unknown.shortfall.percent is None and "its loss jumps beside" in unknown.shortfall.reason
    sizes = [summary.adapter_bytes / 1e6 for summary in (sentences["subspace_r8"], sentences["lora_all"])]
    assert f"Its file has {sizes[0]:.0f} MB" in told
    here, there = found["dialogues"]["lora_all"].eval_loss, run_that_decided("front-dialogue")["lora_all"].eval_loss
    assert f"`lora_all` has {here:.3f} here and {there:.3f} in the front" in told


LARGER = {"dialogues": "dialogue", "sentences": "sentences"}
"""The names of the texts in the files of results."""
SIX = ("lora_all", "rslora", "lora_ga", "miss", "adalora", "oft")
"""Those of the most numbers on all linear layers, of which the config expects something."""


def test_the_baselines_are_those_of_the_raw_results():
    results, front_results = (
        json.loads((DOCS / f"results/{name}.json").read_text()) for name in ("baselines", "front-dialogue")
    )
    told = methods.table({"dialogues": results}, "lora")
    page = (DOCS / "which-adapter.md").read_text()
    assert told in page and len(told.splitlines()) == 2 + 30
    page = " ".join(page.partition("## PEFT's methods, each in its place")[2].partition("\n## ")[0].split())
    summary = summarise([Run.from_json(run) for run in results["runs"]], "lora", 1.0)
    asked = {name: paired(summary[name], summary["lora"]) for name in summary if name not in ("base", "lora")}
    lowest = [name for _, name in sorted((entry.eval_loss, name) for name, entry in summary.items() if name != "base")]
    assert lowest[:7] == ["lora_all", "rslora", "oft", "lora_all_r1", "dora", "miss", "lora_ga"]
    better = [name for name, pair in asked.items() if pair.direction == "lower"]
    assert sorted(better) == ["lora_ga", "miss", "oft"]
    assert "by {:.1f}, {:.1f} and {:.1f}%".format(*(-asked[name].mean for name in ("oft", "lora_ga", "miss"))) in page
    open_ones = [asked[name].corrected for name in ("lora_all", "rslora", "dora")]
    assert (f"{min(open_ones):.2f}", f"{max(open_ones):.2f}") == ("0.06", "0.13")
    plain = [asked[name].p_value for name in ("lora_all", "rslora", "dora")]
    said = f"p is {min(plain):.3f} to {max(plain):.3f}, and corrected for 30 questions 0.06 to 0.13"
    assert said in page
    near = paired(summary["qtha"], summary["lora_r1"])
    assert near.direction == "not decided" and f"not decided either (p, corrected, {near.corrected:.2f})" in page
    level = [name for name, pair in asked.items() if pair.direction == "equivalent"]
    small = [name for name in level if summary[name].trainable_parameters < summary["lora"].trainable_parameters / 3]
    assert (len(level), len(small)) == (8, 5) and "are eight, five of them with less than a third" in page
    both = asked["lora_r1"]
    assert both.corrected < 0.05 and "lora_r1" in level and both.interval[0] > 0
    worse = {name: pair.mean for name, pair in asked.items() if pair.direction == "higher"}
    assert "worse by {pvera:.1f} and {tinylora:.1f}%".format(**worse) in page and len(worse) == 2
    assert f"not decided (corrected p {asked['qtha'].corrected:.2f})" in page

    def said(one, other, sign=1, digits=1):
        pair = paired(summary[one], summary[other])
        low, high = sorted(sign * end for end in pair.interval)
        return f"{sign * pair.mean:.{digits}f}% [{low:.{digits}f}, {high:.{digits}f}]"

    assert said("lora_all", "lora", -1) in page and said("qtha", "lora") in page and said("qtha", "lora_r1") in page
    assert said("lora_r1", "lora") in page
    assert said("lora_all_r1", "lora_all", digits=2).replace(", 0", ", +0") in page
    six = [summary[name].eval_loss for name in SIX]
    assert f"within 2% of each other: {100 * (max(six) / min(six) - 1):.1f}%" in page
    front_summary = summarise([Run.from_json(run) for run in front_results["runs"]], "lora_r1", 1.0)
    again = {
        "lora": "lora_r4", "lora_r1": "lora_r1", "lora_all_r1": "lora_all", "lora_down_r1": "lora_down", "ia3": "ia3",
        "unilora": "unilora_64k", "beft": "beft", "vera": "vera", "sparse": "sparse_32", "qtha": "qtha",
    }  # fmt: skip
    ratios = [summary[one].eval_loss / front_summary[other].eval_loss for one, other in again.items()]
    assert f"differ by at most {100 * max(abs(ratio - 1) for ratio in ratios):.2f}%" in page and len(again) == 10
    rates_of = [(results["search"][one]["best"], front_results["search"][two]["best"]) for one, two in again.items()]
    assert "seven of them at other rates" in page and len([1 for one, two in rates_of if one != two]) == 7
    assert front_results["environment"]["cpu"] != results["environment"]["cpu"]
    assert lowest.index("adalora") == 10 and "AdaLoRA is eleventh" in page
    places = {name: lowest.index(name) for name in ("lora", "dora", "shira", *SIX)}
    behind = {name: {one for one in SIX if places[one] > places[name]} for name in ("dora", "shira")}
    assert behind == {"dora": {"miss", "lora_ga", "adalora"}, "shira": {"adalora"}} and places["lora"] > places["shira"]
    to_all = paired(summary["sparse"], summary["lora_all"]).mean
    said_of = f"it is {to_all:.1f}% behind the one and {-asked['sparse'].mean:.1f}% ahead of the other"
    assert said_of in page
    assert "behind by {loha.mean:.1f} and {vblora.mean:.1f}%".format(**asked) in page
    foretold = [asked[name].mean for name in ("lokr", "fourierft", "waveft", "beft", "qtha")]
    assert all(1 < mean < 6 for mean in foretold) and all(
        abs(asked[name].mean) < 1 for name in ("ia3", "road", "unilora")
    )
    sizes = {name: entry.trainable_parameters for name, entry in summary.items()}
    assert round(sizes["lora"] / sizes["qtha"]) == round(sizes["lora_all"] / sizes["lora_all_r1"]) == 4
    (shira,) = [run["eval_loss"] for run in results["runs"] if (run["method"], run["seed"]) == ("shira", 0)]
    assert f"one seed of `shira` has {shira:.3f} in both" in page


def test_the_front_on_the_second_text_is_that_of_the_raw_results():
    results = json.loads((DOCS / "results/front-sentences.json").read_text())
    page = " ".join((DOCS / "which-adapter.md").read_text().partition("## The front on a second text")[2].split())
    numbers, _ = front.table(results).strip().split("\n\n")
    assert " ".join(numbers.split()) in page
    by_numbers, by_bytes = front.best(results)
    assert [front.is_ours(each.method) for each in by_numbers] == [each.budget <= 100_000 for each in by_numbers]
    assert [each.budget for each in by_numbers if each.corrected < 0.05] == [350_000]
    for each in by_numbers[2:4] + by_numbers[-1:]:
        mean, low, high = (-number for number in each.percent)
        assert f"{mean:.1f}% [{high:.1f}, {low:.1f}]" in page
    found = [f"{-each.percent[0]:.1f}" for each in by_numbers[:4]]
    assert "{}, {}, {} and {}% came, none shown".format(*found) in page
    assert not any(front.is_ours(each.method) for each in by_bytes)
    by_bytes = {each.budget: each for each in by_bytes if each.corrected is not None and each.corrected < 0.05}
    assert [*by_bytes] == [35_000, 100_000, 270_000, 1_300_000]
    found = [f"{-each.percent[0]:.1f}" for each in by_bytes.values()]
    said = f"at 35,000 and 100,000 ({found[0]}%), at 270,000 ({found[2]}%) and at 1.3 million ({found[3]}%)"
    assert said in page and found[0] == found[1]
    summary = summarise([Run.from_json(run) for run in results["runs"]], "lora_r1", 1.0)
    asked = {name: paired(summary[name], summary["lora_r1"]) for name in summary if name not in ("base", "lora_r1")}
    better = {name for name, pair in asked.items() if pair.direction == "lower"} - {"lora_all", "vera"}
    assert better == {"miss", "sparse_32", "sparse_16", "ia3", "subspace_all", "unilora_64k"}
    ranges = [f"{edge(-asked[name].mean for name in better):.1f}" for edge in (min, max)]
    assert f"and six others, by {ranges[0]} to {ranges[1]}%. Seven are not decided, the rest is shown worse" in page
    small = asked["sparse_16"]
    said = f"{-small.mean:.1f}% [{-small.interval[1]:.1f}, {-small.interval[0]:.1f}] better than LoRA of rank 1"
    assert said in page and summary["sparse_16"].trainable_parameters == 26_580
    undecided = {name for name, pair in asked.items() if pair.direction not in ("lower", "higher")}
    assert undecided == {
        "lora_r4", "lora_down", "unilora_28800", "sparse_04", "sparse_08", "subspace_128", "basis_16"
    }  # fmt: skip
    assert not any(pair.direction == "equivalent" for pair in asked.values())
    looked_twice = {name for name, pair in asked.items() if name not in undecided and 2 * pair.corrected > 0.05}
    assert looked_twice == {"sparse_16", "unilora_8k", "subspace_32"}
    said = [
        f"{-pair.mean:.1f}% [{-pair.interval[1]:.1f}, {-pair.interval[0]:.1f}]"
        for pair in (asked["lora_all"], asked["vera"])
    ]
    assert f"corrected for the 37 questions of the config, are these two, by {said[0]} and {said[1]}" in page
    alike = paired(summary["qtha"], summary["mpo"])
    assert f"{alike.mean:+.2f}% [{alike.interval[0]:+.2f}, {alike.interval[1]:+.2f}] against `mpo`" in page
    assert f"not decided (smallest visible effect {effect_said(alike.visible)})" in page
    lowest = sorted((entry.eval_loss, name) for name, entry in summary.items())
    assert [name for _, name in lowest[:2]] == ["lora_all", "vera"]
    added = ("unilora_1440", "unilora_4800", "unilora_28800", "sparse_04", "sparse_16")
    coarse, _ = front.best({**results, "runs": [run for run in results["runs"] if run["method"] not in added]})
    led = {each.budget: f"{-each.percent[0]:.1f}%" for each in coarse if each.corrected < 0.05}
    said = f"then shown {led[1500]} ahead at 1,500, {led[5000]} at 5,000 and {led[30000]} at 30,000"
    assert said in page and [*led] == [1500, 5000, 30_000, 350_000]
    jumps = {name for name, each in results["search"].items() if each["shortfall"]["percent"] is None}
    assert jumps == {"sparse_02", "lora_all", "mpo", "lora_r4", "miss_mini"}


def test_the_planned_pairs_are_judged_on_new_seeds():
    results = json.loads((DOCS / "results/budget.json").read_text())
    page = " ".join((DOCS / "which-adapter.md").read_text().split())
    assert " ".join(front.pairs_table(results).split()) in page
    found = {each.budget: each for each in front.planned(results)}
    sizes, sentences = front.sizes_of(results), json.loads((DOCS / "results/front-sentences.json").read_text())
    assert {run["seed"] for run in results["runs"] if run["method"] != "base"} == {*range(10, 20)}
    for each in front.best(sentences)[0][:4]:
        assert front.PAIRS[each.budget] == (each.method, each.other)
        assert max(sizes[name][0] for name in front.PAIRS[each.budget]) <= each.budget
    assert [budget for budget, each in found.items() if each.corrected < 0.05] == [1500, 30_000, 57_600]
    for budget in (1500, 30_000, 57_600):
        mean, low, high = (-number for number in found[budget].percent)
        said = f"{mean:.1f}% [{high:.1f}, {low:.1f}]"
        assert said in page
    costs = []
    for name in ("subspace_8", "unilora_1440", "sparse_16", "unilora_28800", "lora_r1"):
        losses = {float(rate): loss for rate, loss in sentences["search"][name]["validation_loss"].items()}
        best = min(losses, key=losses.__getitem__)
        costs += [100 * (losses[rate] / losses[best] - 1) for rate in (best / 2, 2 * best)]
    assert f"{min(costs):.1f} to {max(costs):.1f}% of the validation loss" in page
    with pytest.raises(QweftError, match="sparse_16 and lora_r1 cannot be judged"):
        front.planned({"runs": [run for run in results["runs"] if run["method"] != "lora_r1"]})


@pytest.mark.slow
def test_the_planned_pairs_without_rows_of_the_front(capsys):
    overlap.main(["budget"])
    told, page = capsys.readouterr().out, " ".join((DOCS / "which-adapter.md").read_text().split())
    assert "the 33 that were test rows, 223 rows" in told and "the 22 that were validation rows, 234 rows" in told
    without = told.partition("the 55 that were either, 201 rows:")[2]
    for ours, other in front.PAIRS.values():
        (said,) = re.findall(rf"{ours} against {other}: (.+)", without)
        assert said in page, (ours, other)


def test_further_searches_add_their_seeds_at_the_rates_of_both():
    own = {"best": 0.011, "seeds": [0, 1], "by_seed": {"0.01": [1.0, 1.2], "0.02": [1.1, 1.2], "0.005": [1.3, 1.4]}}
    more = {"best": 0.02, "seeds": [2], "by_seed": {"0.02": [1.15], "0.01": [1.05], "0.04": [2.0]}}
    for each in (own, more):
        each["validation_loss"] = {rate: sum(losses) / len(losses) for rate, losses in each["by_seed"].items()}
    (found, other) = rates.joined({"qtha": own, "mpo": own}, {"qtha": more})
    assert found.best == 0.011 and found.by_seed == {0.01: (1.0, 1.2, 1.05), 0.02: (1.1, 1.2, 1.15)}
    assert other.by_seed[0.005] == (1.3, 1.4)
    with pytest.raises(QweftError, match="qtha: seed 1 is in both searches"):
        rates.joined({"qtha": own}, {"qtha": {**more, "seeds": [1]}})
    again = {"best": 0.02, "seeds": [0, 1, 2], "by_seed": {"0.02": [1.1, 1.2, 1.15], "0.04": [2.0, 2.1, 2.2]}}
    again["validation_loss"] = {rate: sum(losses) / len(losses) for rate, losses in again["by_seed"].items()}
    (found,) = rates.joined({"qtha": own}, {"qtha": again})  # all of its seeds and more: the later one alone
    assert found.best == 0.011 and found.by_seed == {0.02: (1.1, 1.2, 1.15), 0.04: (2.0, 2.1, 2.2)}
