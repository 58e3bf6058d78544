"""Every kept result gives the verdicts that it gave before: numbers and answers, not sentences.

`python -m tests.golden.test_verdicts` writes the record anew, after a change of the statistics that is meant.
"""

import json
from pathlib import Path

import pytest
from research.evidence import names, read

from qweft.comparison.judge.summarise import summarise
from qweft.comparison.judge.verdicts import best_method
from qweft.comparison.report.content import Content
from qweft.comparison.report.decision import recommend

RECORD = Path(__file__).parent / "verdicts.json"
DIGITS = 8


def rounded(value):
    """A value with few enough digits that the order of sums does not matter."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def verdicts(record):
    """The rows of a results.json: one a question, with its difference, interval, p and the doubt of the rates."""
    content = Content.read(record)
    rows = []
    for each in content.verdicts:
        pairing, test = each.pairing, each.pairing.difference
        tested = (
            (None, None, None, None)
            if test is None
            else (test.interval, test.minimum_detectable_effect, test.p_value, test.corrected_p)
        )
        numbers = (pairing.mean, *tested, pairing.room)
        rows.append([each.topic, each.method, each.other, each.direction, bool(each.doubt), *rounded(numbers)])
    margin = next(iter(content.summary.values())).equivalent_within
    # a recommendation fixes its reference by the validation rows; here it is the record's
    found = recommend(summarise(content.runs, content.reference, margin, is_strict=True))
    searched = {each.method: [each.best, rounded(each.shortfall.percent), each.at_end] for each in content.search}
    return {
        "best": best_method(content.summary),
        "recommended": found and [found.method, found.seed],
        "losses": {name: rounded(entry.eval_loss) for name, entry in content.summary.items()},
        "searched": searched,
        "rows": sorted(rows, key=lambda row: json.dumps(row[:4])),
    }


def results():
    """The names of the kept files that are a comparison's results."""
    return [name for name in names() if isinstance(found := read(name), dict) and {"runs", "summary"} <= found.keys()]


@pytest.mark.parametrize("name", results())
def test_verdicts(name):
    golden = json.loads(RECORD.read_text())[name]
    found = json.loads(json.dumps(verdicts(read(name))))
    assert [row[:5] for row in found["rows"]] == [row[:5] for row in golden["rows"]]
    for row, before in zip(found.pop("rows"), golden.pop("rows"), strict=True):
        assert flat(row[5:]) == pytest.approx(flat(before[5:]), rel=1e-6, abs=1e-9), row[:4]
    assert found["losses"] == pytest.approx(golden["losses"])
    assert found["searched"].keys() == golden["searched"].keys()
    for method, (rate, percent, at_end) in golden["searched"].items():
        assert found["searched"][method] == [pytest.approx(rate), pytest.approx(percent), at_end]
    assert (found["best"], found["recommended"]) == (golden["best"], golden["recommended"])


def flat(values):
    """Numbers of a row in one list; a missing one is infinity, which equals itself alone."""
    found = []
    for value in values:
        found += flat(value) if isinstance(value, list) else [float("inf") if value is None else value]
    return found


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(verdicts(read(name)))}" for name in results()]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")
