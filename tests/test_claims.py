"""An output folder belongs to one command at a time, and earlier results in it are kept."""

import time

import pytest

from qweft.claims import CLAIM, claimed_output, keep_earlier
from qweft.errors import QweftError
from tests.forked import Forked, needs_fork


@needs_fork
def test_another_process_is_refused_unless_it_does_the_same_work(tmp_path):
    output, released = tmp_path / "out", tmp_path / "released"

    def hold():
        with claimed_output(output, "qweft compare", "settings"):
            while not released.exists():
                time.sleep(0.01)

    holder = Forked(hold, tmp_path / "said")
    while not (output / f"{CLAIM}.json").exists():
        assert holder.ended() is None, holder.said
    try:
        with claimed_output(output, "qweft compare", "settings"):
            pass
        for work in ("other settings", None):
            with (
                pytest.raises(QweftError, match="in use by qweft compare"),
                claimed_output(output, "qweft train", work),
            ):
                pass
    finally:
        released.touch()
    assert holder.ended(60) == 0
    with claimed_output(output, "qweft train"):
        (output / "made").touch()
    assert [path.name for path in output.iterdir()] == ["made"]


def test_earlier_results_are_kept_by_number(tmp_path):
    for number in (1, 2):
        (tmp_path / "report.md").write_text(str(number))
        assert keep_earlier(tmp_path, "report", [tmp_path / "report.md"]) == tmp_path / "earlier" / f"report-{number}"
        assert (tmp_path / "earlier" / f"report-{number}" / "report.md").read_text() == str(number)


@pytest.mark.parametrize("kind", ["link", "file"])
def test_nothing_is_kept_where_something_else_has_the_name(tmp_path, kind):
    (tmp_path / "report.md").touch()
    place = tmp_path / "earlier"
    place.symlink_to(tmp_path / "elsewhere") if kind == "link" else place.touch()
    with pytest.raises(QweftError, match="earlier"):
        keep_earlier(tmp_path, "report", [tmp_path / "report.md"])
    assert (tmp_path / "report.md").exists()
