"""A sweep from config to page, on a tiny model: the same trials however it is made, stopped and started."""

import dataclasses
import json
import time
import weakref
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml

from qweft.cli.main import main
from qweft.comparison.run import trial
from qweft.core.errors import QweftError
from qweft.evaluation.saved import put_on
from qweft.method.presets import stated
from qweft.sweep import run
from qweft.training import loop
from tests.forked import Forked
from tests.sweep.conftest import space

TIMED = ("seconds", "step_seconds_median", "cpu_by_others")


def made(config):
    """The content of sweep.json."""
    run.sweep(config, "space: {}\n", "qweft sweep test.yaml")
    return read(config.output)


def read(output):
    return json.loads((Path(output) / "sweep.json").read_text())


def outcomes(record):
    """What the trials gave, without their times."""
    return [{key: value for key, value in each.items() if key not in TIMED} for each in record["trials"]]


def test_writes_everything_and_judges_the_best_alone_on_the_test_rows(config, monkeypatch):
    split, held_out = [], trial.held_out_loss
    monkeypatch.setattr(
        trial, "held_out_loss", lambda model, rows, *rest: split.append(len(rows)) or held_out(model, rows, *rest)
    )
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, test_rows=5))
    record, output = made(config), Path(config.output)
    trials = record["trials"]
    assert {"sweep.json", "sweep.md", "loss_by_size.png"} <= {path.name for path in output.iterdir()}
    assert [each["number"] for each in trials] == [0, 1, 2, 3, 4]
    assert split == [4] * 6  # the base model and five trials, on the validation rows
    for each in trials:
        values = {name.partition(".")[2]: value for name, value in each["values"].items()}
        assert values.pop("learning_rate") == each["learning_rate"]
        assert each["adapter"] == stated(config.adapter | values)
    best = min(trials, key=lambda each: each["validation_loss"])["number"]
    assert record["best"] == best == record["front"][-1]
    costs = [(trials[number]["trainable_parameters"], trials[number]["validation_loss"]) for number in record["front"]]
    assert costs == sorted(costs) and [loss for _, loss in costs] == sorted((loss for _, loss in costs), reverse=True)
    assert f"The best is trial {best}" in (output / "sweep.md").read_text()
    assert [path.parent.name for path in output.glob("trial-*/test.json")] == [f"trial-{best:03d}"]
    context = run.set_up(run.shared(config), run.Console(quiet=True))
    model = put_on(context.loaded, output / f"trial-{best:03d}" / "adapter")
    loss = held_out(model, context.data.test, context.loaded.tokenizer.pad_token_id, 4).loss
    assert loss == pytest.approx(record["test"]["adapted"], rel=1e-6)


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
    assert len(counted) == 3 and outcomes(longer)[:5] == outcomes(stopped)
    whole = made(dataclasses.replace(config, trials=6, output=config.output + "-whole"))
    assert outcomes(whole) == outcomes(longer)
    with pytest.raises(QweftError, match="trial-000 holds a run of another configuration"):
        made(dataclasses.replace(config, seed=1))


def test_a_trial_that_diverges_is_an_outcome(config, monkeypatch):
    fit = trial.fit

    def diverging(model, rows, pad, training, label):
        if label.startswith("trial-001"):
            raise trial.DivergedError("the loss is not a number", ((1, 4.0), (2, float("nan"))))
        return fit(model, rows, pad, training, label)

    monkeypatch.setattr(trial, "fit", diverging)
    record = made(dataclasses.replace(config, trials=2))
    assert [each["state"] for each in record["trials"]] == ["complete", "diverged"]
    assert "diverged" in (Path(config.output) / "sweep.md").read_text()
    monkeypatch.setattr(trial, "fit", lambda *_: (_ for _ in ()).throw(trial.DivergedError("no number", ())))
    none = made(dataclasses.replace(config, trials=2, output=config.output + "-none"))
    assert none["best"] is None and none["test"] is None


def test_a_trial_without_memory_is_an_outcome_and_the_sweep_goes_on(config, monkeypatch):
    find_bases, tried, held = loop._find_bases, [], []

    def short_of_memory(*args):
        tried.append(args)
        assert not any(each() is not None for each in held)  # what a trial had allocated is free for the next
        if len(tried) == 2:
            activations = torch.zeros(8)
            held.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return find_bases(*args)

    monkeypatch.setattr(loop, "_find_bases", short_of_memory)
    config = dataclasses.replace(config, trials=3)
    record = made(config)
    assert [each["state"] for each in record["trials"]] == ["complete", "out of memory", "complete"]
    assert "1 trial ran out of memory" in (Path(config.output) / "sweep.md").read_text()
    assert outcomes(made(config)) == outcomes(record) and len(tried) == 3


def test_why_a_sweep_ends(config):
    record = made(dataclasses.replace(config, seconds=1e-6))
    assert len(record["trials"]) == 1 and "time was spent" in record["ended"]
    ranks = space(adapter={"r": {"values": [2, 3]}})
    record = made(dataclasses.replace(config, space=ranks, sampler="grid", output=config.output + "-grid"))
    assert [each["values"]["adapter.r"] for each in record["trials"]] == [2, 3]
    assert "no further configuration" in record["ended"]


def test_nothing_within_the_budget_is_said_before_anything_is_loaded(config, monkeypatch):
    monkeypatch.setattr(run, "set_up", lambda *_: pytest.fail("weights were loaded"))
    with pytest.raises(QweftError, match="max_parameters 1"):
        made(dataclasses.replace(config, max_parameters=1))
    typo = dataclasses.replace(config, space=space(adapter={"bond_dimensio": {"values": [1]}}))
    with pytest.raises(QweftError, match=r"'bond_dimensio'.*bond_dimension"):
        made(typo)


def test_two_processes_one_of_them_killed_give_what_one_gives(config, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(asdict(dataclasses.replace(config, trials=4))))

    def start(name, number, *more):
        words = ["sweep", str(path), "--output", str(tmp_path / name), *more]
        return Forked(lambda: main(words), tmp_path / f"{name}-{number}.txt")

    first, second = start("two", 1), start("two", 2)
    while not list((tmp_path / "two").glob("trial-*")):
        assert first.ended() is None and second.ended() is None
        time.sleep(0.05)
    first.kill()
    assert second.ended(600) == 0, second.said
    several, one = start("workers", 1, "--workers", "2"), start("one", 1)
    assert several.ended(600) == 0 and (tmp_path / "workers" / "worker-2.log").is_file(), several.said
    assert one.ended(600) == 0 and "[4/4]" in one.said, one.said
    assert outcomes(read(tmp_path / "two")) == outcomes(read(tmp_path / "workers")) == outcomes(read(tmp_path / "one"))


def test_files_of_others_are_not_replaced(config, tmp_path):
    output = Path(config.output)
    output.mkdir()
    for name in ("sweep.json", "loss_by_size.png"):
        (output / name).write_text('{"mine": 1}')
        with pytest.raises(QweftError, match=f"holds {name}, and no sweep wrote it"):
            made(config)
        assert (output / name).read_text() == '{"mine": 1}'
        (output / name).unlink()
    precious = tmp_path / "elsewhere" / "adapter" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    (output / "trial-000").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(QweftError, match="is a link to"):
        made(config)
    assert precious.read_text() == "mine"
