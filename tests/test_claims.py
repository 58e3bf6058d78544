"""An output folder belongs to one command at a time, and earlier results in it are kept."""

import time

import pytest

from qweft.core.claims import CLAIM, claimed_output
from qweft.core.errors import QweftError
from qweft.core.files import free_name
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


def test_a_free_name_keeps_the_ending_of_a_file(tmp_path):
    (tmp_path / "a.json").touch()
    (tmp_path / "qwen2.5").mkdir()
    assert free_name(tmp_path / "a.json").name == "a-1.json"
    assert free_name(tmp_path / "qwen2.5").name == "qwen2.5-1"
