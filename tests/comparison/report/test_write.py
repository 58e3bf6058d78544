"""The files of a report, made again from results.json, and two of them on one page."""

import json
import re

import pytest

from qweft.comparison.report.content import Content
from qweft.comparison.report.side_by_side import differing
from qweft.comparison.report.write import beside, remake_report, write_report
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no results.json in it"),
        ("{", "is not a record of this program"),
        ('{"runs": []}', "is not a record of this program"),
        ('{"format": 1, "runs": 3}', "not the results of a comparison"),
        ('{"format": 1, "runs": []}', "no run to report on"),
        ('{"format": 1, "runs": [{"method": "a", "seed": 1}]}', "(a, seed 1) is not complete"),
    ],
)
def test_what_is_no_comparison_is_refused_in_one_sentence(tmp_path, content, words):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(QweftError) as error:
        remake_report(tmp_path)
    assert re.search(words.replace("(a, seed 1)", r"\(a, seed 1\)"), str(error.value))
    assert str(error.value).startswith(str(tmp_path)) and "\n" not in str(error.value)


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
