"""The file: what goes in comes out, and what is wrong with it is a sentence."""

import sqlite3

import numpy as np
import pytest

from qweft.devices import DeviceError
from qweft.devices.bound import pack_circuits, unpack_circuits
from qweft.devices.jobs.store import Job, Store, Where
from tests.devices.jobs.circuits import circuits

WHERE = Where("chip", 10, "monday")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def claim(store, token, wanted, where=WHERE, most=None, seen=None):
    job = Job(token, "fake:chip", where.device, "monday", where.shots)
    return store.claim(job, wanted, where, most, lambda count: None, seen)


def test_circuits_come_out_as_they_went_in():
    wanted, keys = circuits(1, 2), set()
    like = [wanted.pick([]), type(wanted)(2, (("crz", (1, 0)),) * 3, np.zeros((0, 3)), 3)]
    for folds in (0, 1, 3):
        for placed_like in (None, *like):
            wanted = type(wanted)(2, wanted.gates, wanted.angles, folds, placed_like)
            assert unpack_circuits(pack_circuits(wanted)).keys() == wanted.keys()
            keys.add(wanted.keys()[0])
    assert len(keys) == 9


def test_a_circuit_is_in_one_open_job_only(store):
    assert claim(store, "a", circuits(0, 1, 2), most=2).circuits == 2
    assert claim(store, "b", circuits(0, 1, 2)).circuits == 1
    assert claim(store, "c", circuits(0, 1, 2)) is None
    assert claim(store, "d", circuits(0), Where("chip", 11, "monday")).circuits == 1  # other shots
    assert claim(store, "e", circuits(0), Where("other", 10, "monday")).circuits == 1  # another device
    assert claim(store, "f", circuits(0), Where("chip", 10, "tuesday")) is None  # it is on its way
    store.close("a", "unsent", "x")
    assert claim(store, "g", circuits(0, 1, 2)).circuits == 2


def test_states_change_once(store):
    claim(store, "a", circuits(0, 1))
    assert store.sent("a", "job-1") and not store.sent("a", "job-2")
    assert store.close("a", "done", "", {0: {"00": 10}}) and not store.close("a", "failed", "late")
    job = store.job("a")
    assert (job.state, job.job) == ("done", "job-1")
    assert store.circuits_of("a") is None
    assert store.results(circuits(0, 1).keys(), WHERE) == {circuits(0).keys()[0]: {"00": 10}}
    with pytest.raises(DeviceError, match="there is no job b"):
        store.job("b")


def test_the_first_result_stays(store):
    key = circuits(0).keys()[0]
    store.keep({key: {"00": 10}}, WHERE)
    store.keep({key: {"11": 10}}, WHERE)
    assert store.results([key], WHERE) == {key: {"00": 10}}


def test_a_file_of_another_program_is_left_as_it_is(store):
    store.jobs()
    with sqlite3.connect(store.path) as db:
        db.execute("PRAGMA application_id = 5")
    before = store.path.read_bytes()
    with pytest.raises(DeviceError, match="not a ledger"):
        store.jobs()
    assert store.path.read_bytes() == before


def test_a_circuit_without_a_result_is_a_loss_that_is_seen_before_it_is_sent_again(store):
    wanted, where = circuits(0, 1, 2), Where("chip", 10, "monday")
    claim(store, "a", wanted)
    before = store.last_loss()
    store.close("a", "done", "", {1: {"01": 10}})
    assert store.losses(wanted.keys(), where, before) == {wanted.keys()[place]: "a" for place in (0, 2)}

    assert claim(store, "b", wanted, seen=before) is None
    assert claim(store, "b", wanted, seen=before + 1) is None
    assert claim(store, "b", wanted, seen=before + 2).circuits == 2
    store.close("b", "unsent", "it was not taken, and is no loss")
    assert store.last_loss() == before + 2


def test_results_of_jobs_that_were_waited_for_will_do_whatever_their_calibration(store):
    claim(store, "a", circuits(0))
    store.close("a", "done", "", {0: {"01": 10}}, "tuesday")
    keys = circuits(0).keys()
    assert not store.results(keys, Where("chip", 10, "friday"))
    assert store.results(keys, Where("chip", 10, "friday", frozenset("a")))


def test_credentials_in_what_a_provider_said_are_not_written(store, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret")
    claim(store, "a", circuits(0))
    store.note("a", "no: sk-very-secret")
    assert store.job("a").reason == "no: [credential removed]"
    store.close("a", "refused", "key=sk-very-secret")
    assert store.job("a").reason == "key=[credential removed]"
    assert b"sk-very-secret" not in store.path.read_bytes()
