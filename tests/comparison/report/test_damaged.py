"""A results.json that was damaged or edited is refused in one sentence."""

import json
import re

import pytest

from qweft.comparison.report.write import beside, remake_report
from qweft.errors import QweftError
from qweft.text import CONTROLS
from tests.comparison.report.report_examples import ADAPTERS, results


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
