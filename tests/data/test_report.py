from dataclasses import replace

from qweft.data.report import COLUMNS, DataReport, PartReport

ONE = PartReport(rows=1, groups=1, tokens=90, target_tokens=9, cut=1, only_last=0)
MANY = replace(ONE, rows=1200, groups=2, cut=0, only_last=3)


def test_the_report_counts_in_words():
    report = DataReport(
        source="a.jsonl",
        rows=1202,
        groups=3,
        max_length=64,
        dropped=1,
        nothing_learned=0,
        left_over=600,
        parts={"train": MANY, "test": ONE},
        fingerprint="0123456789abcdef",
        notes=("a.csv is read as CP1252",),
        unread={"d\n  train: 9 rows": 1, "e\x1b[2J": 1} | {f"c{number}": 2 for number in range(COLUMNS)},
    )
    text = report.describe()
    for words in ("1,202 rows in 3 groups", "3 rows with only the last answer", "test: 1 row of 1 group", "left over"):
        assert words in text
    assert "left out: 1 row longer than 64 tokens" in text and "name smaller groups" in text and "CP1252" in text
    assert "'d\\n  train: 9 rows' (1 row), e[2J (1 row)" in text and text.endswith("and more")
