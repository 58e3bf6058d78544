"""Several sources of training rows: mixed by weights, split each for itself, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qweft.core.errors import QweftError
from qweft.data.config import DataConfig, SourceConfig
from qweft.data.conversation import Conversation, Message
from qweft.data.load import load_data
from qweft.data.sources import Source
from qweft.data.split.split import SplitSizes, split
from tests.data.test_held_out_sources import asked, write


def rows_of(names):
    return [Conversation((Message("user", name), Message("assistant", str(n))), name) for n, name in enumerate(names)]


def questions(name, count, first=0):
    return [{"question": f"{name} {n}?", "answer": f"{name} says {n}"} for n in range(first, first + count)]


@pytest.fixture
def files(tmp_path):
    """60 rows of a, 40 of b with columns of its own, of which 10 ask what a asks, and 20 of c."""
    others = [{"Q": row["question"], "A": "b"} for row in [*questions("b", 30), *questions("a", 10)]]
    return [
        write(tmp_path / "a.jsonl", questions("a", 60)),
        write(tmp_path / "b.jsonl", others),
        write(tmp_path / "c.jsonl", questions("c", 20)),
    ]


COLUMNS = {"prompt": "Q", "response": "A"}
ELSEWHERE = "whose group or prompt is held out in another source"


def config_of(files, *changes, **more):
    entries = [
        SourceConfig(file, columns=COLUMNS if "b.jsonl" in file else {}, **change)
        for file, change in zip(files, changes or [{}] * len(files), strict=True)
    ]
    return DataConfig(sources=entries, **{"validation_rows": 6, "test_rows": 12, "max_length": 64, **more})


def counts(data):
    return {name.rpartition("/")[2]: found for name, found in data.report.sources.items()}


def trained(data):
    return {name: found["train"] for name, found in counts(data).items()}


def test_without_weights_all_rows_are_taken_and_each_source_is_held_out_by_its_size(files, chatml):
    data = load_data(config_of(files), chatml)
    assert (len(data.validation), len(data.test)) == (6, 12)
    found = counts(data)
    assert [found[name]["test"] for name in ("a.jsonl", "b.jsonl", "c.jsonl")] == [6, 4, 2]
    assert [found[name]["validation"] for name in found] == [3, 2, 1]
    # what b asks as a does, and a holds out, is in no part
    assert data.report.rows == 120 and len(data.train) == 120 - 18 - data.report.left_out[ELSEWHERE]
    assert sum(trained(data).values()) == len(data.train)
    assert [len(row["input_ids"]) > 0 for row in data.train]


def test_nothing_held_out_of_a_source_is_trained_on_from_another(files, chatml):
    for seed in range(5):
        data = load_data(config_of(files, split_seed=seed), chatml)
        parts = [data.conversations["train"], data.conversations["validation"], data.conversations["test"]]
        prompts = [set(asked(part)) for part in parts]
        assert not prompts[0] & prompts[1] and not prompts[0] & prompts[2] and not prompts[1] & prompts[2]


def test_the_first_rows_to_answer_are_of_all_sources_in_proportion(files, chatml):
    data = load_data(config_of(files), chatml)
    names = [question.split()[0] for question in asked(data.to_answer("test"))]
    assert sorted(names[:6]) == ["a", "a", "a", "b", "b", "c"]
    assert {*data.to_answer("test")} == {*data.conversations["test"]}
    assert [each.split()[0] for each in asked(data.to_answer("validation"))] == ["a", "b", "a", "c", "b", "a"]
    plain = load_data(DataConfig(files[0], validation_rows=6, test_rows=12, max_length=64), chatml)
    assert plain.to_answer("test") == plain.conversations["test"]


def test_weights_give_the_largest_mixture_that_the_sources_can_fill(files, chatml):
    data = load_data(config_of(files, {"weight": 2}, {"weight": 1}, {"weight": 1}), chatml)
    found = trained(data)
    assert found["a.jsonl"] == found["b.jsonl"] + found["c.jsonl"] and found["b.jsonl"] == found["c.jsonl"]
    assert found["c.jsonl"] == 20 - counts(data)["c.jsonl"]["test"] - counts(data)["c.jsonl"]["validation"]
    tested = {name: each["test"] for name, each in counts(data).items()}
    assert tested == {"a.jsonl": 6, "b.jsonl": 3, "c.jsonl": 3}  # held out as they are trained on
    less = load_data(config_of(files, {"weight": 2}, {"weight": 1}, {"weight": 1}, train_rows=20), chatml)
    assert trained(less) == {"a.jsonl": 10, "b.jsonl": 5, "c.jsonl": 5}
    assert asked(less.conversations["test"]) == asked(data.conversations["test"])


def test_rows_are_exact_and_the_others_give_all_of_theirs(files, chatml):
    data = load_data(config_of(files, {"rows": 7}, {"weight": 1}, {"weight": 3}), chatml)
    found = trained(data)
    assert found["a.jsonl"] == 7 and found["c.jsonl"] == 3 * found["b.jsonl"]
    data = load_data(config_of(files, {"rows": 7}, {}, {"rows": 5}, train_rows=20), chatml)
    assert trained(data) == {"a.jsonl": 7, "b.jsonl": 8, "c.jsonl": 5}


def test_one_entry_is_one_source_to_the_bit(files, chatml):
    plain = DataConfig(files[0], validation_rows=6, test_rows=12, max_length=64)
    one = DataConfig(sources=[SourceConfig(files[0])], validation_rows=6, test_rows=12, max_length=64)
    assert load_data(plain, chatml).report.fingerprint == load_data(one, chatml).report.fingerprint


def test_held_out_rows_of_a_source_of_their_own(files, chatml, tmp_path):
    own = write(tmp_path / "own.jsonl", [*questions("a", 5), *questions("z", 20)])
    data = load_data(config_of(files, test_source=own), chatml)
    assert len(data.test) == 12 and sum(each["test"] for each in counts(data).values()) == 0
    assert data.to_answer("test") == data.conversations["test"]
    assert not {*asked(data.conversations["train"])} & {*asked(data.conversations["test"])}
    shared = load_data(config_of(files, test_source=files[2]), chatml)  # one of the sources, alone
    assert counts(shared)["c.jsonl"]["test"] == 12


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(0, 8), st.integers(0, 8), st.integers(0, 3),
    st.data(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_numbers_are_exact_or_refused(sizes, validation, test, seed, data):
    """Every held-out number is exact, no row is in two parts, and weights hold to a row."""
    sources = [rows_of([f"{place}-{n // 2}" for n in range(size)]) for place, size in enumerate(sizes)]
    weights = data.draw(st.lists(st.sampled_from([1.0, 2.0, 0.5]), min_size=len(sizes), max_size=len(sizes)))
    shares = [Source(str(place), rows, weight=w) for place, (rows, w) in enumerate(zip(sources, weights, strict=True))]
    try:
        found = split(shares, SplitSizes(None, validation, test), seed)
    except QweftError:
        return
    assert (len(found.validation), len(found.test)) == (validation, test)
    assert len({id(row) for part in (found.train, found.validation, found.test) for row in part}) == sum(
        map(len, (found.train, found.validation, found.test))
    )
    groups = [{row.group for row in part} for part in (found.train, found.validation, found.test)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    if len(sizes) > 1:
        of = {id(row): place for place, rows in enumerate(sources) for row in rows}
        given = [sum(of[id(row)] == place for row in found.train) for place in range(len(sizes))]
        exact = [len(found.train) * w / sum(weights) for w in weights]
        assert all(abs(number - share) < 1 for number, share in zip(given, exact, strict=True))


WRONG = [
    ({"sources": []}, "data.sources is empty"),
    ({"source": "b.jsonl", "sources": ["a.jsonl"]}, "data.source b.jsonl and data.sources are both given"),
    ({"source": ""}, "there is no such file or folder"),
    ({"sources": [{"source": "a.jsonl", "rows": 0}]}, "data.sources[0].rows: should be greater than or equal to 1"),
    ({"sources": [{"source": "a.jsonl", "rows": 1, "weight": 1}]}, "data.sources[0] (a.jsonl): weight and rows "),
    ({"sources": ["a.jsonl", "./a.jsonl"]}, "data.sources[1]: ./a.jsonl is a.jsonl once more"),
    ({"sources": ["GSM8K", "openai/gsm8k:main@train"]}, "data.sources[1]: openai/gsm8k:main@train is GSM8K once more"),
    ({"sources": [{"source": "a.jsonl", "columns": {"promt": "Q"}}]}, "data.columns: no format has"),
    ({"sources": [{"source": "a.jsonl", "rows": 9}], "train_rows": 8}, "data.sources ask for 9 training rows"),
    ({"sources": [{"source": "a.jsonl", "weight": 1e6}, "b.jsonl"]}, "data.sources: b.jsonl has 10 training rows"),
    ({"sources": ["a.jsonl", "b.jsonl"], "test_rows": 40}, "data a.jsonl and b.jsonl gives 20 usable rows"),
]


@pytest.mark.parametrize(("data", "expected"), WRONG)
def test_what_is_wrong_is_one_sentence_before_training(tmp_path, monkeypatch, chatml, data, expected):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        write(tmp_path / f"{name}.jsonl", questions(name, 10))
    sources = data.get("sources")
    if sources:
        data = {**data, "sources": [{"source": each} if isinstance(each, str) else each for each in sources]}
    with pytest.raises(QweftError) as fault:
        load_data(DataConfig(**{"validation_rows": 2, "test_rows": 2, "max_length": 64, **data}), chatml)
    assert expected in str(fault.value)
