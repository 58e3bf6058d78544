"""A sweep from config to page, on a tiny model: the same trials however it is made, stopped and started."""

import dataclasses
import itertools
import json
import time
import weakref
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml

from qweft.cli.main import main
from qweft.comparison import trial
from qweft.errors import QweftError
from qweft.evaluation.saved import put_on
from qweft.method.presets import stated
from qweft.sweep import run
from qweft.sweep.config import SpaceConfig
from qweft.sweep.run import sweep
from qweft.training import loop
from tests.forked import Forked

TIMED = ("seconds", "step_seconds_median", "cpu_by_others")


def made(config):
    """The content of sweep.json."""
    sweep(config, "space: {}\n", "qweft sweep test.yaml")
    return read(config.output)


def read(output):
    return json.loads((Path(output) / "sweep.json").read_text())


def outcomes(record):
    """What the trials gave, without their times."""
    return [{key: value for key, value in each.items() if key not in TIMED} for each in record["trials"]]


def test_writes_everything_and_judges_the_best_alone_on_the_test_rows(config, monkeypatch):
    split, tested = [], []
    held_out, judged = trial.held_out_loss, run.losses
    monkeypatch.setattr(
        trial, "held_out_loss", lambda model, rows, *rest: split.append(len(rows)) or held_out(model, rows, *rest)
    )
    monkeypatch.setattr(
        run, "losses", lambda context, adapter, files: tested.append(adapter) or judged(context, adapter, files)
    )
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, test_rows=5))
    record = made(config)
    output = Path(config.output)
    assert {"sweep.json", "sweep.md", "loss_by_size.png"} <= {path.name for path in output.iterdir()}
    assert [each["number"] for each in record["trials"]] == [0, 1, 2, 3, 4]
    assert split == [4] * 6  # the base model and five trials, on the validation rows
    best = min(record["trials"], key=lambda each: each["validation_loss"])
    assert record["best"] == best["number"] and tested == [best["adapter"]]
    assert record["test"].keys() == {"base", "adapted", "standard_error"}
    for each in record["trials"]:
        values = {name.partition(".")[2]: value for name, value in each["values"].items()}
        assert values["learning_rate"] == each["learning_rate"]
        assert each["adapter"] == stated(config.adapter | {k: v for k, v in values.items() if k != "learning_rate"})
    front = [record["trials"][number] for number in record["front"]]
    assert record["best"] == front[-1]["number"]
    for own in front:
        assert not any(
            other["trainable_parameters"] <= own["trainable_parameters"]
            and other["validation_loss"] < own["validation_loss"]
            for other in record["trials"]
        )
    page = (output / "sweep.md").read_text()
    assert f"The best is trial {record['best']}" in page and "loss_by_size.png" in page


def test_the_test_loss_is_that_of_the_kept_adapter(config):
    record = made(dataclasses.replace(config, trials=2))
    context = run.set_up(run.shared(config), run.Console(quiet=True))
    model = put_on(context.loaded, Path(config.output) / f"trial-{record['best']:03d}" / "adapter")
    found = trial.held_out_loss(model, context.data.test, context.loaded.tokenizer.pad_token_id, 4)
    assert found.loss == pytest.approx(record["test"]["adapted"], rel=1e-6)


def test_goes_on_where_it_was_stopped_and_repeats_nothing(config, monkeypatch):
    fit, calls = trial.fit, []

    def stopping(*arguments):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(arguments)
        return fit(*arguments)

    monkeypatch.setattr(trial, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        made(config)
    counted = []
    monkeypatch.setattr(trial, "fit", lambda *arguments: counted.append(1) or fit(*arguments))
    stopped = made(config)
    assert len(counted) == 2
    longer = made(dataclasses.replace(config, trials=6))
    assert len(counted) == 3
    assert outcomes(longer)[:5] == outcomes(stopped)
    monkeypatch.setattr(trial, "fit", fit)
    whole = made(dataclasses.replace(config, trials=6, output=config.output + "-whole"))
    assert outcomes(whole) == outcomes(longer)


def test_another_configuration_is_not_mixed_in(config):
    made(dataclasses.replace(config, trials=1))
    with pytest.raises(QweftError, match=r"trial-000 holds a run of another configuration; choose another --output"):
        made(dataclasses.replace(config, seed=1))


def test_a_trial_that_diverges_is_an_outcome(config, monkeypatch):
    fit = trial.fit

    def diverging(model, rows, pad, training, label):
        if label.startswith("trial-001"):
            raise trial.DivergedError("the loss is not a number", ((1, 4.0), (2, float("nan"))))
        return fit(model, rows, pad, training, label)

    monkeypatch.setattr(trial, "fit", diverging)
    record = made(config)
    assert [each["state"] for each in record["trials"]] == ["complete", "diverged", "complete", "complete", "complete"]
    assert "diverged" in (Path(config.output) / "sweep.md").read_text()
    monkeypatch.setattr(trial, "fit", lambda *_: (_ for _ in ()).throw(trial.DivergedError("no number", ())))
    none = made(dataclasses.replace(config, trials=2, output=config.output + "-none"))
    assert none["best"] is None and none["test"] is None


def test_a_trial_without_memory_is_an_outcome_and_the_sweep_goes_on(config, monkeypatch):
    fit, tried, held = loop._fit, [], []

    def short_of_memory(model, rows, pad, training, label, callbacks):
        tried.append(label)
        assert not any(each() is not None for each in held)  # what a trial had allocated is free for the next
        if label.startswith("trial-001"):
            activations = torch.zeros(8)
            held.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return fit(model, rows, pad, training, label, callbacks)

    monkeypatch.setattr(loop, "_fit", short_of_memory)
    config = dataclasses.replace(config, trials=3)
    record = made(config)
    assert [each["state"] for each in record["trials"]] == ["complete", "out of memory", "complete"]
    page = (Path(config.output) / "sweep.md").read_text()
    assert "1 trial ran out of memory, the first of them trial 1; once more memory is free" in page
    assert outcomes(made(config)) == outcomes(record) and len(tried) == 3


def test_no_trial_begins_when_the_time_is_spent(config):
    record = made(dataclasses.replace(config, seconds=1e-6))
    assert len(record["trials"]) == 1 and record["ended"] == "The time was spent after 1 trial."


def test_a_small_grid_ends_early(config):
    space = SpaceConfig(adapter={"r": {"values": [2, 3]}})
    record = made(dataclasses.replace(config, space=space, sampler="grid"))
    assert [each["values"]["adapter.r"] for each in record["trials"]] == [2, 3]
    assert record["ended"] == "The space has no further configuration within the budget after 2 trials."


def test_nothing_within_the_budget_is_said_before_anything_is_loaded(config, monkeypatch):
    monkeypatch.setattr(run, "set_up", lambda *_: pytest.fail("weights were loaded"))
    with pytest.raises(
        QweftError, match=r"no configuration of the space can be trained within max_parameters 1; .*more than"
    ):
        made(dataclasses.replace(config, max_parameters=1))
    typo = dataclasses.replace(config, space=SpaceConfig(adapter={"bond_dimensio": {"values": [1]}}))
    with pytest.raises(QweftError, match=r"has no field 'bond_dimensio'.*bond_dimension"):
        made(typo)


def test_two_processes_one_of_them_killed_give_what_one_gives(config, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(asdict(dataclasses.replace(config, trials=4))))

    def start(name, *more):
        words = ["sweep", str(path), "--output", str(tmp_path / name), *more]
        said = tmp_path / f"{name}-{next(numbers)}.txt"
        return Forked(lambda: main(words), said)

    numbers = itertools.count()
    first, second = start("two"), start("two")
    while not list((tmp_path / "two").glob("trial-*")):
        assert first.ended() is None and second.ended() is None
        time.sleep(0.05)
    first.kill()
    assert second.ended(600) == 0, second.said
    several = start("workers", "--workers", "2")
    assert several.ended(600) == 0 and "sweep:" in several.said, several.said
    assert (tmp_path / "workers" / "worker-2.log").is_file()
    one = start("one")
    assert one.ended(600) == 0 and "[4/4]" in one.said, one.said
    expected = outcomes(read(tmp_path / "one"))
    assert outcomes(read(tmp_path / "two")) == expected
    assert outcomes(read(tmp_path / "workers")) == expected


def test_files_of_others_are_not_replaced(config, tmp_path):
    output = Path(config.output)
    output.mkdir()
    (output / "sweep.md").write_text("mine")
    with pytest.raises(QweftError, match=r"sweep\.md"):
        made(config)
    assert (output / "sweep.md").read_text() == "mine"
    (output / "sweep.md").unlink()
    precious = tmp_path / "elsewhere" / "adapter" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    (output / "trial-000").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(QweftError, match="is a link to"):
        made(config)
    assert precious.read_text() == "mine"
