"""Files of every format, whose rows the golden record holds. Not a row may change, or the record would not fit."""

import json

import pyarrow
from pyarrow import parquet

WORDS = ["river", "stone", "lamp", "seven", "green", "window", "honest", "bread", "orange", "winter"]
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": {}}}]


def words(seed, count):
    """Some words, others for another seed."""
    return " ".join(WORDS[(seed * 7 + index * index + 3 * index) % 10] for index in range(count))


def turns(seed, answers=1):
    """Messages with several answers; each third conversation has a system message."""
    messages = []
    if seed % 3 == 0:
        messages.append({"role": "system", "content": "Be brief."})
    for index in range(answers):
        messages.append({"role": "user", "content": f"{words(seed + index, 5)} {seed}?"})
        messages.append({"role": "assistant", "content": words(seed + 3 * index, 4 + seed % 7)})
    return messages


def turns_with_call(seed):
    """Messages with a tool call in OpenAI's form."""
    arguments = json.dumps({"city": WORDS[seed % 10], "days": seed})
    call = {"id": f"c{seed}", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    return [
        {"role": "user", "content": f"How is it on {seed}?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{seed}", "content": words(seed, 3)},
        {"role": "assistant", "content": f"It is {words(seed, 2)}."},
    ]


def turns_with_thought(seed):
    *before, answer = turns(seed)
    return [*before, {**answer, "reasoning_content": words(seed, 3)}]


def sharegpt_turns(seed):
    """Messages in ShareGPT's form; each fourth conversation has a tool call."""
    question = {"from": "human", "value": f"{words(seed, 4)} {seed}?"}
    answer = {"from": "gpt", "value": words(seed, 6)}
    if seed % 4:
        return [question, answer]
    call = {"from": "function_call", "value": json.dumps({"name": "weather", "arguments": {"n": seed}})}
    return [question, call, {"from": "observation", "value": "cold"}, answer]


def alpaca_row(seed):
    return {
        "instruction": words(seed, 6),
        "input": words(seed, 2) if seed % 2 else "",
        "output": f"{words(seed, 5)} {seed}",
        "history": [] if seed % 5 else [[f"hi {seed}", "hello"]],
    }


def distilled_row(seed):
    return {
        "input": f"{words(seed, 4)} {seed}",
        "reasoning_content": words(seed, 4) if seed % 3 else "",
        "content": words(seed, 3),
    }


def metamath_row(seed):
    return {
        "query": f"{words(seed, 4)} {seed}?",
        "response": f"{words(seed, 3)} {seed}",
        "original_question": f"Say {seed // 3}",
    }


def prompt_row(seed):
    *prompt, answer = turns(seed)
    return {"prompt": prompt, "completion": [answer], "id": seed}


def call_row(seed):
    messages = turns_with_call(seed) if seed % 2 else turns(seed)
    return {"messages": messages, "price": seed / 10}


ROWS = {
    "messages.jsonl": [{"messages": turns(n, 1 + n % 3), "topic": "x"} for n in range(60)],
    "tools.jsonl": [{"messages": turns_with_call(n), "tools": TOOLS} for n in range(40)],
    "thoughts.jsonl": [{"messages": turns_with_thought(n)} for n in range(40)],
    "sharegpt.json": [
        {"conversations": sharegpt_turns(n), "system": "Be kind.", "tools": json.dumps(TOOLS)} for n in range(50)
    ],
    "alpaca.json": [alpaca_row(n) for n in range(60)],
    "distilled.jsonl": [distilled_row(n) for n in range(40)],
    "qa.csv": [{"question": f"{words(n, 5)}, {n}?", "answer": n / 8, "context": words(n, 3)} for n in range(60)],
    "named.csv": [{"Frage": f'Was ist "{n}"?', "Antwort": f"Größe {n},\n{words(n, 3)}"} for n in range(50)],
    "prompts.parquet": [prompt_row(n) for n in range(50)],
    "calls.parquet": [call_row(n) for n in range(40)],
    "pairs.jsonl": [{"prompt": f"{words(n, 4)} {n // 2}?", "response": words(n, 5)} for n in range(60)],
    "metamath.jsonl": [metamath_row(n) for n in range(60)],
    "solutions.jsonl": [
        {"problem": f"{words(n, 4)} {n}", "solution": words(n, 30), "group": n // 4} for n in range(60)
    ],
    "texts.jsonl": [{"text": f"{words(n, 40 + n)} {n}", "label": n % 3} for n in range(50)],
}
TEXTS = {f"chapter{n}.md": "\n\n".join(words(n + index // 2, 60) for index in range(80)) for n in range(4)}
"""Plain texts, with paragraphs that stand in several of them."""


def write_files(folder):
    """Write all files of rows, a book, and folders of texts and of files."""
    for name, rows in ROWS.items():
        write_file(folder / name, rows)
    (folder / "book.txt").write_text("\n\n".join(TEXTS.values()), encoding="utf-8")
    (folder / "texts").mkdir()
    for name, text in TEXTS.items():
        (folder / "texts" / name).write_text(text, encoding="utf-8")
    (folder / "parts").mkdir()
    for name in ("pairs.jsonl", "qa.csv"):
        (folder / "parts" / name).write_bytes((folder / name).read_bytes())
    write_bad_rows(folder / "bad.jsonl")


def write_file(path, rows):
    """Write rows in the type of a file's ending."""
    if path.suffix == ".jsonl":
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        path.write_text("".join(lines), encoding="utf-8")
    elif path.suffix == ".json":
        content = {"data": rows} if path.name == "alpaca.json" else rows
        path.write_text(json.dumps(content), encoding="utf-8")
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(map(quote_field, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def quote_field(value):
    return '"' + str(value).replace('"', '""') + '"'


def write_bad_rows(path):
    """Write rows of which some have no answer, and the last is no JSON."""
    lines = []
    for number, row in enumerate(ROWS["qa.csv"]):
        lines.append(json.dumps({**row, "answer": ""} if number % 9 == 4 else row))
    path.write_text("\n".join(lines) + '\n{"question": \n', encoding="utf-8")
