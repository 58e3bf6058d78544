import json
import re

import pytest

from qweft.data.columns import renamed
from qweft.data.formats import format_of, known, to_conversation
from qweft.data.naming import of_named, unread_of
from qweft.data.turns import RowError
from qweft.errors import QweftError


def said(row):
    return [(message.role, message.content) for message in to_conversation(row, "here").messages]


def unread(row, columns=None):
    named = of_named(renamed(row, columns or {}, "here"), columns or {}, "here")
    return unread_of(row, named, format_of(named), columns or {})


ASKED = [("user", "2+2?"), ("assistant", "4")]
ASKED_TURNS = [{"role": role, "content": content} for role, content in ASKED]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]},
        {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
        {"prompt": "2+2?", "completion": "4"},
        {
            "prompt": [{"role": "user", "content": "2+2?"}],
            "completion": [{"role": "assistant", "content": "4"}],
        },
        {"prompt": "2+2? ", "completion": ASKED_TURNS},
        {"prompt": ASKED_TURNS[:1], "completion": ASKED_TURNS},
        {"instruction": "2+2?", "input": "", "output": "4"},
        {"question": "2+2?", "answer": 4},
        {"query": "2+2?", "response": "4", "type": "GSM_Rephrased"},
        {"problem": "2+2?", "reannotated_assistant_content": "4", "solution": "other"},
        {"problem": "2+2?", "solution": "4"},
        {"prompt": "2+2?", "response": "4"},
        {
            "reannotated_messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}],
            "messages": [],
        },
        {"input": "2+2?", "reasoning_content": "", "content": "4"},
        {"input": "2+2?", "reasoning_content": None, "content": "4"},
        {"prompt": "", "instruction": " ", "messages": "", "question": "2+2?", "answer": "4"},
        {"instruction": "", "input": "2+2?", "output": "4", "question": "q", "answer": "other"},
        {"question": "2+2?", "answer": "4", "input": "i", "reasoning_content": None, "content": "other"},
    ],
)
def test_every_format_says_the_same(row):
    assert said(row) == ASKED


def test_alpaca_joins_input_and_reads_history():
    row = {"instruction": "Add", "input": "2, 2", "output": "4", "history": [["hi", "hello"]]}
    assert said(row) == [("user", "hi"), ("assistant", "hello"), ("user", "Add\n\n2, 2"), ("assistant", "4")]


def test_a_completion_with_the_prompt_in_it_is_the_conversation():
    system = {"role": "system", "content": "Be brief."}
    for prompt in ("2+2?", [system, ASKED_TURNS[0]]):
        assert said({"prompt": prompt, "completion": [system, *ASKED_TURNS]}) == [("system", "Be brief."), *ASKED]
    assert said({"prompt": "1+1?", "completion": ASKED_TURNS}) == [("user", "1+1?"), *ASKED]
    for before in ([system], ASKED_TURNS):  # the completion has the end of the prompt alone
        row = {"prompt": [*before, ASKED_TURNS[0]], "completion": ASKED_TURNS}
        assert said(row) == [(turn["role"], turn["content"]) for turn in (*before, *ASKED_TURNS)]


def test_lists_may_be_json_texts_as_in_csv_files():
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    for key in ("messages", "conversations"):
        row = {key: json.dumps(ASKED_TURNS), "tools": json.dumps(tools)}
        assert said(row) == ASKED and json.loads(to_conversation(row, "here").tools) == tools
    for key in ("completion", "response"):
        row = {"prompt": json.dumps(ASKED_TURNS[:1]), key: json.dumps(ASKED_TURNS[1:]), "tools": json.dumps(tools)}
        assert said(row) == ASKED and json.loads(to_conversation(row, "here").tools) == tools
        assert said(of_named(row, {"tools": "tools"}, "here")) == ASKED
    alpaca = {"instruction": "2+2?", "output": "4"}
    assert said({**alpaca, "history": "[]"}) == ASKED
    assert said({**alpaca, "history": '[["hi", "hello"]]'}) == [("user", "hi"), ("assistant", "hello"), *ASKED]


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("Write a chat.", json.dumps(ASKED_TURNS)),
        (json.dumps(ASKED_TURNS), "polite"),
        (json.dumps(ASKED_TURNS), '[{"role": "judge", "verdict": 1}]'),
        ("[1, 2] + [3]?", "[1, 2, 3]"),
        ("[]", "[]"),
        ("[INST] hi", "[OUT] hi"),
    ],
)
def test_one_list_as_json_text_is_a_text(prompt, completion):
    assert said({"prompt": prompt, "completion": completion}) == [("user", prompt), ("assistant", completion)]


def test_an_input_of_zero_is_one():
    for given, asked in ((0, "Double\n\n0"), (0.0, "Double\n\n0.0"), ("", "Double"), (None, "Double")):
        assert said({"instruction": "Double", "input": given, "output": "0"})[0] == ("user", asked)


def test_a_system_column_goes_first_unless_it_is_there():
    assert said({"question": "q", "answer": "a", "system": "Be kind."})[0] == ("system", "Be kind.")
    for held in ("Be  kind.\n", "", " "):
        turns = [{"role": "system", "content": held}, *ASKED_TURNS]
        assert said({"messages": turns, "system": "Be kind."}) == [
            ("system", held if held.strip() else "Be kind."),
            *ASKED,
        ]
    turns = [{"role": "developer", "content": "Be brief."}, *ASKED_TURNS]
    assert said({"messages": turns, "system": ""})[0] == ("system", "Be brief.")
    with pytest.raises(
        RowError, match=r"^here: its column system and its first message, .* --data\.columns\.system ''$"
    ):
        said({"messages": turns, "system": "Be kind."})
    assert said(of_named({"messages": turns, "system": None}, {"system": ""}, "here"))[0] == ("system", "Be brief.")


def test_turns_after_the_last_answer_are_left_out():
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user")]
    assert said({"messages": turns}) == [("user", "user"), ("assistant", "assistant")]


def test_lists_of_messages_as_python_writes_them_are_refused():
    row = {"prompt": "[{'role': 'user', 'content': 'hi'}]", "completion": "[{'content': 'yo', 'role': 'assistant'}]"}
    with pytest.raises(QweftError, match=r"here: prompt and completion are lists of messages as Python writes them"):
        to_conversation(row, "here")
    found = to_conversation({"prompt": "Write a list of messages.", "completion": row["prompt"]}, "here")
    assert found.answer == row["prompt"]


def test_a_greeting_before_the_question_is_no_answer_to_it():
    begins = [{"role": "system", "content": "s"}, {"role": "assistant", "content": "Hello!"}]
    asks = [*begins, {"role": "user", "content": "Q"}]

    def group(*said):
        return to_conversation({"messages": [*said]}, "here").group

    one = group(*asks, {"role": "assistant", "content": "A"})
    longer = [*asks, {"role": "assistant", "content": "B"}, {"role": "user", "content": "R"}]
    assert one == group(*longer, {"role": "assistant", "content": "C"})
    assert one != group(*begins, {"role": "user", "content": "P"}, {"role": "assistant", "content": "A"})


def test_rows_without_a_question_are_groups_by_what_they_say():
    rows = [[{"role": "system", "content": s}, {"role": "assistant", "content": a}] for s in "ab" for a in "cd"]
    assert len({to_conversation({"messages": row}, "here").group for row in [*rows, *rows]}) == 4


def test_groups():
    def group(**row):
        return to_conversation(row, "here").group

    assert group(question="Q  one", answer="a") == group(prompt="q ONE", completion="b", system="s")
    assert group(question="Q one", answer="a") != group(question="Q two", answer="a")
    assert group(question="Q one", answer="a", group=7) == "7"
    assert group(query="x", response="y", original_question="Q one") == group(question="q  one", answer="a")
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user", "assistant")]
    assert group(messages=turns) == group(messages=turns[:2])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "q"}, "there is a question but no answer (answer is missing)"),
        ({"problem": "q"}, "there is a problem but no answer"),
        ({"question": "q", "answer": " "}, "the answer (answer) is empty"),
        ({"prompt": "q", "completion": None}, "there is no answer (completion is missing)"),
        ({"instruction": "q", "output": ""}, "the answer (output) is empty"),
        ({"messages": []}, "no answer to learn from"),
        ({"messages": [{"role": "user", "content": "q"}]}, "no answer to learn from"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "asks for it; put a system message before it"),
        ({"messages": [{"role": "usr", "content": "q"}]}, "message 1 has role 'usr'"),
        ({"messages": [{"role": "user", "content": None}]}, "message 1 has no text content"),
        (
            {"messages": [{"role": "assistant", "content": "a", "reasoning_content": ["r"]}]},
            "reasoning_content of message 1 is list, not text; leave it out",
        ),
        ({"messages": ["q"]}, "message 1 is str"),
        ({"messages": "q"}, "a list of messages was expected, not str"),
        (
            {"messages": "[{'role': 'user'}]"},
            "messages: not JSON but messages as Python writes them; save the rows as .jsonl",
        ),
        ({"conversations": [{"from": "gpt", "value": ""}]}, "the answer in message 1 is empty"),
        ({"instruction": "q", "output": "a", "history": ["x"]}, "history entry 1 is not a pair"),
        ({"question": ["q"], "answer": "a"}, "question is list, not text"),
        ({"words": "once"}, "the format is not known"),
        ({"question": "q", "answer": float("nan")}, "answer is nan, not text"),
        ({"question": "q", "answer": "a\x00b"}, "message 2 (assistant) holds a NUL character"),
        ({"question": "q\ud800", "answer": "a"}, r"message 1 (user) holds half a character, '\ud800'"),
        (
            {"query": "q", "response": "a", "original_question": "\ud800"},
            r"original_question holds half a character, '\ud800'",
        ),
        ({"query": "q", "response": "a", "group": "\ud800"}, r"group holds half a character, '\ud800'"),
        ({"text": "a\x00"}, "the text holds a NUL character"),
        ({"question": " ", "answer": "a"}, "what stands before the answer is empty"),
        ({"question": "q", "answer": "a", "system": 5.5j}, "system is complex, not text"),
        ({"question": "q", "answer": "a", "group": ["g"]}, "group is list, not text"),
        ({"instruction": "q", "output": "a", "history": 5}, "history is int, not a list of pairs"),
        ({"instruction": "q", "output": "a", "history": [["q", None]]}, "history entry 1 is NoneType, not text"),
        ({"instruction": "q", "output": "a", "history": [["q", ""]]}, "the answer in history entry 1 is empty"),
        ({"reasoning_content": "r", "content": "a"}, "input is missing"),
    ],
)
def test_a_bad_row_is_named(row, words):
    with pytest.raises(QweftError) as fault:
        to_conversation(row, "data.jsonl, row 3")
    assert str(fault.value).startswith("data.jsonl, row 3: ")
    assert words in str(fault.value)
    assert "messages (role, content); " not in str(fault.value)  # the list of all formats helps with none of these


def test_a_chain_of_thought_in_a_column_or_key_of_its_own_stands_before_its_answer():
    thought = "<think>\nadd\n</think>\n\n4"
    assert said({"input": "2+2?", "reasoning_content": "\nadd\n", "content": "4"})[1] == ("assistant", thought)
    turns = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4", "reasoning_content": "add"}]
    assert said({"messages": turns})[1] == ("assistant", thought)


THOUGHT_ROWS = {
    "prompt": {"prompt": "2+2?", "completion": "4"},
    "prompt of messages": {"prompt": ASKED_TURNS[:1], "completion": [{"role": "assistant", "content": "4"}]},
    "instruction": {"instruction": "2+2?", "output": "4"},
    "question": {"question": "2+2?", "answer": "4"},
    "query": {"query": "2+2?", "response": "4"},
    "problem": {"problem": "2+2?", "solution": "4"},
    "messages": {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]},
    "conversations": {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
    "input": {"input": "2+2?", "content": "4"},
}


@pytest.mark.parametrize("name", THOUGHT_ROWS)
def test_a_column_of_thoughts_is_read_beside_every_format_that_has_answers(name):
    row, thought = THOUGHT_ROWS[name], ("assistant", "<think>\nadd\n</think>\n\n4")
    assert said({**row, "reasoning_content": " add\n"})[-1] == thought
    assert format_of({**row, "reasoning_content": "add"}).startswith(name.split()[0])
    for nothing in ("", " ", float("nan"), False) if name != "input" else ("", " "):
        assert said({**row, "reasoning_content": nothing})[-1] == ("assistant", "4")
    columns = {key: key for key in row} | {"reasoning_content": "cot"}
    renamed_row = renamed({**row, "cot": "add"}, columns, "here")
    assert to_conversation(of_named(renamed_row, columns, "here"), "here").answer == thought[1]
    if name != "input":
        with pytest.raises(QweftError, match=r"'Reasoning_Content' would not be read; read it as reasoning_content"):
            to_conversation({**row, "Reasoning_Content": "add"}, "here")


def test_a_column_of_thoughts_and_a_thought_in_the_answer():
    def last(answer, thought="add"):
        asked = {"role": "user", "content": "2+2?"}
        turns = [asked, {"role": "assistant", "content": "3"}, asked, {"role": "assistant", "content": answer}]
        return [text for _, text in said({"messages": turns, "reasoning_content": thought})][1::2]

    assert last("4") == ["3", "<think>\nadd\n</think>\n\n4"]  # of the last answer
    assert last("<think>add</think>4") == ["3", "<think>add</think>4"]
    assert last("<think>\n\n</think>\n\n4") == ["3", "<think>\nadd\n</think>\n\n4"]
    with pytest.raises(RowError, match=r"differ, .*; leave out the column by --data.columns.reasoning_content ''$"):
        last("<think>count</think>4")
    with pytest.raises(RowError, match=r"is no text, and is read as one thought; .* --data.columns.reasoning_content"):
        last("4", ["add"])
    assert last("4", []) == last("4", "") == ["3", "4"]
    assert last("add\n</think>\n\n4")[1] == "add\n</think>\n\n4"  # opened by the prompt
    assert last("Sure.\n<think>a\r\nb</think>4", "a b")[1] == "Sure.\n<think>a\r\nb</think>4"
    alone = {"text": "text"}
    row = renamed({"text": "a b c", "reasoning_content": "add"}, alone, "here")
    assert to_conversation(of_named(row, alone, "here"), "here").is_text


def answered(**keys):
    """A row whose answer has these keys too."""
    asked, answer = ASKED_TURNS
    return {"messages": [asked, {**answer, **keys}]}


@pytest.mark.parametrize("key", ["thinking", "reasoning", "Reasoning_Content", "reasoningContent", "Thinking"])
def test_a_chain_of_thought_has_several_names(key):
    """As in the chat template of gpt-oss, and in answers of several servers."""
    thought = ("assistant", "<think>\nadd\n</think>\n\n4")
    assert said(answered(**{key: " add"})) == [ASKED[0], thought]
    assert said(answered(**{key: "add", "reasoning_content": "add\n"})) == [ASKED[0], thought]
    assert said(answered(**{key: "add", "content": "<think>add</think>4"}))[1][1] == "<think>add</think>4"
    for nothing in (None, "", " ", True, False, []):  # a flag says how it was asked
        assert said(answered(**{key: nothing})) == ASKED
    with pytest.raises(RowError, match=rf"^here: {key} of message 2 is dict, not text; leave it out$"):
        said(answered(**{key: {"text": "add"}}))
    with pytest.raises(RowError, match=rf"^here: {key} and REASONING of message 2 differ; keep one of them$"):
        said(answered(**{key: "add", "REASONING": "count"}))


@pytest.mark.parametrize(
    "mark",
    [{"weight": 0}, {"train": False}, {"trainable": False}, {"training": False}, {"loss": False}, {"loss": 0},
     {"loss_weight": 0.0}, {"masked": True}, {"train": "false"}, {"weight": "0"}, {"Train": 0}],
)  # fmt: skip
def test_an_answer_that_is_marked_as_not_to_be_learned_is_refused(mark):
    ((key, value),) = mark.items()
    with pytest.raises(RowError, match=rf"message 2 has {key} {value}, which means not to learn it; take it out"):
        said(answered(**mark))
    assert said(answered(**{key: key != "masked"})) == said(answered(**{key: None})) == ASKED


def test_dolly_calls_input_and_output_context_and_response():
    row = {"instruction": "Who won?", "context": "Ann beat Bo.", "response": "Ann.", "category": "closed_qa"}
    told = [("user", "Who won?\n\nAnn beat Bo."), ("assistant", "Ann.")]
    assert said(row) == told and unread(row) == ["category"]
    assert said({**row, "context": ""}) == said({**row, "context": None}) == [("user", "Who won?"), told[1]]
    assert said({**row, "input": "Briefly."})[0] == ("user", "Who won?\n\nBriefly.\n\nAnn beat Bo.")
    assert said({**row, "output": "Ann did."})[1] == ("assistant", "Ann did.")
    assert unread({**row, "output": "Ann did."}) == ["response", "category"]
    with pytest.raises(QweftError, match="its column 'Context' would not be read; read it as context by"):
        said({"Context" if key == "context" else key: value for key, value in row.items()})
    named = {"instruction": "instruction", "response": "mine"}
    chosen = of_named(renamed({**row, "output": "no", "mine": "Ann won."}, named, "here"), named, "here")
    assert said(chosen) == [told[0], ("assistant", "Ann won.")]


@pytest.mark.parametrize("asks, answers", [("question", "answer"), ("query", "response"), ("problem", "solution")])
def test_a_context_follows_the_question(asks, answers):
    row = {asks: "How many?", "context": "CREATE TABLE t", answers: "SELECT"}
    assert said(row) == [("user", "How many?\n\nCREATE TABLE t"), ("assistant", "SELECT")] and unread(row) == []
    groups = {to_conversation({**row, "context": text}, "here").group for text in ("CREATE TABLE t", "other", "")}
    assert len(groups) == 3
    assert said({**row, "context": 5})[0] == ("user", "How many?\n\n5")
    assert said({**row, "context": "How many?"})[0] == ("user", "How many?")
    with pytest.raises(RowError, match="what stands before the answer is empty"):
        said({**row, asks: " "})
    for other in ({"sentences": ["a"]}, float("nan"), " ", None):  # HotpotQA's is an object
        assert said({**row, "context": other})[0] == ("user", "How many?")
    assert unread({**row, "context": {"sentences": ["a"]}}) == ["context"]


def test_a_response_of_two_columns_that_ask_is_not_guessed():
    row = {"instruction": "Solve.", "problem": "1+1?", "response": "2", "id": 7}
    with pytest.raises(RowError, match="instruction and problem both ask, and response answers one of them") as fault:
        said(row)
    found = re.findall(r"--data.columns.(\w+) (\w+) --data.columns.(\w+) (\w+)", str(fault.value))
    assert len(found) == 2
    for (asks, own, answers, answered), text, other in zip(
        found, ("Solve.", "1+1?"), ("problem", "instruction"), strict=True
    ):
        columns = {asks: own, answers: answered}
        named = of_named(renamed(row, columns, "here"), columns, "here")
        assert said(named) == [("user", text), ("assistant", "2")] and unread(row, columns) == [other, "id"]
    row = {"instruction": "Solve.", "question": "1+1?", "answer": "two", "response": "2"}
    with pytest.raises(RowError, match=r"or --data.columns.question question --data.columns.answer answer$"):
        said(row)
    row = {"instruction": "Solve.", "question": "1+1?", "output": "two", "response": "2"}
    with pytest.raises(RowError, match="instruction and question both ask"):
        of_named(renamed(row, {"response": "response"}, "here"), {"response": "response"}, "here")
    for asks in ("problem", "question"):
        row = {"instruction": "Be brief.", asks: "2+2?", "reply": "4"}
        with pytest.raises(RowError, match=f"instruction and {asks} both ask.* --data.columns.output reply, or"):
            of_named(renamed(row, {"response": "reply"}, "here"), {"response": "reply"}, "here")
    row = {"instruction": "Be brief.", "query": "2+2?", "reply": "4"}
    named = of_named(renamed(row, {"response": "reply"}, "here"), {"response": "reply"}, "here")
    assert said(named) == ASKED and unread(row, {"response": "reply"}) == ["instruction"]


@pytest.mark.parametrize("empty", [None, "", " "])
def test_empty_columns_are_those_of_other_rows(empty):
    dolly = {"instruction": "2+2?", "output": empty, "response": "4", "query": empty, "question": empty}
    assert said(dolly) == said({"prompt": "2+2?", "completion": empty, "response": "4"}) == ASKED
    columns = {"response": "answer"}
    row = {"instruction": empty, "prompt": empty, "query": "2+2?", "answer": "4"}
    assert said(of_named(renamed(row, columns, "here"), columns, "here")) == ASKED


def test_a_named_context_that_is_no_text():
    row = {"question": "q", "answer": "a", "passage": ["b"]}
    with pytest.raises(RowError, match=r"^here: data\.columns\.context passage: it holds a list, not text$"):
        of_named(renamed(row, {"context": "passage"}, "here"), {"context": "passage"}, "here")


def test_what_was_named_away_is_not_read():
    row = {"question": "q", "answer": "a", "messages": [{"role": "user"}], "solution": "s", "output": "o", "id": 1}
    columns = {"question": "question", "answer": "answer"}
    assert unread(row, columns) == ["messages", "solution", "output", "id"]
    assert unread({"instruction": "q", "output": "bad", "reply": "a"}, {"output": "reply"}) == ["output"]
    assert unread({"question": "q", "answer": "a", "label": 1}, {"label": ""}) == []


@pytest.mark.parametrize("as_text", [False, True])
def test_functions_are_read_as_tools(as_text):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    row = {"prompt": turns[:1], "completion": turns[1:], "functions": [{"name": "f", "parameters": {}}]}
    row = {key: json.dumps(value) if as_text else value for key, value in row.items()}
    assert unread(row) == [] and unread({**row, "prompt": "q", "completion": "a"}) == ["functions"]


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        (
            {"question": "a", "answer": "b", "context": ["c"], "id": 0, "tags": [], "note": " ", "to": float("nan")},
            ["context", "id"],
        ),
        ({"messages": [], "tools": [], "prompt_id": "p"}, ["prompt_id"]),
        ({"prompt": "a", "response": "b", "system": "s", "group": "g"}, []),
        ({"prompt": "a", "completion": "b", "response": "c"}, ["response"]),
        ({"text": "a", "label": 1, "system": "s"}, ["label", "system"]),
        ({"problem": "a", "reannotated_assistant_content": "b", "solution": "c"}, ["solution"]),
    ],
)
def test_columns_that_are_not_read(row, columns):
    assert unread(row) == columns


def test_a_plain_text():
    (message,) = to_conversation({"text": "Once upon a time."}, "here").messages
    assert (message.role, message.content) == ("text", "Once upon a time.")
    one, other = (to_conversation({"text": text}, "here") for text in ("Once  upon\na time.", "once upon a time."))
    assert one.is_text and one.group == other.group
    assert to_conversation({"text": "a", "group": "b"}, "here").group == "b"
    assert not to_conversation({"text": "no", "question": "2+2?", "answer": "4"}, "here").is_text
    with pytest.raises(QweftError, match="here: the text is empty"):
        to_conversation({"text": " \n"}, "here")


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"messages": []}, "messages (role, content)"),
        ({"conversations": []}, "conversations (from, value)"),
        ({"prompt": "a", "completion": "b"}, "prompt + completion"),
        ({"instruction": "a", "output": "b"}, "instruction [+ input, context, history] + output"),
        ({"input": "a", "reasoning_content": "b", "content": "c"}, "input + reasoning_content + content"),
        ({"question": "a", "answer": "b"}, "question [+ context] + answer"),
        ({"problem": "a", "solution": "b"}, "problem [+ context] + solution"),
        ({"text": "a"}, "text"),
        ({"words": "a"}, "unknown"),
    ],
)
def test_what_a_format_is_called(row, name):
    assert format_of(row) == name and (name in known() or name == "unknown")
