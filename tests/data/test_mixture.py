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
from tests.data.examples import last_questions, question_rows, write_rows

COLUMNS = {"prompt": "Q", "response": "A"}
ELSEWHERE = "whose group or prompt is held out in another source"
SIZES = {"validation_rows": 6, "test_rows": 12, "max_length": 64}


@pytest.fixture
def files(tmp_path):
    """60 rows of a, 40 of b with columns of its own, of which 10 ask what a asks, and 20 of c."""
    rows_of_b = [*question_rows("b", 30), *question_rows("a", 10)]
    return [
        write_rows(tmp_path / "a.jsonl", question_rows("a", 60)),
        write_rows(tmp_path / "b.jsonl", [{"Q": row["question"], "A": "b"} for row in rows_of_b]),
        write_rows(tmp_path / "c.jsonl", question_rows("c", 20)),
    ]


def mixed(files, *shares, **changes):
    """A config with the three files as sources, each with its weight or rows in `shares`."""
    sources = []
    for file, share in zip(files, shares or [{}] * len(files), strict=True):
        columns = COLUMNS if "b.jsonl" in file else {}
        sources.append(SourceConfig(file, columns=columns, **share))
    return DataConfig(sources=sources, **{**SIZES, **changes})


def rows_in(data, part):
    """The rows of each of the files a, b and c in a part."""
    return [counts[part] for counts in data.report.sources.values()]


def test_without_weights_each_source_is_held_out_by_its_size(files, chatml):
    data = load_data(mixed(files), chatml)
    assert (len(data.validation), len(data.test)) == (6, 12)
    assert rows_in(data, "test") == [6, 4, 2]
    assert rows_in(data, "validation") == [3, 2, 1]


def test_without_weights_all_rows_are_taken(files, chatml):
    """But those that b asks as a does, and a holds out."""
    data = load_data(mixed(files), chatml)
    assert data.report.rows == 120
    assert len(data.train) == 120 - 18 - data.report.left_out[ELSEWHERE]
    assert sum(rows_in(data, "train")) == len(data.train)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_held_out_of_a_source_is_trained_on_from_another(files, chatml, seed):
    data = load_data(mixed(files, split_seed=seed), chatml)
    parts = [set(last_questions(data.conversations[part])) for part in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts))


def test_the_first_rows_to_answer_are_of_all_sources_in_proportion(files, chatml):
    data = load_data(mixed(files), chatml)
    names = [question.split()[0] for question in last_questions(data.to_answer("test"))]
    assert sorted(names[:6]) == ["a", "a", "a", "b", "b", "c"]
    assert {*data.to_answer("test")} == {*data.conversations["test"]}
    names = [question.split()[0] for question in last_questions(data.to_answer("validation"))]
    assert names == ["a", "b", "a", "c", "b", "a"]


def test_rows_to_answer_of_one_source_keep_their_order(files, chatml):
    data = load_data(DataConfig(files[0], **SIZES), chatml)
    assert data.to_answer("test") == data.conversations["test"]


WEIGHTS = [{"weight": 2}, {"weight": 1}, {"weight": 1}]


def test_weights_give_the_largest_mixture_that_the_sources_can_fill(files, chatml):
    data = load_data(mixed(files, *WEIGHTS), chatml)
    a, b, c = rows_in(data, "train")
    assert a == b + c
    assert b == c == 20 - rows_in(data, "test")[2] - rows_in(data, "validation")[2]


def test_sources_are_held_out_as_they_are_trained_on(files, chatml):
    assert rows_in(load_data(mixed(files, *WEIGHTS), chatml), "test") == [6, 3, 3]


def test_weights_hold_for_fewer_training_rows(files, chatml):
    full = load_data(mixed(files, *WEIGHTS), chatml)
    fewer = load_data(mixed(files, *WEIGHTS, train_rows=20), chatml)
    assert rows_in(fewer, "train") == [10, 5, 5]
    assert last_questions(fewer.conversations["test"]) == last_questions(full.conversations["test"])


def test_rows_by_number_are_exact_beside_weights(files, chatml):
    a, b, c = rows_in(load_data(mixed(files, {"rows": 7}, {"weight": 1}, {"weight": 3}), chatml), "train")
    assert a == 7
    assert c == 3 * b


def test_rows_by_number_are_exact_and_a_source_without_fills_the_rest(files, chatml):
    data = load_data(mixed(files, {"rows": 7}, {}, {"rows": 5}, train_rows=20), chatml)
    assert rows_in(data, "train") == [7, 8, 5]


def test_one_entry_is_one_source_to_the_bit(files, chatml):
    plain = load_data(DataConfig(files[0], **SIZES), chatml)
    entry = load_data(DataConfig(sources=[SourceConfig(files[0])], **SIZES), chatml)
    assert plain.report.fingerprint == entry.report.fingerprint


def test_held_out_rows_may_have_a_source_of_their_own(files, chatml, tmp_path):
    source = write_rows(tmp_path / "held-out.jsonl", [*question_rows("a", 5), *question_rows("z", 20)])
    data = load_data(mixed(files, test_source=source), chatml)
    assert len(data.test) == 12
    assert rows_in(data, "test") == [0, 0, 0]
    assert data.to_answer("test") == data.conversations["test"]
    train = set(last_questions(data.conversations["train"]))
    assert not train & set(last_questions(data.conversations["test"]))


def test_held_out_rows_may_be_of_one_of_the_sources_alone(files, chatml):
    data = load_data(mixed(files, test_source=files[2]), chatml)
    assert rows_in(data, "test") == [0, 0, 12]


def paired_rows(name, count):
    """Rows in groups of two."""
    names = [f"{name}-{number // 2}" for number in range(count)]
    return [
        Conversation((Message("user", group), Message("assistant", str(number))), group)
        for number, group in enumerate(names)
    ]


@st.composite
def weighted_sources(draw):
    weight = st.sampled_from([1.0, 2.0, 0.5])
    sources = []
    for number in range(draw(st.integers(1, 4))):
        rows = paired_rows(str(number), draw(st.integers(1, 40)))
        sources.append(Source(str(number), rows, weight=draw(weight)))
    return sources


@given(weighted_sources(), st.integers(0, 8), st.integers(0, 8), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_the_numbers_are_exact_or_refused(sources, validation, test, seed):
    """Every held-out number is exact, no row is in two parts, and weights hold to a row."""
    try:
        parts = split(sources, SplitSizes(None, validation, test), seed)
    except QweftError:
        return
    assert (len(parts.validation), len(parts.test)) == (validation, test)
    check_parts_are_apart(list(parts.conversations.values()))
    if len(sources) > 1:
        check_weights(sources, parts.train)


def check_parts_are_apart(parts):
    rows = [id(row) for part in parts for row in part]
    assert len(set(rows)) == len(rows)
    groups = [{row.group for row in part} for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups))


def check_weights(sources, train):
    trained = {id(row) for row in train}
    total_weight = sum(source.weight for source in sources)
    for source in sources:
        rows = sum(id(row) in trained for row in source.conversations)
        assert abs(rows - len(train) * source.weight / total_weight) < 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sources": []}, "data.sources is empty"),
        ({"source": "b.jsonl", "sources": ["a.jsonl"]}, "data.source b.jsonl and data.sources are both given"),
        ({"source": ""}, "there is no such file or folder"),
        ({"sources": [{"source": "a.jsonl", "rows": 0}]}, "data.sources[0].rows: should be greater than or equal to 1"),
        ({"sources": [{"source": "a.jsonl", "rows": 1, "weight": 1}]}, "data.sources[0] (a.jsonl): weight and rows "),
        ({"sources": ["a.jsonl", "./a.jsonl"]}, "data.sources[1]: ./a.jsonl is a.jsonl once more"),
        (
            {"sources": ["GSM8K", "openai/gsm8k:main@train"]},
            "data.sources[1]: openai/gsm8k:main@train is GSM8K once more",
        ),
        ({"sources": [{"source": "a.jsonl", "columns": {"promt": "Q"}}]}, "data.columns: no format has"),
        ({"sources": [{"source": "a.jsonl", "rows": 9}], "train_rows": 8}, "data.sources ask for 9 training rows"),
        ({"sources": [{"source": "a.jsonl", "weight": 1e6}, "b.jsonl"]}, "data.sources: b.jsonl has 10 training rows"),
        ({"sources": ["a.jsonl", "b.jsonl"], "test_rows": 40}, "data a.jsonl and b.jsonl gives 20 usable rows"),
    ],
)
def test_what_is_wrong_is_one_sentence_before_training(tmp_path, monkeypatch, chatml, changes, problem):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        write_rows(tmp_path / f"{name}.jsonl", question_rows(name, 10))
    changes = {"validation_rows": 2, "test_rows": 2, "max_length": 64, **changes}
    if changes.get("sources"):
        entries = changes["sources"]
        changes["sources"] = [{"source": entry} if isinstance(entry, str) else entry for entry in entries]
    with pytest.raises(QweftError) as fault:
        load_data(DataConfig(**changes), chatml)
    assert problem in str(fault.value)
