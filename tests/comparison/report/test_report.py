"""The files of a report: complete, self-contained, escaped, and made again from results.json."""

import json
import re
from html.parser import HTMLParser

import pytest

from qweft.comparison.report.content import Content
from qweft.comparison.report.write import remake_report, rendered, write_report
from qweft.core.errors import QweftError
from qweft.core.text import CONTROLS
from tests.comparison.comparison_examples import runs, verdicts
from tests.comparison.report.report_examples import ADAPTERS, CONFIG, content_of, results

SOME = {name: ADAPTERS[name] for name in ("lora", "qtha", "mpo")}
EVIL = "<script>alert('x')</script><img src=http://x.org/a.png onerror=alert(1)> | **b** [l](http://x) ```\n# no\x1b[2J"


class Reader(HTMLParser):
    """Collects tags with their attributes, and the visible text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)


def of(made):
    return {"runs": [entry.to_json() for entry in made]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A comparison's folder with its report."""
    folder = tmp_path_factory.mktemp("comparison")
    assert write_report({**results(SOME), "title": "Three methods"}, folder).title == "Three methods"
    return folder


def test_the_page_and_the_markdown_say_the_same_and_all_files_are_there(folder):
    kept = json.loads((folder / "results.json").read_text())
    assert kept["config_yaml"] == CONFIG and kept["runs"] == json.loads(json.dumps(results(SOME)["runs"]))
    markdown, text = (folder / "report.md").read_text(), Reader((folder / "report.html").read_text()).text
    headings = re.findall(r"^## (.*)$", markdown, re.MULTILINE)
    assert len(headings) == 9
    content = Content.read(kept)
    sentences = [content.conclusion, *verdicts(content.summary)]
    for words in (
        "Three methods", "460,800", "qweft compare configs/demo.yaml", "circuit_layers: 2", "0123abc", "dequantised",
        "It is 42, I think.", *headings, *sentences,
    ):  # fmt: skip
        assert words in markdown.replace("\\", ""), words
        assert words in text.replace("−", "-"), words
    pictures = set(re.findall(r"\]\(([^)]+)\)", markdown))
    assert {"loss_curves.png", "loss_by_size.png", "learning_rates.png"} <= pictures
    assert all((folder / name).is_file() for name in pictures)
    assert "\n\n\n" not in markdown and "┤RY(c0)├" in markdown


def test_the_page_needs_nothing_else(folder):
    text = (folder / "report.html").read_text()
    for tag, attributes in Reader(text).tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "image")
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/")), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    assert "http" not in re.sub(r'a\[href\^="http"\]', "", text)  # the style sheet's rule for printed links
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_a_verdict_is_a_word_and_a_sign_with_its_question():
    made = of(runs(lora=[1.0] * 3, qtha=[0.8] * 3, mpo=[0.9] * 3))
    text = Reader(rendered("report.html", *content_of(made))).text
    assert "Does the circuit help? ? open" in text
    assert "Against each control 1 yes ✓ yes qtha better than mpo" in text
    assert "Better than the reference, lora? ✓ yes qtha better than lora" in text


def test_each_distinct_circuit_is_drawn_once_for_all_its_methods():
    adapters = {"a": {"preset": "qtha", "r": 3}, "b": {"preset": "qwthn", "r": 3}, "c": {"preset": "qtha", "r": 2},
                "d": {"preset": "mpo", "r": 3}, "lora": {"peft_type": "LORA", "r": 3},
                "unknown": {"preset": "qtha", "core": "of another version"}}  # fmt: skip
    found, _ = content_of(results(adapters, seeds=1, inspected=False))
    assert [methods for _, methods, _ in found.circuits] == [["a", "b"], ["c"]]


def test_text_from_models_data_and_configuration_is_no_markup_and_controls_no_terminal(tmp_path):
    made = results({"lora": ADAPTERS["lora"], EVIL: ADAPTERS["qtha"]}, seeds=1, inspected=False)
    for record in made["runs"]:
        record |= {"model": EVIL, "data": EVIL}
        record["answers"] = [{"prompt": EVIL, "reference": EVIL, "generated": EVIL}]
    made["environment"] |= {"cpu": EVIL, "command": EVIL, "model_origin": EVIL}
    made |= {"config_yaml": EVIL, "title": EVIL}
    write_report(json.loads(json.dumps(made).replace("NaN", "null")), tmp_path)
    files = {name: (tmp_path / name).read_text("utf-8") for name in ("report.md", "report.html")}
    assert not any(map(CONTROLS.search, files.values()))
    reader = Reader(files["report.html"])
    foreign = [tag for tag, of in reader.tags if tag in ("script", "img") and not of.get("src", "").startswith("data:")]
    assert not foreign
    assert reader.text.count("<script>alert('x')</script>") > 10
    outside = re.sub(r"^(`{3,})[^`]*\n.*?^\1$", "", files["report.md"], flags=re.DOTALL | re.MULTILINE)
    assert "onerror" in outside and not re.search(r"(?<!\\)<(img|script)|(?<!\\)\[l|(?<!\\)\*\*b|\n# no", outside)


@pytest.mark.parametrize("made", [runs(base=[1.3]), runs(lora=[None]), runs(qtha=[1.0, 2.0])])
def test_unfinished_comparisons_have_a_report(made):
    found = content_of(of(made))
    assert "<h1>" in rendered("report.html", *found) and "## Notes" in rendered("report.md", *found)


def test_a_report_is_made_again_from_what_it_left(folder, tmp_path):
    assert remake_report(folder, tmp_path / "again") == tmp_path / "again" / "report.html"
    assert (folder / "report.html").read_text() == (tmp_path / "again" / "report.html").read_text()
    assert remake_report(tmp_path / "again" / "results.json") == tmp_path / "again" / "report.html"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.md").write_text("its own")
    with pytest.raises(QweftError, match="other holds another report"):
        remake_report(folder, tmp_path / "other")
    assert [path.read_text() for path in (tmp_path / "other").iterdir()] == ["its own"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ('{"format": 1, "runs": 3}', "not the results of a comparison"),
        ('{"format": 1, "runs": []}', "no run to report on"),
        ('{"format": 1, "runs": [{"method": "a", "seed": 1}]}', "not well formed"),
    ],
)
def test_what_is_no_comparison_is_refused_in_one_sentence(tmp_path, content, words):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(QweftError) as error:
        remake_report(tmp_path)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path))
