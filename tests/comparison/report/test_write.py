"""The files of a report, made again from results.json, and two of them on one page."""

import json
import re

import pytest

from qweft.comparison.report.content import Content
from qweft.comparison.report.page import render_beside
from qweft.comparison.report.side_by_side import differing
from qweft.comparison.report.write import beside, remake_report, write_report
from qweft.comparison.results_file import read_results
from qweft.errors import QweftError
from tests.comparison.report.report_examples import ADAPTERS, CONFIG, results

SOME = {name: ADAPTERS[name] for name in ("lora", "qtha", "mpo")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A comparison's folder with its report."""
    made = results(SOME)
    del made["config_yaml"]
    folder = tmp_path_factory.mktemp("comparison")
    assert write_report(made, CONFIG, "Three methods", folder) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def markdown(folder):
    return (folder / "report.md").read_text(encoding="utf-8")


def test_it_writes_page_markdown_pictures_and_results(folder):
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "report.md", "results.json", "loss_curves.png", "loss_by_size.png", "spectra.png"} <= names
    assert not [name for name in names if name.startswith(".")]
    kept = json.loads((folder / "results.json").read_text())
    assert kept["config_yaml"] == CONFIG and kept["runs"] == json.loads(json.dumps(results(SOME)["runs"]))
    assert "Three methods" in (folder / "report.html").read_text()


def test_markdown_says_what_the_page_says(markdown, folder):
    headings = re.findall(r"^## (.*)$", markdown, re.MULTILINE)
    assert headings == [
        "In short", "What it shows", "The numbers", "Inside the adapters", "Circuits", "Example answers",
        "How it was run", "Notes",
    ]  # fmt: skip
    for words in (
        "# Three methods",
        "| lora | 460,800 |",
        "qweft compare configs/demo.yaml",
        "circuit\\_layers: 2",
        "┤RY(c0)├",
        "| commit | 0123abc |",
        "dequantised",
        "searched on the validation rows",
        "It is 42, I think.",
    ):
        assert words.replace("\\", "") in markdown.replace("\\", ""), words
    for name in re.findall(r"\]\(([^)]+)\)", markdown):
        assert (folder / name).is_file()
    assert "\n\n\n" not in markdown


def test_markdown_means_are_those_of_the_layers(markdown):
    records = [r["inspection"]["layers"] for r in results(SOME)["runs"] if r["method"] == "qtha"]
    numbers = [layer["different_maps"] for layers in records for layer in layers]
    line = next(line for line in markdown.splitlines() if line.startswith("| Different maps"))
    assert float(line.split("|")[3]) == pytest.approx(sum(numbers) / len(numbers), rel=0.01)
    assert float(line.split("|")[2]) == 1  # LoRA's
    line = next(line for line in markdown.splitlines() if "kept with constants for its circuits" in line)
    assert [cell.strip() for cell in line.split("|")[2:4]] == ["–", "42.0% ± 3.1"]
    line = next(line for line in markdown.splitlines() if "Circuits of one training on a chip" in line)
    assert [cell.strip() for cell in line.split("|")[2:4]] == ["–", "290,000,000 of 10,000 shots, standard error 0.01"]


def test_markdown_takes_no_text_for_marks(tmp_path):
    evil = "<script>alert(1)</script> | **bold** [link](http://x.org) ```\n# no heading"
    made = results({"lora": SOME["lora"]}, inspected=False)
    for record in made["runs"]:
        record |= {"model": evil, "data": evil}
        record["answers"] = [{"prompt": evil, "reference": evil, "generated": evil}]
    made["environment"] |= {"cpu": evil, "command": evil}
    write_report(made, evil, evil, tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    outside = re.sub(r"^(`{3,})[^`]*\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script>" not in outside and "[link]" not in outside and "\n# no heading" not in outside
    assert "**bold**" not in outside and outside.count("\n# ") <= 1


def test_a_report_is_made_again_from_what_it_left(folder, tmp_path):
    assert remake_report(folder, tmp_path / "again") == tmp_path / "again" / "report.html"
    old, new = (folder / "report.html").read_text(), (tmp_path / "again" / "report.html").read_text()
    assert old == new and "Three methods" in new
    assert remake_report(tmp_path / "again" / "results.json") == tmp_path / "again" / "report.html"
    (tmp_path / "other" / "lora-0").mkdir(parents=True)
    (tmp_path / "other" / "lora-0" / "run.json").write_text("{}")
    (tmp_path / "other" / "results.json").write_text("its own")
    with pytest.raises(QweftError, match=r"other holds the results of another comparison"):
        remake_report(folder, tmp_path / "other")
    assert (tmp_path / "other" / "results.json").read_text() == "its own"


WRONG = {
    "a text among losses of the search": ("search", "lora", "validation_loss", "0.01"),
    "a list as a command": ("environment", "command"),
    "a text as a loss": ("runs", 1, "eval_loss"),
    "a text as a start": ("runs", 1, "started"),
    "a text as a curve": ("runs", 1, "train_loss_curve"),
    "a text as a step": ("runs", 1, "train_loss_curve", 0, 0),
    "a text as rows of other data": ("runs", 1, "forgetting"),
    "a text as answers": ("runs", 0, "answers"),
    "a text as the results of the search": ("search", "lora"),
    "a text as the environment": ("environment",),
}


@pytest.mark.parametrize("value", ["text", [1], {"a": None}, 10**39], ids=["text", "list", "mapping", "number"])
@pytest.mark.parametrize("case", WRONG)
def test_results_with_a_value_of_another_type_are_refused_in_one_sentence_or_drawn(tmp_path, case, value):
    made = json.loads(json.dumps(results({"lora": ADAPTERS["lora"]}, seeds=1, inspected=False)))
    *path, last = WRONG[case]
    parent = made
    for key in path:
        parent = parent[key]
    parent[last] = value
    (tmp_path / "results.json").write_text(json.dumps(made))
    try:
        remake_report(tmp_path)
    except QweftError as error:
        assert str(error).startswith(str(tmp_path / "results.json")) and "\n" not in str(error)
        assert "run its comparison again" in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no results.json in it"),
        ("{", "is not a record of this program"),
        ("[1]", "is not a record of this program"),
        ('{"runs": 3}', "not the results of a comparison"),
        ('{"runs": []}', "no run to report on"),
        ('{"runs": [{"method": "a", "seed": 1}]}', "(a, seed 1) is not complete"),
    ],
)
def test_what_is_no_comparison_is_refused_in_one_sentence(tmp_path, content, words):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(QweftError) as error:
        remake_report(tmp_path)
    assert re.search(words.replace("(a, seed 1)", r"\(a, seed 1\)"), str(error.value))
    assert str(error.value).startswith(str(tmp_path)) and "\n" not in str(error.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(QweftError, match="no such file or folder"):
        read_results(tmp_path / "nowhere")


def test_two_reports_are_not_written_to_a_file(folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(QweftError, match=r"cannot be written .*; choose another --output"):
        beside(folder, folder, tmp_path / "file")


def test_two_reports_stand_beside_each_other(folder, tmp_path):
    write_report(results(SOME, shift=1.0, seeds=2), CONFIG.replace("0.001", "0.5"), "", tmp_path / "other")
    path = beside(folder, tmp_path / "other", tmp_path / "both")
    assert path == tmp_path / "both" / "beside.html" == beside(folder, tmp_path / "other", tmp_path / "both")
    page = path.read_text()
    assert page.index("What differs") < page.index("What it shows") < page.index("The numbers")
    assert '<th scope="row">training.learning_rate</th><td>0.001</td><td>0.5</td>' in page
    assert page.count("<h2 ") == 11 and page.count("Training loss by step</b>") == 2
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "script" not in page and "http" not in re.sub(r'a\[href\^="http"\]', "", page)


def test_what_differs_is_listed_and_nothing_else():
    one, other = results(SOME, inspected=False), results(SOME, inspected=False, seeds=2)
    other["environment"] |= {"torch": "2.14.0", "date": "another day"}
    found = {entry.name: (entry.left, entry.right) for entry in differing(Content.read(one), Content.read(other))}
    assert found == {"seeds": ("0, 1, 2", "0, 1"), "torch": ("2.13.0", "2.14.0")}


def test_without_configurations_the_runs_tell_what_differs():
    one, other = results(SOME, inspected=False), results({**SOME, "qtha": {"preset": "qtha", "r": 6}}, inspected=False)
    del one["config_yaml"]
    found = {entry.name: (entry.left, entry.right) for entry in differing(Content.read(one), Content.read(other))}
    assert found == {
        "methods.qtha.adapter.r": ("4", "6"),
        "methods.qtha.adapter.circuit_layers": ("2", "–"),
    }


def test_a_method_that_only_one_has_is_one_line():
    one, other = results(SOME, inspected=False), results({**SOME, "mpo_2": {"preset": "mpo", "r": 2}}, inspected=False)
    del one["config_yaml"]
    found = {entry.name: (entry.left, entry.right) for entry in differing(Content.read(one), Content.read(other))}
    assert found == {"methods.mpo_2": ("–", "compared")}


def test_a_section_that_one_of_two_has_is_shown_for_both():
    left, right = Content.read(results(SOME, seeds=1)), Content.read(results(SOME, seeds=1, inspected=False))
    page = render_beside(left, right, ("left", "<b>right</b>"))
    assert page.count("This comparison has nothing of the kind.") == 1
    assert "<b>right</b>" not in page
