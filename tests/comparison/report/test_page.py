"""The page: complete, self-contained, escaped."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from qweft.comparison.report.content import Content
from qweft.comparison.report.text import answers, rates
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


def test_verdicts_come_first_and_every_part_has_its_place(full):
    headings = re.findall(r"<h2 [^>]*>([^<]*)</h2>", full)
    assert headings == [
        "In short", "What it shows", "The numbers", "Learning, and what it costs", "Inside the adapters", "Circuits",
        "The search for learning rates", "Example answers", "How it was run", "Notes",
    ]  # fmt: skip
    text = Reader(full).text
    assert "mlp_linear has a stand-in where others have the circuit: a small neural network" in text.replace("_ ", "_")
    assert "4 qubits, 40 gates, 32 trained angles" in text and "16 rows, 1,024 tokens" in text
    assert "a better rate may lie beyond" in text
    ids = [attributes["id"] for _, attributes in Reader(full).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in Reader(full).tags:
        for name in (attributes.get("aria-labelledby") or "").split():
            assert name in ids


def test_a_verdict_is_a_word_and_a_sign_with_its_question():
    page = render_page(results(runs(lora=[1.0, 1.0, 1.0], qtha=[0.8, 0.8, 0.8], mpo=[0.9, 0.9, 0.9])), "", "t")
    text = Reader(page).text
    assert "Does the circuit help? ? open Does the circuit help qtha? Open" in text
    assert "Against each control 1 yes (mpo) ✓ yes qtha better than mpo" in text
    assert "Better than the reference, lora? ✓ yes qtha better than lora" in text
    assert "≈ not decided" in Reader(render_page(results(runs(lora=[1.0, 1.2], qtha=[1.1, 1.1])), "", "t")).text


def test_what_sums_up_is_open_and_what_it_sums_up_is_folded():
    losses = {"lora": 1.0, "qtha": 0.8, "mpo": 0.9, **{f"m{i}": 0.9 if i < 2 else 1.0 for i in range(6)}}
    page = render_page(results(runs(**{method: [loss] * 3 for method, loss in losses.items()})), "", "t")
    open_text = Reader(re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)).text
    assert "Does the circuit help qtha?" in open_text and "qtha better than lora" in open_text
    assert "qtha better than mpo" not in open_text and "m3 better than lora" not in open_text
    assert "Other methods better than lora? 3 yes (mpo, m0, m1), 4 not decided" in Reader(page).text


def test_the_gain_that_fits_keep_stands_under_the_means():
    text = Reader(render_page(report_examples.results(SOME))).text
    assert "Gain over the base model kept with constants for its circuits" in text and "42.0% ± 3.1" in text
    assert "kept with affine maps for its circuits" in text and "97.3%" in text
    assert "kept with quadratics" not in text


def test_what_a_training_would_take_on_a_chip_stands_under_the_means():
    text = " ".join(Reader(render_page(report_examples.results(SOME))).text.split())
    assert "Circuits of one training on a chip" in text and "290,000,000 of 10,000 shots, standard error 0.01" in text
    assert "1,600,000,000 USD qiskit:ibm_*, price of 2026-09" in text


RUN = {"evaluations": 5, "shots": 4, "standard_error": 0.5}


def test_what_a_comparison_does_not_have_is_left_out():
    page = render_page(report_examples.results(SOME, inspected=False, answers=False) | {"search": None})
    for heading in ("Inside the adapters", "The search for learning rates", "Example answers"):
        assert heading not in page
    assert "Circuits" in page and "Circuits" not in render_page(results(runs(lora=[1.0])), "", "t")


def test_the_numbers_of_the_maps_are_in_tables(full):
    made = report_examples.results(SOME)
    layers = [r["inspection"]["layers"] for r in made["runs"] if r["method"] == "qtha"]
    mean = sum(found[0]["effective_rank_token"] for found in layers) / 3
    row = re.search(r"<th scope=\"row\">qtha, q_proj</th><td>([\d.]+)</td>", full)
    assert float(row[1]) == pytest.approx(mean, abs=0.006)
    numbers = [layer["different_maps"] for found in layers for layer in found]
    row = re.search(r"Different maps over the tokens</th><td>1.00</td><td>([\d.]+)<small>", full)
    assert float(row[1]) == pytest.approx(sum(numbers) / len(numbers), abs=0.006)


def test_each_distinct_circuit_is_drawn_once_for_all_its_methods():
    adapters = {"a": {"preset": "qtha", "r": 3}, "b": {"preset": "qwthn", "r": 3}, "c": {"preset": "qtha", "r": 2},
                "d": {"preset": "mpo", "r": 3}, "lora": {"peft_type": "LORA", "r": 3},
                "unknown": {"preset": "qtha", "core": "of another version"}}  # fmt: skip
    page = render_page(report_examples.results(adapters, seeds=1, inspected=False))
    assert page.count('<svg class="circuit"') == 2
    assert "<b>a, b</b>3 qubits" in page and "<b>c</b>2 qubits" in page


def test_a_frozen_circuit_is_not_said_to_be_trained():
    adapters = {"qtha": {"preset": "qtha", "r": 3}, "frozen": {"preset": "qtha", "core": "frozen_linear", "r": 3}}
    page = render_page(report_examples.results(adapters, seeds=1, inspected=False))
    text = " ".join(Reader(page).text.split())
    assert "qtha 3 qubits, 45 gates, 36 trained angles" in text
    assert "frozen 3 qubits, 45 gates, 36 untrained angles" in text


def test_rates_that_were_given_or_taken_over_are_not_said_to_be_searched():
    found = results(runs(lora=[1.0], qtha=[1.1], mpo=[1.2]))
    searched = {"best": 0.001, "at_end_of_grid": False, "validation_loss": {"0.001": 1.0, "0.003": 1.1}}
    without = {"best": 0.001, "validation_loss": {}}
    found["search"] = {"lora": {"given": 0.001, **without}, "qtha": searched, "mpo": {"rate_of": "qtha", **without}}
    config = "methods: {lora: {adapter: {}, learning_rate: 0.001}, qtha: {adapter: {}}, mpo: {rate_of: qtha}}"
    content = Content.read(found, config, "")
    assert rates(content) == [
        ("lora", "0.001", "set for this method in the configuration below"),
        ("qtha", "0.001", "searched on the validation rows"),
        ("mpo", "0.001", "that of qtha"),
    ]
    assert [entry.method for entry in content.search] == ["qtha"]


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


def test_dequantised_weights_are_pointed_out():
    for origin, is_told in (("package x, Q4_1 dequantised", True), ("hub", False)):
        page = render_page(results(answered("q"), model_origin=origin), CONFIG, "t")
        assert ("weights were dequantised" in Reader(page).text) == is_told


def test_the_reference_is_the_one_of_the_results():
    text = Reader(render_page(results(answered("q"), reference="mpo"), CONFIG, "t")).text
    assert "Difference to mpo" in text
    assert "qtha better than mpo at equal steps: not decided" in text
    assert "Reference mpo" in text


def test_answers_stand_beside_each_other_at_the_first_seed():
    made = [
        run(m, s, 1.0, answers=({"prompt": "p?", "reference": "ref!", "generated": f"{m} says {s}"},))
        for m, seeds in (("base", [0]), ("lora", [5, 2]), ("qtha", [2, 5]))
        for s in seeds
    ]
    text = Reader(render_page(results(made), CONFIG, "t")).text
    assert "base says 0" in text and "lora says 2" in text and "qtha says 2" in text and "says 5" not in text
    assert text.count("p? Reference answer") == 1 and text.count("ref!") == 1


@pytest.mark.parametrize("made", [runs(base=[1.3]), runs(lora=[None]), runs(qtha=[1.0, 2.0])])
def test_unfinished_comparisons_have_a_page(made):
    assert "<h1>" in render_page(results(made), "", "t")


def test_a_page_without_runs_is_an_error():
    with pytest.raises(QweftError, match="no run"):
        render_page({"runs": []}, "", "t")


def test_answers_of_the_first_seed_are_shown_where_a_lower_one_was_added():
    """A budget with time left over adds the smallest seeds that are unused; those runs answered nothing."""
    said = {"prompt": "p", "reference": "r", "generated": "g"}
    content = SimpleNamespace(summary=["lora"], runs=[run("lora", 0), run("lora", 5, answers=(said,))])
    assert answers(content) == [("p", "r", [("lora, seed 5", "g")])]
