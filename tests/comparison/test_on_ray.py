"""Runs on a local Ray cluster of two workers are those of one process."""

import dataclasses
import json

import pytest

from qweft.comparison.search.sizes import tune_sizes
from qweft.comparison.search.space import Axis, TuneConfig
from qweft.core.errors import QweftError
from tests.comparison.comparison_examples import LORA, comparison, results
from tests.comparison.test_workers import TIMED

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

HYBRID = {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, "target_modules": ["q_proj", "v_proj"]}


@pytest.fixture(scope="module")
def cluster():
    import torch

    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else actors stand back behind everything else on the machine
        patch.setenv("OMP_NUM_THREADS", "1")  # sums of a training are the same where as many threads make them
        torch.set_num_threads(1)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()
        torch.set_num_threads(threads)


def twice(config, make, tmp_path):
    """What a command gives in one process, and on the cluster."""
    here, there = (dataclasses.replace(config, output=str(tmp_path / name)) for name in ("here", "there"))
    return make(here), make(dataclasses.replace(there, executor="ray", workers=2))


def untimed(records):
    return [{key: value for key, value in record.items() if key not in TIMED} for record in records]


def test_a_comparison_with_its_search_is_that_of_one_process(cluster, places, tmp_path):
    keys = {"seeds": [0, 1], "search": True, "rates": [1e-3, 1e-2], "inspect": True}
    config = comparison(places, tmp_path, methods={"lora": LORA, "qtha": HYBRID}, evaluation={"answers": 1}, **keys)
    here, there = twice(config, results, tmp_path)
    assert untimed(there["runs"]) == untimed(here["runs"]) and there["search"] == here["search"]
    own, other = (tmp_path / name / "qtha-1" / "adapter" / "adapter_model.safetensors" for name in ("here", "there"))
    assert own.read_bytes() == other.read_bytes()
    # a finished comparison is read and not made again, here or there
    assert results(dataclasses.replace(config, output=str(tmp_path / "there")))["runs"] == there["runs"]


@pytest.fixture
def sizes(places, tmp_path):
    """A search over the sizes of one adapter."""
    shared = comparison(places, tmp_path, methods={"qtha": {**HYBRID, "r": 2}})
    sections = {field.name: getattr(shared, field.name) for field in dataclasses.fields(shared)}
    space = {"r": Axis([2, 3]), "learning_rate": Axis(low=1e-3, high=3e-2, log=True)}
    return TuneConfig(**sections, space=space, trials=7, at_once=2)


def test_a_search_over_sizes_is_that_of_one_process(cluster, sizes, tmp_path):
    here, there = twice(sizes, lambda config: json.loads(tune_sizes(config, "").read_text()), tmp_path)
    assert untimed(there["trials"]) == untimed(here["trials"])
    assert there["best"] == here["best"]


def test_a_cluster_that_does_not_answer_is_said_at_once(sizes, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(QweftError, match=r"127\.0\.0\.1:1 .*RAY_ADDRESS"):
        tune_sizes(dataclasses.replace(sizes, executor="ray", output=str(tmp_path / "out")), "")
