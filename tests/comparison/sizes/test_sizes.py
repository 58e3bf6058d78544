"""A search from config to record, on a tiny model: the same trials however it is made, stopped and started."""

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
from qweft.comparison.search import sizes
from qweft.comparison.timing import Budget
from qweft.core.errors import QweftError
from qweft.method.presets import stated
from qweft.training import loop
from tests.comparison.sizes.conftest import ADAPTER, with_space
from tests.forked import Forked

TIMED = ("seconds", "step_seconds_median", "cpu_by_others")


def search(config):
    """Run the search; the content of sizes.json."""
    sizes.tune_sizes(config, "qweft tune test.yaml")
    return read(config.output)


def read(output):
    return json.loads((Path(output) / "sizes.json").read_text())


def outcomes(record):
    """What the trials gave, without their times."""
    return [{key: value for key, value in each.items() if key not in TIMED} for each in record["trials"]]


def test_every_trial_is_judged_on_the_validation_rows_alone(config, monkeypatch):
    rows_read, held_out = [], trial.held_out_loss
    monkeypatch.setattr(
        trial, "held_out_loss", lambda model, rows, *rest: rows_read.append(len(rows)) or held_out(model, rows, *rest)
    )
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, test_rows=5))
    record, output = search(config), Path(config.output)
    assert {"sizes.json", "loss_by_size.png"} <= {path.name for path in output.iterdir()}
    assert rows_read == [4] * 6  # the base model and five trials
    assert [each["number"] for each in record["trials"]] == [0, 1, 2, 3, 4]
    for each in record["trials"]:
        values = dict(each["values"])
        assert values.pop("learning_rate") == each["learning_rate"]
        assert each["adapter"] == stated(ADAPTER | values)


def test_the_best_trial_ends_the_front(config, capsys):
    record = search(config)
    trials = record["trials"]
    best = min(trials, key=lambda each: each["validation_loss"])["number"]
    assert record["best"] == best == record["front"][-1]
    costs = [(trials[number]["trainable_parameters"], trials[number]["validation_loss"]) for number in record["front"]]
    assert costs == sorted(costs) and [loss for _, loss in costs] == sorted((loss for _, loss in costs), reverse=True)
    assert f"The best is trial {best}" in capsys.readouterr().out


def test_goes_on_where_it_was_stopped_and_repeats_nothing(config, monkeypatch):
    fit, calls = trial.fit, []

    def stopping(*arguments):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(arguments)
        return fit(*arguments)

    monkeypatch.setattr(trial, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        search(config)
    counted = []
    monkeypatch.setattr(trial, "fit", lambda *arguments: counted.append(1) or fit(*arguments))
    stopped = search(config)
    assert len(counted) == 2
    longer = search(dataclasses.replace(config, trials=6))
    assert len(counted) == 3 and outcomes(longer)[:5] == outcomes(stopped)
    whole = search(dataclasses.replace(config, trials=6, output=config.output + "-whole"))
    assert outcomes(whole) == outcomes(longer)
    with pytest.raises(QweftError, match="trial-000 holds a run of another configuration"):
        search(dataclasses.replace(config, seeds=[1]))


def test_a_trial_that_diverges_is_an_outcome(config, monkeypatch, capsys):
    fit = trial.fit

    def diverging(model, rows, pad, training, label):
        if label.startswith("trial-001"):
            raise trial.DivergedError("the loss is not a number", ((1, 4.0), (2, float("nan"))))
        return fit(model, rows, pad, training, label)

    monkeypatch.setattr(trial, "fit", diverging)
    record = search(dataclasses.replace(config, trials=2))
    assert [each["state"] for each in record["trials"]] == ["complete", "diverged"]
    assert "parameters, diverged" in capsys.readouterr().out
    monkeypatch.setattr(trial, "fit", lambda *_: (_ for _ in ()).throw(trial.DivergedError("no number", ())))
    nothing = search(dataclasses.replace(config, trials=2, output=config.output + "-none"))
    assert nothing["best"] is None and "No trial has a loss" in capsys.readouterr().out


def test_a_trial_without_memory_is_an_outcome_and_the_search_goes_on(config, monkeypatch, capsys):
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
    record = search(config)
    assert [each["state"] for each in record["trials"]] == ["complete", "out of memory", "complete"]
    assert "1 trial ran out of memory" in capsys.readouterr().out
    assert outcomes(search(config)) == outcomes(record) and len(tried) == 3


def test_a_search_ends_when_its_time_is_spent(config, monkeypatch):
    monkeypatch.setattr(sizes, "budget_of", lambda text: Budget(seconds=1e-6))
    record = search(config)
    assert len(record["trials"]) == 1 and "time of the budget" in record["ended"]


def test_a_search_ends_with_its_space(config):
    record = search(with_space(config, r={"values": [2, 3]}))
    assert sorted(each["values"]["r"] for each in record["trials"]) == [2, 3]
    assert "no further configuration" in record["ended"]


def test_nothing_within_the_budget_is_said_before_anything_is_loaded(config, monkeypatch):
    monkeypatch.setattr(sizes, "set_up", lambda *_: pytest.fail("weights were loaded"))
    with pytest.raises(QweftError, match="within the budget of 1 parameters"):
        search(dataclasses.replace(config, budget="1 parameters"))


def test_two_processes_one_of_them_killed_give_what_one_gives(config, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(asdict(dataclasses.replace(config, trials=4))))

    def start(name, number, *more):
        words = ["tune", str(path), "--output", str(tmp_path / name), *more]
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
    for name in ("sizes.json", "loss_by_size.png"):
        (output / name).write_text('{"mine": 1}')
        with pytest.raises(QweftError, match=f"holds {name}, and no search over sizes wrote it"):
            search(config)
        assert (output / name).read_text() == '{"mine": 1}'
        (output / name).unlink()
    precious = tmp_path / "elsewhere" / "adapter" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    (output / "trial-000").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(QweftError, match="is a link to"):
        search(config)
    assert precious.read_text() == "mine"
