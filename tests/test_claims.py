"""Two commands that want one output folder, in the moment in which earlier results in it are renamed."""

import os
import time

import pytest

from qweft import claims
from qweft.claims import CLAIM, claimed_output, set_aside
from qweft.errors import QweftError
from tests.forked import Forked, needs_fork


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out" / "adapter").mkdir(parents=True)
    return tmp_path / "out"


@pytest.mark.parametrize("links", [True, False])
def test_a_folder_that_is_set_aside_stays_claimed(output, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "Operation not permitted")))
    with claimed_output(output, "qweft train"):
        before = (output / CLAIM).stat().st_ino
        assert set_aside(output) == output.with_name("out-1")
        assert (output / CLAIM).stat().st_ino == before and (output / f"{CLAIM}.json").is_file()
        assert [path.name for path in output.with_name("out-1").iterdir()] == ["adapter"]
        (output / "made").touch()
    assert [path.name for path in output.iterdir()] == ["made"]


@needs_fork
@pytest.mark.parametrize("moment", ["without a folder", "without a claim"])
def test_a_folder_that_another_takes_meanwhile_is_left_to_it(output, tmp_path, monkeypatch, moment):
    taken, released = tmp_path / "taken", tmp_path / "released"

    def take():
        with claimed_output(output, "qweft compare"):
            taken.touch()
            while not released.exists():
                pass

    def real_replace(source, target):
        replace(source, target)
        if moment == "without a folder" and target == output.with_name("out-1"):
            others.append(start())

    def real_link(source, target):
        if moment == "without a claim":
            others.append(start())
        link(source, target)

    def start():
        process = Forked(take, tmp_path / "said")
        while not taken.exists():
            assert process.ended() is None, process.said
        return process

    replace, link, others = os.replace, os.link, []
    monkeypatch.setattr(claims.os, "replace", real_replace)
    monkeypatch.setattr(claims.os, "link", real_link)
    try:
        with (
            pytest.raises(QweftError, match="was taken by another command as the earlier results in it became"),
            claimed_output(output, "qweft train"),
        ):
            set_aside(output)
        monkeypatch.undo()
        with pytest.raises(QweftError, match="is in use by qweft compare"), claimed_output(output, "qweft train"):
            pass  # it is still claimed
    finally:
        released.touch()
    assert others[0].ended(60) == 0
    assert (output.with_name("out-1") / "adapter").is_dir()


@needs_fork
def test_another_work_is_refused_also_after_the_first_process_of_this_one_was_killed(output, tmp_path):
    """Two processes share a comparison. The first ends: its settings may not be changed beneath the second."""
    released = tmp_path / "released"

    def share(name):
        def work():
            with claimed_output(output, "qweft compare", "settings"):
                (tmp_path / name).touch()
                while not released.exists():
                    time.sleep(0.01)

        process = Forked(work, tmp_path / f"said {name}")
        while not (tmp_path / name).exists():
            assert process.ended() is None, process.said
        return process

    first, second = share("first"), share("second")
    try:
        first.kill()
        for command, work in (("qweft compare", "other settings"), ("qweft train", None)):
            said = rf"is in use by qweft compare \(process {second.number} on "
            with pytest.raises(QweftError, match=said), claimed_output(output, command, work):
                pass
        with claimed_output(output, "qweft compare", "settings"):
            third = share("third")
        with (
            pytest.raises(QweftError, match="is in use by qweft compare"),
            claimed_output(output, "qweft compare", "other settings"),
        ):
            pass
        second.kill()  # its lock file stays
        assert third.ended() is None
    finally:
        released.touch()
    assert third.ended(60) == 0
    with claimed_output(output, "qweft compare", "other settings"):
        (output / "made").touch()
    assert sorted(path.name for path in output.iterdir()) == ["adapter", "made"]
