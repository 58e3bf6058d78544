"""Runs on a local Ray cluster of two workers are those of one process."""

import dataclasses
import json

import pytest

from qweft.comparison import runner
from qweft.comparison.config import ComparisonConfig, MethodConfig
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.models.config import ModelConfig
from qweft.sweep.config import SpaceConfig, SweepConfig
from qweft.sweep.run import sweep
from qweft.training.config import TrainingConfig

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

TIMED = ("started", "seconds", "step_seconds_median", "peak_memory_bytes", "step_seconds_spread", "cpu_by_others",
         "load_average")  # fmt: skip
TARGETS = {"target_modules": ["q_proj", "v_proj"]}
HYBRID = {"preset": "qtha", "r": 2, "width": 8, "bond_dimension": 2, **TARGETS}


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else actors stand back behind everything else on the machine
        patch.setenv("OMP_NUM_THREADS", "1")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """The sums of a training are the same to the last bit where as many threads make them."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def sections(places):
    return {
        "model": ModelConfig(name=places[0]),
        "data": DataConfig(source=places[1], validation_rows=4, test_rows=4, max_length=48),
        "training": TrainingConfig(max_steps=3, batch_size=2, gradient_accumulation=1),
    }


def twice(config, make, tmp_path):
    """What a command gives in one process, and on the cluster."""
    here, there = (dataclasses.replace(config, output=str(tmp_path / name)) for name in ("here", "there"))
    return make(here), make(dataclasses.replace(there, executor="ray", workers=2))


def untimed(record):
    return {key: value for key, value in record.items() if key not in TIMED}


def test_a_comparison_with_its_search_is_that_of_one_process(cluster, sections, tmp_path):
    config = ComparisonConfig(
        methods={"lora": MethodConfig({"peft_type": "LORA", "r": 2, **TARGETS}), "qtha": MethodConfig(HYBRID)},
        evaluation=EvaluationConfig(answers=1, max_new_tokens=4),
        seeds=[0, 1],
        search=True,
        rates=[1e-3, 1e-2],
        inspect=True,
        **sections,
    )

    def make(config):
        return json.loads(runner.compare(config, "methods: {}\n", "").with_name("results.json").read_text())

    here, there = twice(config, make, tmp_path)
    assert [untimed(run) for run in there["runs"]] == [untimed(run) for run in here["runs"]]
    assert there["search"] == here["search"]
    own, other = (tmp_path / name / "qtha-1" / "adapter" / "adapter_model.safetensors" for name in ("here", "there"))
    assert own.read_bytes() == other.read_bytes()
    # a finished comparison is read and not made again, here or there
    again = make(dataclasses.replace(config, output=str(tmp_path / "there")))
    assert again["runs"] == there["runs"]


def test_a_sweep_is_that_of_one_process(cluster, sections, tmp_path):
    config = SweepConfig(
        adapter={key: value for key, value in HYBRID.items() if key != "r"},
        space=SpaceConfig(
            adapter={"r": {"values": [2, 3]}},
            training={"learning_rate": {"low": 1e-3, "high": 3e-2, "log": True}},
        ),
        trials=7,
        at_once=2,
        **sections,
    )

    def make(config):
        return json.loads(sweep(config, "space: {}\n", "").with_name("sweep.json").read_text())

    here, there = twice(config, make, tmp_path)
    assert [untimed(each) for each in there["trials"]] == [untimed(each) for each in here["trials"]]
    assert there["test"] == here["test"] and there["best"] == here["best"]


def test_a_cluster_that_does_not_answer_is_said_at_once(sections, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    config = SweepConfig(
        space=SpaceConfig(adapter={"r": {"values": [2, 3]}}), executor="ray", output=str(tmp_path / "out"), **sections
    )
    with pytest.raises(QweftError, match=r"the cluster 127\.0\.0\.1:1 does not answer .*set RAY_ADDRESS"):
        sweep(config, "", "")
