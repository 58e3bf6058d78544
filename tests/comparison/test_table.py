"""The table in the terminal and as Markdown."""

import io

from rich.console import Console

from qweft.comparison.judge.summarise import summarise
from qweft.comparison.report.table import COLUMNS, SHORT, markdown_rows, summary_rows, table_of
from qweft.core.text import escape_markdown
from tests.comparison.comparison_examples import run, runs

SUMMARY = summarise(
    [
        run("base", 0, 1.316, peak_memory_bytes=3 * 1024**3),
        *runs(lora=[0.86, 0.87, 0.88], qtha=[0.94, 0.95, 0.96]),
        *[run("a[bold]b", s, 12.0, trainable_parameters=123_456_789, adapter={"peft_type": "LORA"}) for s in range(3)],
    ]
)


def test_the_cells():
    row = {name: column(SUMMARY["qtha"]) for name, column in COLUMNS.items()}
    assert row["trained parameters"] == "180" and row["vs ref."] == "-82%"
    assert row["held-out loss"] == "0.9500 ± 0.0100" and row["perplexity"] == "2.59"
    assert row["diff. to ref."] == "+9.2%" and row["s/step (others)"] == "0.2 (?)" and row["peak memory"] == "1.00 GiB"
    assert COLUMNS["diff. to ref."](SUMMARY["lora"]) == "ref."
    none = summarise(runs(lora=[1.0], qtha=[0.9999]))["qtha"]
    assert COLUMNS["diff. to ref."](none) == "+0.0%"
    assert COLUMNS["late train loss"](SUMMARY["base"]) == "–"


def test_a_terminal_of_80_characters_loses_no_digits():
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=True, color_system=None).print(table_of(summary_rows(SUMMARY, SHORT)))
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert all(part in text for part in ("0.9500 ± 0.0100", "+9.2%", "123,456,789", "a[bold]b", "LoRA file"))


def test_markdown_has_one_line_a_method_and_escapes_bars():
    summary = summarise([run("lora", 0, 1.0), run("a|b", 0, 1.0)])
    lines = markdown_rows([[escape_markdown(cell) for cell in row] for row in summary_rows(summary)]).splitlines()
    assert len(lines) == 4 and lines[1].startswith("|---|---:|") and r"a\|b" in lines[3]
