"""Earlier results in an output folder that another command would replace."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from qweft.claims import keep_earlier
from qweft.comparison import runner, tune
from qweft.comparison.config import MethodConfig
from qweft.comparison.recommendation import Recommendation
from qweft.comparison.results import Run
from qweft.comparison.results_file import make_room
from qweft.comparison.winner import keep_winner
from qweft.errors import QweftError
from qweft.files import write_json
from tests.comparison.test_rate_search import LORA, config, on_curve  # noqa: F401


def tuned(config, *names):  # noqa: F811
    """What the file of a search for these methods holds."""
    config = dataclasses.replace(config, methods={name: MethodConfig(LORA) for name in names}, reference=names[0])
    return json.loads(tune.tune(config, "qweft tune").read_text())


@pytest.mark.parametrize(
    "content",
    [
        '{"methods": {"lora": {"validation_loss": 5}}}',
        '{"methods": {"lora": {"seeds": 0}}}',
        '{"mine": "by hand"}',
        json.dumps({"methods": {"lora": {"seeds": [*range(2000)], "validation_loss": {}}}}),
        '{"methods": [1]}',
        "[]",
        "no JSON",
    ],
)
def test_the_rates_of_another_program_are_not_replaced(config, monkeypatch, content):  # noqa: F811
    on_curve(monkeypatch, lambda x, seed: (x + 5) ** 2 / 100 + 1)
    Path(config.output).mkdir()
    (Path(config.output) / tune.FILE).write_text(content)
    with pytest.raises(QweftError, match=r"holds learning_rates\.json, and no qweft tune wrote it or it is damaged"):
        tuned(config, "lora")
    with pytest.raises(QweftError, match="no qweft tune wrote it"):
        tune.describe(config)
    assert (Path(config.output) / tune.FILE).read_text() == content


def test_the_rates_of_other_methods_are_set_aside(config, monkeypatch, capsys):  # noqa: F811
    on_curve(monkeypatch, lambda x, seed: (x + 5) ** 2 / 100 + 1)
    first = tuned(config, "one", "two")
    assert set(tuned(config, "three")["methods"]) == {"three"}
    earlier = Path(config.output) / "earlier" / "learning_rates-1"
    assert json.loads((earlier / tune.FILE).read_text()) == first
    assert "the earlier learning rates, of other methods, are now in" in capsys.readouterr().out
    assert set(tuned(config, "two", "three")["methods"]) == {"two", "three"}  # more of the same are no others
    assert [path.name for path in earlier.parent.iterdir()] == [earlier.name]


@pytest.mark.parametrize("what", ["rates", "seeds"])
def test_the_rates_of_a_larger_search_are_set_aside(config, monkeypatch, capsys, what):  # noqa: F811
    on_curve(monkeypatch, lambda x, seed: (x + 5) ** 2 / 100 + 1)
    larger = {"rates": [1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8], "search_seeds": 2}
    first = tuned(dataclasses.replace(config, **larger), "one", "two")
    fewer = {"rates": {"rates": larger["rates"][1:4]}, "seeds": {"search_seeds": 1}}[what]
    second = tuned(dataclasses.replace(config, **(larger | fewer)), "one", "two")
    earlier = Path(config.output) / "earlier" / "learning_rates-1"
    assert json.loads((earlier / tune.FILE).read_text()) == first != second
    assert "the earlier learning rates, of other rates or seeds, are now in" in capsys.readouterr().out
    assert tuned(dataclasses.replace(config, **larger), "one", "two") == first  # a larger one is no other
    assert [path.name for path in earlier.parent.iterdir()] == [earlier.name]


def test_a_search_that_is_stopped_again_leaves_no_fewer_methods(config, monkeypatch):  # noqa: F811
    on_curve(monkeypatch, lambda x, seed: (x + 5) ** 2 / 100 + 1)
    first = tuned(config, "one", "two")

    def stopping(*words):
        for found in search(*words):
            yield found
            raise KeyboardInterrupt

    search = tune.done_by_any
    with monkeypatch.context() as patch:
        patch.setattr(tune, "done_by_any", stopping)
        with pytest.raises(KeyboardInterrupt):
            tuned(config, "one", "two")
        assert json.loads((Path(config.output) / tune.FILE).read_text()) == first
        with pytest.raises(KeyboardInterrupt):
            tuned(dataclasses.replace(config, output=f"{config.output}-new"), "one", "two")
    new = json.loads((Path(f"{config.output}-new") / tune.FILE).read_text())
    assert set(new["methods"]) == {"one"}  # a first search shows what is known so far


def results(folder, *runs):
    folder.mkdir(exist_ok=True)
    made = [{"method": method, "seed": seed} for method, seed in (("base", 0), *runs)]
    (folder / "results.json").write_text(json.dumps({"runs": made}))
    for name in ("report.md", "report.html", "loss_curves.png"):
        (folder / name).write_text(name)


@pytest.mark.parametrize(
    ("methods", "seeds", "what"),
    [
        (["lora", "lorb"], [0, 1], None),
        (["lora", "lorb", "more"], [2, 1, 0], None),
        (["lora", "lorb"], [0], "seeds"),
        (["lora", "lorb"], [0, 2], "seeds"),
        (["lora"], [0, 1], "methods"),
        (["lorc"], [0], "methods"),
    ],
)
def test_results_with_runs_that_are_not_made_are_set_aside(tmp_path, capsys, methods, seeds, what):
    results(tmp_path, ("lora", 0), ("lora", 1), ("lorb", 0), ("lorb", 1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    make_room(tmp_path, methods, seeds, [], print)
    place = tmp_path if what is None else tmp_path / "earlier" / "results-1"
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    said = capsys.readouterr().out
    assert said == (f"the earlier results, with other {what}, are now in {place}\n" if what else "")


@pytest.mark.parametrize("kind", ["kept", "exported", "own run", "damaged", "link", "file", "not recommended"])
def test_a_winner_is_set_aside_with_the_results_that_it_belongs_to(tmp_path, capsys, kind):
    out, winner = tmp_path / "out", tmp_path / "out/winner"
    results(out, ("lora", 0), ("lorb", 0))
    if kind != "not recommended":
        found = json.loads((out / "results.json").read_text()) | {"recommendation": {"method": "lora", "seed": 0}}
        (out / "results.json").write_text(json.dumps(found))
    folder = tmp_path / "elsewhere" if kind == "link" else winner
    if kind == "file":
        winner.write_text("mine")
    else:
        (folder / "adapter").mkdir(parents=True)
        run = {} if kind == "own run" else {"run": {"method": "lora", "seed": 0}}
        (folder / "run.json").write_text("no JSON" if kind == "damaged" else json.dumps(run))
    if kind == "link":
        winner.symlink_to(folder)
    if kind == "exported":
        (winner / "merged-gguf").mkdir()
    make_room(out, ["lorc"], [0], [], print)
    aside = out / "earlier/results-1"
    is_moved = kind in ("kept", "exported")
    assert os.path.lexists(aside / "winner") == is_moved != os.path.lexists(winner)
    assert (aside / "winner/merged-gguf").exists() == (kind == "exported")
    held = "results and their winner" if is_moved else "results"
    assert capsys.readouterr().out == f"the earlier {held}, with other methods, are now in {aside}\n"


def test_results_of_a_method_that_a_budget_leaves_out_are_set_aside(config, monkeypatch):  # noqa: F811
    def write(results, config_yaml, title, folder):
        write_json(folder / "results.json", results)
        return folder / "report.html"

    def made(context, method, seed, folder, keep_adapter=True):
        parameters = 0 if method is None else method.trainable_parameters
        return Run("m", "d", "base" if method is None else method.name, seed, parameters, 1, 1.0, (), 1.0, 1.0, 1.0, 1)

    monkeypatch.setattr(runner, "write_report", write)
    monkeypatch.setattr(runner, "run_trial", made)
    monkeypatch.setattr(runner, "seconds_of_a_token", lambda context: None)
    small, out = MethodConfig({**LORA, "r": 1}), Path(config.output)
    config = dataclasses.replace(
        config, methods={"small": small, "large": MethodConfig({**LORA, "r": 8})}, reference="small", search=False
    )
    runner.compare(config, "", "")
    before = json.loads((out / "results.json").read_text())
    runner.compare(dataclasses.replace(config, budget="200 parameters"), "", "")
    assert {run["method"] for run in json.loads((out / "results.json").read_text())["runs"]} == {"base", "small"}
    assert json.loads((out / "earlier" / "results-1" / "results.json").read_text()) == before


def test_what_a_kill_tore_apart_is_set_aside_together(tmp_path, monkeypatch):
    results(tmp_path, ("lora", 0))
    before, moved = {path.name for path in tmp_path.iterdir()}, []

    def kill(source, target):
        moved.append(source)
        if len(moved) == 3:
            raise KeyboardInterrupt
        replace(source, target)

    replace = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        with pytest.raises(KeyboardInterrupt):
            make_room(tmp_path, ["lorb"], [0], [], print)
    make_room(tmp_path, ["lorb"], [0], [], print)
    assert {path.name for path in (tmp_path / "earlier" / "results-1").iterdir()} == before
    results(tmp_path, ("lora", 0))
    make_room(tmp_path, ["lorb"], [0], [], print)
    assert {path.name for path in (tmp_path / "earlier" / "results-2").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["earlier"]


@pytest.mark.parametrize("kind", ["link", "dangling", "file"])
def test_nothing_is_set_aside_through_a_link(config, tmp_path, kind):  # noqa: F811
    """A stranger's folder may hold one of that name."""
    output, elsewhere = Path(config.output), tmp_path / "elsewhere"
    results(output, ("lora", 0))
    if kind == "link":
        elsewhere.mkdir()
    if kind == "file":
        (output / "earlier").write_text("mine")
    else:
        (output / "earlier").symlink_to(elsewhere)
    (output / "lora-0/adapter").mkdir(parents=True)
    (output / "lora-0/run.json").write_text("{}")
    (output / "winner/adapter").mkdir(parents=True)
    (output / "winner/adapter/notes").write_text("changed")
    for act in (
        lambda: runner.describe(config),
        lambda: runner.compare(config, "", "qweft compare"),
        lambda: make_room(output, ["lorb"], [0], [], print),
        lambda: keep_winner(output, Recommendation("lora", 0, "Use lora."), print),
        lambda: keep_earlier(output, "sweep", [output / "report.md"]),
    ):
        with pytest.raises(QweftError, match=r"earlier is a link or no folder, and earlier results would be set aside"):
            act()
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []
    assert (output / "winner/adapter/notes").exists() and (output / "report.md").exists()


def test_a_link_among_what_was_set_aside_is_not_followed(tmp_path):
    results(tmp_path / "out", ("lora", 0))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/earlier").mkdir()
    (tmp_path / "out/earlier/results-1").symlink_to(tmp_path / "elsewhere")
    make_room(tmp_path / "out", ["lorb"], [0], [], print)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "out/earlier/results-2/results.json").is_file()
