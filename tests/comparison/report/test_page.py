"""The page: complete, self-contained, escaped."""

import re
from html.parser import HTMLParser

import pytest

from qweft.comparison.summarise import summarise
from qweft.environment import environment
from qweft.errors import QweftError
from tests.comparison.comparison_examples import run, runs, verdicts
from tests.comparison.report import report_examples
from tests.comparison.report.report_examples import render_page

EVIL = "<script>alert('x')</script><img src=http://x.org/a.png onerror=alert(1)>"
CONFIG = "methods:\n  lora: {adapter: {peft_type: LORA}, learning_rate: 0.001}\n  qtha: {adapter: {preset: qtha}}\n"


def results(made, reference="lora", **environment_changes):
    return {
        "runs": [entry.to_json() for entry in made],
        "summary": {name: entry.to_json() for name, entry in summarise(made, reference).items()},
        "environment": {**environment("hub", "sha256:1", "qweft compare x.yaml"), **environment_changes},
    }


def answered(text):
    answers = ({"prompt": text, "reference": text, "generated": text},)
    made = runs(base=[1.3], lora=[0.8, 0.9, 1.0], qtha=[0.9, 1.0, 1.1], mpo=[1.0, 1.1, 1.0])
    return [run(r.method, r.seed, r.eval_loss, answers=answers) for r in made]


class Reader(HTMLParser):
    """Collects tags with their attributes, and the visible text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_it_says_what_was_compared_and_every_verdict():
    made = answered("What is 2 + 2?")
    page = Reader(render_page(results(made), CONFIG, "Two methods on rows"))
    assert "Two methods on rows" in page.text
    for sentence in verdicts(summarise(made)):
        assert re.sub(r"(?<!\w)-(?=\d)", "−", sentence) in page.text
    for shown in (
        "0.9000",
        "qweft compare x.yaml",
        "peft_type: LORA",
        "What is 2 + 2?",
    ):
        assert shown in page.text
    assert "set for this method in the configuration" in page.text
    assert "the training section's, shared" in page.text


SOME = {name: report_examples.ADAPTERS[name] for name in ("lora", "qtha", "mlp_linear")}


@pytest.fixture(scope="module")
def full():
    return render_page(report_examples.results(SOME))


def test_it_needs_nothing_else(full):
    for page in (render_page(results(answered("q")), CONFIG, "t"), full):
        for tag, attributes in Reader(page).tags:
            assert tag not in ("script", "link", "iframe", "object", "embed", "base", "img", "image")
            for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
            assert not any(name.startswith("on") for name in attributes)
        assert "@import" not in page
        assert not re.search(r"url\((?!#)", page)
        assert "http" not in re.sub(r'a\[href\^="http"\]', "", page)  # the style sheet's rule for printed links


def test_a_verdict_is_a_word_and_a_sign_with_its_question():
    page = render_page(results(runs(lora=[1.0, 1.0, 1.0], qtha=[0.8, 0.8, 0.8], mpo=[0.9, 0.9, 0.9])), "", "t")
    text = Reader(page).text
    assert "Does the circuit help? ? open Does the circuit help qtha? Open" in text
    assert "Against each control 1 yes (mpo) ✓ yes qtha better than mpo" in text
    assert "Better than the reference, lora? ✓ yes qtha better than lora" in text
    assert "≈ not decided" in Reader(render_page(results(runs(lora=[1.0, 1.2], qtha=[1.1, 1.1])), "", "t")).text


def test_each_distinct_circuit_is_drawn_once_for_all_its_methods():
    adapters = {"a": {"preset": "qtha", "r": 3}, "b": {"preset": "qwthn", "r": 3}, "c": {"preset": "qtha", "r": 2},
                "d": {"preset": "mpo", "r": 3}, "lora": {"peft_type": "LORA", "r": 3},
                "unknown": {"preset": "qtha", "core": "of another version"}}  # fmt: skip
    page = render_page(report_examples.results(adapters, seeds=1, inspected=False))
    assert page.count('<svg class="circuit"') == 2
    assert "<b>a, b</b>3 qubits" in page and "<b>c</b>2 qubits" in page


def test_text_from_models_data_and_configuration_is_escaped():
    made = [
        run(EVIL if r.method == "qtha" else r.method, r.seed, r.eval_loss, model=EVIL, data=EVIL, answers=r.answers,
            adapter={"preset": "qtha"} if r.method == "qtha" else None)
        for r in answered(EVIL)
    ]  # fmt: skip
    found = results(made, cpu=EVIL, command=EVIL, model_origin=EVIL)
    reader = Reader(render_page(found, EVIL, EVIL))
    assert not [tag for tag, _ in reader.tags if tag in ("script", "img")]
    # Title (twice), model, data, prompt, answers, command, environment, configuration: shown, not run.
    assert reader.text.count("<script>alert('x')</script>") > 10


@pytest.mark.parametrize("made", [runs(base=[1.3]), runs(lora=[None]), runs(qtha=[1.0, 2.0])])
def test_unfinished_comparisons_have_a_page(made):
    assert "<h1>" in render_page(results(made), "", "t")


def test_a_page_without_runs_is_an_error():
    with pytest.raises(QweftError, match="no run"):
        render_page({"runs": []}, "", "t")
