from dataclasses import replace

from qweft.data.report import COLUMNS, DataReport, PartReport

ONE = PartReport(rows=1, groups=1, tokens=90, target_tokens=9, cut=1, only_last=0)
MANY = replace(ONE, rows=1200, groups=2, cut=0, only_last=3)


def test_one_is_one_row_of_one_group():
    report = DataReport(
        source="a.jsonl",
        rows=1202,
        groups=3,
        max_length=64,
        dropped=1,
        nothing_learned=0,
        left_over=0,
        parts={"train": MANY, "test": ONE},
        fingerprint="0123456789abcdef",
    )
    unread = {f"c{number}": 2 for number in range(COLUMNS + 1)}
    said = replace(report, unread=unread).describe()
    assert "  columns that are not read: c0 (2 rows), c1 (2 rows)," in said and said.endswith("c11 (2 rows), and more")
    assert "not read" not in report.describe()
    odd = {" a ": 1, "": 1, "b, c": 1, "d\n  train: 9 rows": 1, "e\x1b[2J": 1, "Final Answer": 1}
    shown = (
        "' a ' (1 row), '' (1 row), 'b, c' (1 row), 'd\\n  train: 9 rows' (1 row), e[2J (1 row), Final Answer (1 row)"
    )
    assert replace(report, unread=odd).describe().endswith(f"columns that are not read: {shown}")
    assert "name smaller groups in a column group" in replace(report, left_over=600).describe()
    assert report.describe().splitlines() == [
        "data a.jsonl: 1,202 rows in 3 groups, sha256 0123456789ab",
        "  train: 1,200 rows of 2 groups, 90 tokens, 9 of them learned; 3 rows with only the last answer (the chat "
        "template rewrites earlier ones)",
        "  test: 1 row of 1 group, 90 tokens, 9 measured; 1 row cut at 64 tokens",
        "  left out: 1 row longer than 64 tokens",
    ]
