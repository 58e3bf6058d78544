"""A sweep that goes on in a folder that a stranger made: nothing else of the machine is read, written or deleted."""

import json
import os
import shutil
import sqlite3
import struct
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from safetensors.torch import load_file, save_file

from qweft.errors import QweftError
from qweft.files import SUPER_JOURNAL
from qweft.sweep.config import SpaceConfig
from qweft.sweep.outcome import Outcome
from qweft.sweep.report import write
from qweft.sweep.run import _adapter_files, sweep
from qweft.sweep.space import Axis
from qweft.sweep.store import Store
from qweft.text import CONTROLS
from tests.hostile import save_super_journal

AXES = (Axis("adapter", "r", values=(2, 3)),)


@pytest.fixture
def study(tmp_path):
    """The folder of a study with one trial."""
    folder = tmp_path / "sweep"
    folder.mkdir()
    Store(folder, AXES, "configuration").add({"adapter.r": 2}, 100, 0)
    return folder


def opened(folder):
    with pytest.raises(QweftError) as error:
        Store(folder, AXES, "configuration")
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_a_study_of_another_program_gets_none_of_ours(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.create_study(study_name="mine", storage=storage)
    before = (tmp_path / "study.db").read_bytes()
    with pytest.raises(QweftError, match=r"holds study\.db, and no sweep wrote it; choose another --output"):
        Store(tmp_path, (Axis("adapter", "r", (2, 4)),), "a")
    assert (tmp_path / "study.db").read_bytes() == before
    optuna.delete_study(study_name="mine", storage=storage)  # as a sweep that was killed before it made its own
    Store(tmp_path, (Axis("adapter", "r", (2, 4)),), "a")


@pytest.mark.parametrize("name", ["does r matter?", "a%41b", "a#b", "a b+c", "ü@:x", "a;b&c", "a'b", "a\\b", "a{b}c"])
def test_a_path_is_not_read_as_an_address(tmp_path, name):
    (tmp_path / name).mkdir()
    before = {path.name for path in tmp_path.iterdir()}
    Store(tmp_path / name, AXES, "configuration").add({"adapter.r": 2}, 100, 0)
    assert (tmp_path / name / "study.db").exists() and {path.name for path in tmp_path.iterdir()} == before
    assert Store(tmp_path / name, AXES, "configuration").points() == [{"adapter.r": 2}]


def test_a_journal_deletes_no_other_file(study, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    shutil.copytree(study, tmp_path / "copy")
    save_super_journal(tmp_path / "copy" / "study.db", precious)
    with closing(sqlite3.connect(tmp_path / "copy" / "study.db")) as db:
        db.execute("SELECT * FROM trials").fetchall()
    assert not precious.exists()  # so SQLite does, without the check

    precious.write_text("mine")
    save_super_journal(study / "study.db", precious)
    assert "names another file" in opened(study)
    assert precious.read_text() == "mine"


def test_the_journal_of_a_killed_process_is_rolled_back(study):
    pages = (study / "study.db").stat().st_size // 4096
    head = SUPER_JOURNAL + struct.pack(">IIIII", 0, 0, pages, 512, 4096)
    (study / "study.db-journal").write_bytes(head.ljust(512, b"\0"))
    assert Store(study, AXES, "configuration").points() == [{"adapter.r": 2}]


@pytest.mark.parametrize("name", ["study.db", "study.db-journal", "study.db-wal", "study.db-shm", ".study.lock"])
def test_no_link_is_followed(study, tmp_path, name):
    (study / name).unlink(missing_ok=True)
    (study / name).symlink_to(tmp_path / "elsewhere")
    said = opened(study)
    assert "is a link" in said or "cannot be locked" in said
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("statement", [
    "CREATE TRIGGER endless BEFORE INSERT ON trials BEGIN INSERT INTO trials (number) WITH RECURSIVE c(x) AS (SELECT 1 "
    "UNION ALL SELECT x + 1 FROM c) SELECT x FROM c; END",
    "CREATE VIEW v AS SELECT 1",
    "ALTER TABLE trials ADD COLUMN large TEXT GENERATED ALWAYS AS (hex(zeroblob(1000000000))) VIRTUAL",
    "CREATE INDEX large ON trials (hex(zeroblob(number)))",
    "CREATE TABLE more (x CHECK (x < 1))",
    "CREATE TABLE more (x DEFAULT (hex(zeroblob(10))))",
    "CREATE INDEX part ON trials (number) WHERE length(hex(zeroblob(10))) > 5",
])  # fmt: skip
def test_nothing_that_computes_is_run(study, statement):
    with closing(sqlite3.connect(study / "study.db")) as db:
        db.execute(statement)
        if statement.startswith("CREATE INDEX large"):  # as the file may have it
            db.execute("PRAGMA writable_schema = 1")
            db.execute("UPDATE sqlite_master SET sql = replace(sql, 'CREATE INDEX', 'CREATE/**/INDEX')")
            db.commit()
    assert "computes by itself, and Optuna makes none that does" in opened(study)


@pytest.mark.parametrize("kind", ["Trigger", "table", "index"])
def test_a_trigger_under_another_type_is_not_run(study, kind):
    with closing(sqlite3.connect(study / "study.db")) as db:
        db.execute("CREATE TRIGGER large AFTER INSERT ON trials BEGIN SELECT hex(zeroblob(100000000)); END")
        db.execute("PRAGMA writable_schema = 1")
        db.execute("UPDATE sqlite_master SET type = ? WHERE name = 'large'", (kind,))
        db.commit()
    said = opened(study)
    assert "computes by itself" in said or "malformed database schema" in said  # SQLite refuses the latter two


@pytest.mark.parametrize("name", [".study.lock", "study.db"])
def test_a_folder_in_place_of_a_file_is_one_sentence(study, name):
    (study / name).unlink(missing_ok=True)
    (study / name).mkdir()
    opened(study)


def test_a_pipe_in_a_trials_adapter_is_one_sentence(tmp_path):
    (tmp_path / "adapter").mkdir()
    with pytest.raises(QweftError, match="to make the trial again"):
        _adapter_files(tmp_path)
    os.mkfifo(tmp_path / "adapter" / "adapter_config.json")
    with pytest.raises(QweftError, match="no regular file"):
        _adapter_files(tmp_path)


def test_no_trial_is_made_through_a_link(config, tmp_path):
    precious = tmp_path / "elsewhere" / "adapter" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trial-000").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(QweftError, match="is a link to"):
        sweep(config, "space: {}\n", "qweft sweep test.yaml")
    assert precious.read_text() == "mine"


def test_the_page_holds_no_control_characters_of_names(tmp_path):
    found = Outcome("a", (), (), None, None, 0, "ended", "data: 'a\x1b[2J'", {"command": "qweft sweep 'b\x9b2J\u202e'"})
    text = write(found, tmp_path).read_text()
    assert not CONTROLS.search(text) and "qweft sweep 'b2J'" in text and "a[2J" in text


def test_an_adapter_that_does_not_run_is_one_sentence(config, tmp_path):
    lora = {"peft_type": "LORA", "target_modules": ["q_proj"]}
    few = replace(config, adapter=lora, space=SpaceConfig(adapter={"r": {"values": [2]}}), trials=1)
    sweep(few, "space: {}\n", "qweft sweep test.yaml")
    trial = tmp_path / "out" / "trial-000"
    (trial / "test.json").unlink()
    file = trial / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"alora_invocation_tokens": "x"}))
    with pytest.raises(QweftError, match="does not run with this adapter"):
        sweep(few, "space: {}\n", "qweft sweep test.yaml")


def test_trials_on_other_weights_of_the_same_folder_are_told(config, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(config.model.name, folder)
    one = replace(config, model=replace(config.model, name=str(folder)), trials=1)
    sweep(one, "space: {}\n", "qweft sweep test.yaml")
    weights = load_file(folder / "model.safetensors")
    save_file({key: 1.5 * each for key, each in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(QweftError, match=r"on other weights of the base model, .* remove that folder"):
        sweep(one, "space: {}\n", "qweft sweep test.yaml")


def test_a_full_disk_is_not_taken_for_a_damaged_study(tmp_path, monkeypatch):
    store = Store(tmp_path, AXES, "configuration")

    def full(*_):
        raise RuntimeError("(sqlite3.OperationalError) database or disk is full")

    monkeypatch.setattr(store.study, "add_trial", full)
    with pytest.raises(QweftError, match=r"study\.db could not be written .*disk is full\); make room there"):
        store.add({"adapter.r": 2}, 100, 0)


def test_the_report_of_more_trials_is_set_aside(config, capsys):
    output = Path(config.output)
    sweep(replace(config, trials=2), "", "qweft sweep")
    before = {path.name: path.read_bytes() for path in output.iterdir() if path.name.startswith(("sweep.", "loss_"))}
    sweep(replace(config, trials=2), "", "qweft sweep")
    assert not (output / "earlier").exists()
    sweep(replace(config, trials=1), "", "qweft sweep")
    kept = {path.name: path.read_bytes() for path in (output / "earlier/sweep-1").iterdir()}
    assert kept.keys() == before.keys() and len(json.loads(kept["sweep.json"])["trials"]) == 2
    assert "the earlier results, of 2 trials, are now in" in "".join(capsys.readouterr().out)
    assert len(json.loads((output / "sweep.json").read_text())["trials"]) == 1
