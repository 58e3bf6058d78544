"""The folder of a report, as a stranger's folder may hold one, and what is said of it where a command is stopped."""

import os

import pytest

from qweft.files import stamp
from qweft.robustness.report import NUMBERS
from qweft.robustness.run import _kept
from tests.robustness.test_run import adapter, evaluate  # noqa: F401


def test_a_link_in_place_of_the_default_output_is_not_followed(adapter, tmp_path, capsys):  # noqa: F811
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "robustness.json").write_text("{}")
    link = adapter.parent / "robustness-shots"
    link.symlink_to(tmp_path / "mine")
    try:
        assert evaluate(adapter, "--device", "shots", "--shots", "10") == 2
        assert f"output {link} is a link to {tmp_path / 'mine'}; remove it, or give --output" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    finally:
        link.unlink()


@pytest.mark.parametrize("clock", [1, 4e9])
def test_what_was_measured_is_told_without_a_clock(tmp_path, clock):
    numbers = tmp_path / NUMBERS
    assert _kept(tmp_path, None).startswith("no setting was measured to its end")
    numbers.write_text("{}")
    os.utime(numbers, (clock, clock))
    assert _kept(tmp_path, None).startswith("what this try measured is in")
    assert _kept(tmp_path, stamp(numbers)).startswith("what an earlier try measured is in")
