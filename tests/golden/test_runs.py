"""Trainings, evaluations and measurements give the recorded numbers, on any processor but for rounding."""

import json

import pytest

from tests.golden.runs import RECORD, RUNS, differences, evaluated, measured, trained, write_inputs

TOLERANCE = 1e-5
"""Processors add in another order, and AdamW's first steps enlarge that; on one machine nothing may differ."""


@pytest.fixture(scope="module")
def record():
    return json.loads(RECORD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def runs(folder):
    return {name: trained(folder, name) for name in RUNS}


def plain(numbers):
    return json.loads(json.dumps({name: value for name, value in numbers.items() if name not in ("sha256", "weights")}))


@pytest.mark.parametrize("name", RUNS)
def test_a_training_gives_the_recorded_losses_and_weights(record, runs, name):
    wanted, found = record["runs"][name], json.loads(json.dumps(runs[name]))
    assert differences(plain(wanted), plain(found), TOLERANCE) == []
    assert differences(wanted["weights"], found["weights"], 1e-3) == []


def test_an_evaluation_gives_the_recorded_scores(record, runs, folder):
    assert differences(record["evaluated"], json.loads(json.dumps(evaluated(folder))), TOLERANCE) == []


def test_a_measurement_on_noise_gives_the_recorded_points(record, runs, folder):
    assert differences(record["measured"], json.loads(json.dumps(measured(folder))), TOLERANCE) == []
