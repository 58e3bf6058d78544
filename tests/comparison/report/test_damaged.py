"""A results.json that was damaged or edited is refused in one sentence."""

import copy
import json
import re
import time

import pytest

from qweft.comparison.report.markdown import fenced
from qweft.comparison.report.write import beside, remake_report
from qweft.errors import QweftError
from qweft.text import CONTROLS
from tests.comparison.report.report_examples import ADAPTERS, results

WHOLE = results({"lora": ADAPTERS["lora"]}, seeds=1, inspected=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"eval_loss": "a"}, "eval_loss is 'a'"),
        ({"eval_loss": "a" * 5000}, "eval_loss is 'a"),
        ({"steps": None}, "steps is None"),
        ({"method": 3}, "method is 3"),
        ({"adapter": "a"}, "adapter is 'a'"),
        ({"budget": "a"}, "budget is 'a'"),
        ({"answers": ["a"]}, "not well formed"),
        ({"inspection": {"layers": 3}}, "not well formed"),
        ({"step_seconds_median": -0.1}, "step_seconds_median is -0.1, and it is at least 0"),
    ],
)
def test_in_a_run(tmp_path, change, words):
    record = copy.deepcopy(WHOLE)
    record["runs"][1].update(change)
    refused(tmp_path, record, words)


def refused(folder, record, words):
    (folder / "results.json").write_text(json.dumps(record))
    for make in (remake_report, lambda path: beside(path, path)):
        with pytest.raises(QweftError) as error:
            make(folder)
        assert words in str(error.value) and len(str(error.value)) < 600
        assert str(error.value).startswith(str(folder)) and "\n" not in str(error.value)


HOSTILE = "m<img src=x onerror=a>[b](javascript:c)![d](http://127.0.0.1:9/e)*_|\x1b[2J\u202e"


def test_names_are_no_markup_and_no_control_of_the_terminal(tmp_path):
    whole = results({"lora": ADAPTERS["lora"], "qtha": ADAPTERS["qtha"]}, seeds=1, inspected=False)
    text = json.dumps(whole).replace('"qtha"', json.dumps(HOSTILE)).replace('"42"', json.dumps(HOSTILE))
    text = text.replace("user: What", f"{json.dumps(HOSTILE)[1:-1]} What")
    (tmp_path / "results.json").write_text(text.replace("NaN", "null"))
    remake_report(tmp_path)
    beside(tmp_path, tmp_path)
    for name in ("report.md", "report.html", "beside.html"):
        assert not CONTROLS.search((tmp_path / name).read_text("utf-8")), name
    outside = re.sub(r"^```.*?^```", "", (tmp_path / "report.md").read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert "onerror" in outside and not re.search(r"(?<!\\)<img|(?<!\\)\[[bd]", outside)


def test_a_text_of_many_backticks_is_fenced_at_once():
    begun = time.monotonic()
    assert fenced("a" + "`" * 1_000_000).startswith("`" * 1_000_001 + "\n")
    assert time.monotonic() - begun < 5
