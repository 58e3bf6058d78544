"""Columns under other names, near misses of names, and rows that tell good answers from bad ones."""

import json
import shlex
from dataclasses import replace

import pytest

from qweft.cli.main import main
from qweft.data.columns import check_columns, renamed
from qweft.data.config import DataConfig
from qweft.data.formats import columns, to_conversation
from qweft.data.load import load_data
from qweft.data.turns import RowError
from qweft.errors import QweftError
from tests.tiny_folder import save_tiny_model


def written(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(path)


def said(conversation):
    return [message.content for message in conversation.messages]


MESSAGES = [{"role": "user", "content": "m"}, {"role": "assistant", "content": "n"}]
OTHERS = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]


@pytest.mark.parametrize(
    ("names", "row", "texts"),
    [
        ({"prompt": "Question", "response": "Answer"}, {"Question": "q", "Answer": "a"}, ["q", "a"]),
        ({"question": "answer", "answer": "question"}, {"question": "a", "answer": "q"}, ["q", "a"]),
        ({"prompt": "item.asked", "response": "item.told"}, {"item": {"asked": "q", "told": "a"}}, ["q", "a"]),
        ({"prompt": "a.b", "response": "c"}, {"a.b": "q", "c": "a"}, ["q", "a"]),
        ({"response": "chosen"}, {"prompt": "q", "chosen": "a", "rejected": "b"}, ["q", "a"]),
        ({"system": "rules"}, {"question": "q", "answer": "a", "rules": "s"}, ["s", "q", "a"]),
        ({"prompt": "q", "response": "a"}, {"messages": MESSAGES, "q": "Q", "a": "A"}, ["Q", "A"]),
        ({"response": "told"}, {"prompt": "q", "completion": "b", "messages": MESSAGES, "told": "a"}, ["q", "a"]),
        ({"question": "q", "answer": "a"}, {"prompt": "x", "response": "y", "q": "Q", "a": "A"}, ["Q", "A"]),
        ({"text": "body"}, {"prompt": "x", "completion": "y", "body": "Two words."}, ["Two words."]),
        ({"problem": "q"}, {"q": "Q", "solution": "A"}, ["Q", "A"]),
        ({"problem": "q"}, {"q": "Q", "solution": "A", "messages": MESSAGES}, ["Q", "A"]),
        ({"messages": "chat"}, {"reannotated_messages": OTHERS, "chat": MESSAGES}, ["m", "n"]),
        ({"problem": "q", "solution": "s"}, {"q": "Q", "s": "A", "reannotated_assistant_content": "x"}, ["Q", "A"]),
        ({"input": ""}, {"instruction": "q", "Input": "i", "output": "a"}, ["q", "a"]),
        ({"input": ""}, {"instruction": "q", "input": "i", "output": "a"}, ["q", "a"]),
        ({"input": "i"}, {"instruction": "q", "i": None, "output": "a"}, ["q", "a"]),
    ],
)
def test_columns_are_read_under_their_own_names(tmp_path, chatml, names, row, texts):
    config = DataConfig(written(tmp_path / "a.jsonl", [row] * 3), columns=names, validation_rows=0, test_rows=0)
    assert {tuple(said(each)) for each in load_data(config, chatml).train_conversations} == {tuple(texts)}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"promt": "q"}, r"data\.columns\.promt: no format has this column; did you mean prompt\?"),
        ({"xyz": "q"}, r"data\.columns\.xyz: no format has this column; there are answer, completion, "),
        (
            {"prompt": "Qestion"},
            r"row 1: data\.columns\.prompt: the row has no column 'Qestion'; did you mean 'Question'",
        ),
        ({"prompt": "question"}, r"the row has no column 'question'; did you mean 'Question'"),
        ({"prompt": "nothing"}, r"no column 'nothing'; its columns are Question, item"),
        ({"prompt": "item.asks"}, r"no column 'item\.asks'; did you mean 'asked'"),
        ({"prompt": "Question.x"}, r"no column 'Question\.x'; its columns are Question, item"),
    ],
)
def test_a_wrong_name_is_told_with_a_near_one(tmp_path, chatml, names, words):
    source = written(tmp_path / "a.jsonl", [{"Question": "q", "item": {"asked": "q"}}])
    with pytest.raises(QweftError, match=words) as fault:
        load_data(DataConfig(source, columns=names), chatml)
    assert "skip_bad_rows" not in str(fault.value)  # which would leave none


def test_a_wrong_name_of_one_of_several_sources_is_told_with_its_place(tmp_path, chatml):
    first = written(tmp_path / "a.jsonl", [{"prompt": "q", "completion": "a"}] * 3)
    second = written(tmp_path / "b.jsonl", [{"Question": "q", "Answer": "a"}] * 3)
    sources = [first, {"source": second, "columns": {"prompt": "Question", "response": "Nope"}}]
    config = DataConfig(sources=[each if isinstance(each, dict) else {"source": each} for each in sources])
    with pytest.raises(QweftError, match=r"row 1: data\.sources\[1\]\.columns\.response: the row has no column"):
        load_data(config, chatml)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"Question": "q", "Answer": "a"},
            "its columns are Question, Answer; read them as question [+ context] + answer by "
            "--data.columns.question Question --data.columns.answer Answer",
        ),
        ({"instruction ": "q", "output": "a"}, "by --data.columns.instruction 'instruction '"),
        (
            {"questions": "q", "answers": "a"},
            "read them as question [+ context] + answer by --data.columns.question questions",
        ),
        ({"\ufeffquestion": "q", "answer": "a"}, "by --data.columns.question '\ufeffquestion'"),
        ({"Message": []}, "read them as messages (role, content) by --data.columns.messages Message"),
        ({"prompt": "q", "Completion": "a"}, "read its column 'Completion' as completion by --data.columns.completion"),
        (
            {"question": "q", "answer": "a", "prompt": "t {x}"},
            "read question + answer by --data.columns.question question --data.columns.answer answer",
        ),
        ({"instruction": "q", "output": "a", "prompt": "t"}, "read instruction + output by --data.columns.instruction"),
        (
            {"question": "r", "Response": "", "id": 1, "answer_id": 5, "myResponse": 4, "best answer": "a"},
            "name the column to read by --data.columns.answer NAME, as 'best answer'",
        ),
        (
            {"problem": "q", "generated_solution": "a", "expected_answer": 4, "Answers2": "", "id": "i"},
            "by --data.columns.solution NAME, as generated_solution",
        ),
        (
            {"Instruction": "q", "Context": "c", "Response": "a"},
            "read them as instruction [+ input, context, history] + response by --data.columns.instruction Instruction "
            "--data.columns.response Response --data.columns.context Context",
        ),
        (
            {"question": "q", "text": "t", "best_answer": "a"},
            "by --data.columns.answer NAME, as best_answer, or read its text alone by --data.columns.text text",
        ),
        ({"question": "q", "Answer ": "a"}, "read its column 'Answer ' as answer by --data.columns.answer 'Answer '"),
        (
            {"output": "a", "words": "b"},
            "the closest format is instruction [+ input, context, history] + output, and instruction",
        ),
        (
            {"Type": "x", "Question": "q", "Best Answer": "a"},
            "by --data.columns.question Question --data.columns.answer NAME, as 'Best Answer'",
        ),
        (
            {"words": "b"},
            "its columns are words; name yours by --data.columns.prompt NAME --data.columns.response NAME",
        ),
        ({}, "its columns are none"),
    ],
)
def test_a_near_miss_is_told_with_the_option_that_reads_it(row, words):
    with pytest.raises(QweftError) as fault:
        to_conversation(row, "a.csv, row 1")
    assert words in str(fault.value) and len(str(fault.value)) < 400


TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
TOOLS = [{"name": "weather", "parameters": {}}]


@pytest.mark.parametrize(
    ("row", "names", "texts"),
    [
        ({"Question ": "q", "Answer": "a"}, {"question": "Question ", "answer": "Answer"}, ["q", "a"]),
        ({"Prompt": "q", "Response": "a"}, {"prompt": "Prompt", "response": "Response"}, ["q", "a"]),
        ({"prompt": "q", "Response": "a"}, {"response": "Response"}, ["q", "a"]),
        ({"Prompt": "q", "response": "a"}, {"prompt": "Prompt"}, ["q", "a"]),
        ({"prompts": "q", "responses": "a"}, {"prompt": "prompts", "response": "responses"}, ["q", "a"]),
        (
            {"Instruction": "q", "Input": "i", "Output": "a"},
            {"instruction": "Instruction", "output": "Output", "input": "Input"},
            ["q\n\ni", "a"],
        ),
        ({"instruction": "q", "Input": 0, "Output": "a"}, {"output": "Output", "input": "Input"}, ["q\n\n0", "a"]),
        ({"instruction": "q", "inputs": "i", "output": "a"}, {"input": "inputs"}, ["q\n\ni", "a"]),
        ({"instruction": "q", "History": [["b", "c"]], "output": "a"}, {"history": "History"}, ["b", "c", "q", "a"]),
        ({"prompt": "q", "completion": "a", "System": "s"}, {"system": "System"}, ["s", "q", "a"]),
        ({"Messages": TURNS, "Tools": TOOLS, "System": ""}, {"messages": "Messages", "tools": "Tools"}, ["q", "a"]),
        ({"question": "q", "answer": "a", "Group": 7}, {"group": "Group"}, ["q", "a"]),
        ({"Text": "Two words.", "Group": "g"}, {"text": "Text", "group": "Group"}, ["Two words."]),
    ],
)
def test_every_option_that_is_told_reads_the_row(tmp_path, chatml, row, names, texts):
    """All of it: an Input beside Instruction and Output would be lost without a word."""
    source = written(tmp_path / "a.jsonl", [row] * 3)
    config = DataConfig(source, validation_rows=0, test_rows=0, skip_bad_rows=True)
    with pytest.raises(QweftError) as fault:
        load_data(config, chatml)
    assert " ".join(f"--data.columns.{name} {shlex.quote(own)}" for name, own in names.items()) in str(fault.value)
    data = load_data(replace(config, columns=names), chatml)
    assert said(data.train_conversations[0]) == texts and data.report.rows == 3
    assert "Group" not in row or data.train_conversations[0].group == str(row["Group"])
    assert "Tools" not in row or "weather" in data.train_conversations[0].tools
    assert set(names) < columns()


def test_numbers_are_likely_answers_only_where_no_text_is():
    row = {"question": "q", "n_answers": 3, "id": 1}
    for more, told in (({}, "n_answers"), ({"best answer": "a", "my_response": "b"}, "'best answer' or my_response")):
        with pytest.raises(RowError) as fault:
            to_conversation({**row, **more}, "here")
        assert str(fault.value).endswith(f"name the column to read by --data.columns.answer NAME, as {told}")


@pytest.mark.parametrize(
    "row",
    [
        {"id": 1, "source": "s", "score": 0.5, "topic": "t", "instruction": "q", "contexts": "", "output": "a"},
        {"instruction": "q", "input": "", "inputs": "other", "output": "a"},
        {"instruction": "q", "Input": "", "output": "a", "History": []},
        {"instruction": "q", "Input": None, "output": "a", "tools": "hammer", "Tools": "hammer"},
        {"question": "q", "answer": "a", "Group": float("nan"), "Groups": ["g"], "Input": "i", "History": "h"},
        {"question": "q", "answer": "a", "system_prompt": "s", "System": True, "groups": {"a": 1}},
        {"messages": TURNS, "tool": "search", "Tools": "[]"},
        {"prompt": "q", "completion": "a", "Response": "b"},
    ],
)
def test_other_columns_are_left_alone(row):
    assert said(to_conversation(row, "here")) == ["q", "a"]


def test_a_class_beside_an_answer_is_left_out_by_an_empty_name():
    row = {"prompt": "q", "completion": "a", "label": 0}
    check_columns({"label": ""}, columns())
    assert said(to_conversation(renamed(row, {"label": ""}, "here"), "here")) == ["q", "a"]
    with pytest.raises(QweftError, match="no format has this column"):
        check_columns({"label": "kind"}, columns())


def test_a_line_of_a_log_is_no_list_of_messages():
    row = {"text": "all of it", "message": "[INFO] started"}
    assert said(to_conversation(row, "here")) == ["all of it"]
    with pytest.raises(QweftError, match="beside text its columns are those of messages"):
        to_conversation(row | {"message": json.dumps(TURNS)}, "here")


@pytest.mark.parametrize(
    ("names", "row", "words"),
    [
        ({"input": "context"}, {"question": "q", "context": "c", "answer": "a"}, "read as question .* has no input"),
        ({"input": "context"}, {"prompt": "q", "completion": "a", "context": "c"}, "prompt . completion, .* no input"),
        ({"history": "h"}, {"question": "q", "answer": "a", "h": [["b", "c"]]}, "question .* has no history"),
        ({"tools": "t"}, {"prompt": "q", "completion": "a", "t": TOOLS}, "has no tools"),
        ({"system": "s"}, {"text": "words", "s": "rules"}, "read as text, which has no system"),
        ({"prompt": "q", "answer": "b"}, {"q": "q", "completion": "a", "b": "b"}, "has no answer"),
        ({"completion": "c", "response": "r"}, {"prompt": "q", "c": "a", "r": "b"}, "has no response"),
    ],
)
def test_a_column_that_the_format_does_not_read_is_not_named_in_vain(tmp_path, chatml, names, row, words):
    config = DataConfig(written(tmp_path / "a.jsonl", [row] * 3), columns=names, skip_bad_rows=True)
    with pytest.raises(QweftError, match=rf"row 1: data\.columns\.\w+ \w+: the row is .*{words}"):
        load_data(config, chatml)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "learn the chosen ones by --data.columns.response chosen,"),
        ({"chosen": "q a", "rejected": "q b"}, "by --data.columns.text chosen, or give .* TRL's DPOTrainer"),
        ({"prompt": "q", "chosen": TURNS, "rejected": TURNS}, "by --data.columns.messages chosen"),
        (
            {"conversations": TURNS[:1], "chosen": TURNS[1], "rejected": TURNS[1]},
            "put each chosen one at the end of its conversation, and leave out both columns, or",
        ),
        ({"messages": TURNS[:1], "chosen": "a", "rejected": "b"}, "put each chosen one at the end of its conversation"),
        (
            {"asked": "q", "chosen": "a", "rejected": "b"},
            "name the questions and the chosen ones by --data.columns.prompt NAME --data.columns.response chosen, or",
        ),
        ({"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": TURNS[1:]}, "by --data.columns.completion chosen"),
        (
            {"prompt": "q", "chosen": str(TURNS), "rejected": "b"},
            "save the rows as .jsonl, where lists stay lists, and",
        ),
        ({"prompt": "q", "completion": "a", "label": False}, "label False tells good answers from bad .*KTOTrainer"),
        ({"prompt": "q", "completion": "a", "label": True}, "keep the rows whose label is true, without this column"),
        ({"messages": TURNS, "label": False}, "label False tells"),
        ({"prompt": "q", "completion": "a", "label": "False"}, "label False tells"),
        ({"question": "q", "answer": "a", "label": "true"}, "label true tells"),
        ({"question": "q", "answer": "a", "Label": False}, "Label False tells"),
        (
            {"prompt": "q", "completion": "a", "label": 0},
            "label 0 tells .*where it is a class, leave it out by --data.columns.label ''",
        ),
        ({"prompt": "q", "response": "a", "label": "1"}, "label 1 tells"),
    ],
)
def test_preferences_are_refused(tmp_path, chatml, row, words):
    """And not left out either: then the good ones alone would have to be told from the bad."""
    config = DataConfig(written(tmp_path / "a.jsonl", [row] * 3), validation_rows=0, test_rows=0, skip_bad_rows=True)
    with pytest.raises(QweftError, match=f"a.jsonl, row 1: .*{words}"):
        load_data(config, chatml)


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"prompt": "q", "chosen": TURNS, "rejected": TURNS}, {"messages": "chosen"}),
        ({"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": TURNS[1:]}, {"completion": "chosen"}),
        ({"prompt": "q", "chosen": json.dumps(TURNS), "rejected": json.dumps(TURNS)}, {"messages": "chosen"}),
        ({"chosen": json.dumps(TURNS), "rejected": json.dumps(TURNS)}, {"messages": "chosen"}),
        (
            {"prompt": json.dumps(TURNS[:1]), "chosen": json.dumps(TURNS[1:]), "rejected": json.dumps(TURNS[1:])},
            {"completion": "chosen"},
        ),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, {"response": "chosen"}),
        ({"chosen": "q a", "rejected": "q b"}, {"text": "chosen"}),
        ({"system": "s", "question": "q", "chosen": "a", "rejected": "b"}, {"answer": "chosen"}),
        ({"instruction": "s", "input": "q", "chosen": "a", "rejected": "b"}, {"output": "chosen"}),
        ({"query": "q", "chosen": "a", "rejected": "b", "id": "x"}, {"response": "chosen"}),
        ({"problem": "q", "chosen": "a", "rejected": "b"}, {"solution": "chosen"}),
    ],
)
def test_the_way_out_of_preferences_learns_the_chosen_answers(tmp_path, chatml, row, names):
    """With all that asks for them."""
    config = DataConfig(written(tmp_path / "a.jsonl", [row] * 3), validation_rows=0, test_rows=0)
    ((name, own),) = names.items()
    with pytest.raises(QweftError, match=f"--data.columns.{name} {own}"):
        load_data(config, chatml)
    found = said(load_data(replace(config, columns=names), chatml).train_conversations[0])
    assert found[-1] in ("a", "q a") and "q" in "".join(found)
    assert {"system", "instruction"}.isdisjoint(row) or "s" in found[0]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "q", "text": "Two words."}, "answer is missing.*; read its text alone by --data.columns.text"),
        ({"query": "q", "text": "Two words."}, "response is missing"),
        ({"question": "q", "answer": None, "text": "Two words."}, "answer is missing"),
        ({"question": "q", "Answer": "a", "text": "Two words."}, "'Answer' as answer by --data.columns.answer Answer"),
        (
            {"Instruction": "q", "Input": "i", "Output": "a", "text": "Two words."},
            "output but for their names; read them by --data.columns.instruction Instruction --data.columns.output "
            "Output --data.columns.input Input, or the text alone by --data.columns.text text",
        ),
        ({"Messages": TURNS, "text": "Two words."}, "by --data.columns.messages Messages, or the text alone"),
    ],
)
def test_a_text_beside_a_question_is_no_plain_text_unless_it_is_named(tmp_path, chatml, row, words):
    config = DataConfig(written(tmp_path / "a.jsonl", [row] * 3), validation_rows=0, test_rows=0)
    with pytest.raises(QweftError, match=words):
        load_data(config, chatml)
    data = load_data(replace(config, columns={"text": "text"}), chatml)
    assert said(data.train_conversations[0]) == ["Two words."]


@pytest.mark.parametrize(
    "more",
    [
        {"input": "i", "output": "o"},
        {"title": "t", "url": "u", "id": 3, "label": 1, "Input": "i"},
        {"message": "m", "conversation": 7, "questions": ["q"], "answers": ["a"]},
        {"Question": "q", "completion": "a"},
    ],
)
def test_a_text_beside_other_columns_is_plain_text(more):
    assert said(to_conversation({"text": "Two words.", **more}, "here")) == ["Two words."]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "answer": "a", "score": 0.1, "rating": 1},
        {"question": "q", "answer": "a", "label": 0},
        {"question": "q", "answer": "a", "label": "animals"},
        {"prompt": "q", "completion": "a", "label": 2, "labels": [0, 1]},
        {"text": "words", "label": False},
        {"prompt": "q", "completion": "a", "rejected": "b"},
    ],
)
def test_scores_and_classes_are_no_preferences(row):
    assert to_conversation(row, "here").answer in ("a", "words")


def test_the_command_line_and_a_config_name_columns(tmp_path, capsys):
    model = ["--model.name", save_tiny_model(tmp_path / "model")]
    (tmp_path / "a.csv").write_text("Question,My answer\n" + "".join(f"Say {n},It is {n}.\n" for n in range(30)))
    words = ["--data.columns.prompt", "Question", "--data.columns.response", "My answer"]
    assert main(["data", "check", str(tmp_path / "a.csv"), *words, *model]) == 0
    assert "30 rows of prompt + completion" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "run.yaml").write_text(
        f"data:\n  source: {tmp_path}/a.csv\n  columns: {{prompt: Question, response: My answer}}\n"
    )
    assert main(["train", str(tmp_path / "run.yaml"), "--dry-run", *model, "--output", str(tmp_path / "out")]) == 0
    assert "a.csv: 30 rows" in " ".join(capsys.readouterr().out.split())


def test_the_help_lists_the_formats(capsys):
    with pytest.raises(SystemExit):
        main(["data", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "prompt + completion" in out and "conversations (from, value)" in out and "--data.columns.KEY" in out


@pytest.mark.parametrize(("separator", "words"), [(";", "a semicolon"), ("\t", "a tab"), ("|", "a bar")])
def test_a_csv_with_another_separator_is_told(tmp_path, chatml, separator, words):
    (tmp_path / "a.csv").write_text(f"question{separator}answer\n2+2?{separator}4, of course\n")
    with pytest.raises(QweftError, match=rf"the first line is one column, .*as {words} separates no columns in a .csv"):
        load_data(DataConfig(str(tmp_path / "a.csv")), chatml)


def test_leaving_rows_out_is_offered_only_where_some_are_read(tmp_path, chatml):
    good, bad = {"question": "q", "answer": "a"}, {"words": "w"}
    for rows, is_offered in (([bad, good], False), ([good, bad], True)):
        with pytest.raises(QweftError, match="the format is not known") as error:
            load_data(DataConfig(written(tmp_path / "a.jsonl", rows)), chatml)
        assert ("skip_bad_rows" in str(error.value)) == is_offered
    with pytest.raises(QweftError, match="skip_bad_rows true leaves such rows out"):
        load_data(DataConfig(written(tmp_path / "a.jsonl", [good | {"answer": ""}, good])), chatml)


@pytest.mark.parametrize(
    ("row", "said", "unsaid"),
    [
        (
            {"prompt": "q", "responses": ["a", "b"]},
            "its column 'responses' holds a list, not text; name",
            "response responses",
        ),
        ({"question": "q", "answers": {"text": "a"}}, "its column 'answers' holds an object, not text", "r answers"),
        ({"question": "q", "Answer": True}, "its column 'Answer' holds true or false, not text", "Answer Answer"),
        ({"query": "q", "Responses": MESSAGES[1:]}, "its column 'Responses' holds a list, not text", "Responses Resp"),
        ({"Messages": ["q", "a"]}, "its column 'Messages' holds a list, not messages", "columns.messages"),
        ({"prompt": None, "response": "a"}, "'prompt' holds nothing; the closest format is prompt + resp", ", as 'p"),
        ({"text": {"a": "b"}, "question": "q"}, "name the column to read by --data.columns.answer NAME", "text text"),
        ({"prompt": MESSAGES[:1], "Responses": MESSAGES[1:]}, "read its column 'Responses' as response by", "holds"),
        ({"question": "q", "Answer": ""}, "read its column 'Answer' as answer by --data.columns.answer", "holds"),
    ],
)
def test_a_way_out_names_only_columns_that_can_be_read(row, said, unsaid):
    with pytest.raises(RowError) as fault:
        to_conversation(row, "a.jsonl, row 1")
    assert said in str(fault.value) and unsaid not in str(fault.value)
