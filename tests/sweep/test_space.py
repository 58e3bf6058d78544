"""The space: what is refused, what a point becomes, and what is drawn of it."""

import dataclasses
import math
from collections import Counter
from statistics import median

import pytest

from qweft.core.errors import QweftError
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.sweep.config import Axis, SpaceConfig
from qweft.sweep.propose import Fitting, Known, propose
from qweft.sweep.space import check_sweep, space_of
from tests.sweep.conftest import space


@pytest.mark.parametrize(
    ("section", "axis", "key"),
    [
        ("adapter", {"r": [2, 4]}, r"space\.adapter\.r: should be a mapping"),
        ("adapter", {"r": {"value": [2]}}, r"space\.adapter\.r\.value; did you mean .*values"),
        ("adapter", {"r": {"values": [2], "low": 1}}, r"space\.adapter\.r: give either"),
        ("adapter", {"r": {"low": 4}}, r"space\.adapter\.r: give either"),
        ("adapter", {"r": {"values": []}}, r"space\.adapter\.r: .* one or more"),
        ("adapter", {"r": {"low": 4, "high": 2}}, r"space\.adapter\.r: .*low <= high"),
        ("adapter", {"r": {"low": 0, "high": 2, "log": True}}, r"space\.adapter\.r: .*low >= 1"),
        ("training", {"learning_rat": {"values": [1.0]}}, "'learning_rate'"),
        (
            "training",
            {"learning_rate": {"values": [-1]}},
            r"space\.training\.learning_rate: .*greater than 0",
        ),
    ],
)
def test_a_wrong_axis_is_named(config, section, axis, key):
    with pytest.raises(QweftError, match=key):
        check_sweep(dataclasses.replace(config, space=space(**{section: axis})))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"space": SpaceConfig()}, "nothing varies"),
        ({"sampler": "grid"}, r"space\.training\.learning_rate is a range"),
    ],
)
def test_a_wrong_sweep_is_named(config, changes, key):
    with pytest.raises(QweftError, match=key):
        check_sweep(dataclasses.replace(config, **changes))


def test_ranges_count_their_points(config):
    axes = {"width": {"low": 8, "high": 16, "step": 4}, "layers_to_transform": {"values": [[0], [0, 1]]}}
    small = space_of(dataclasses.replace(config, space=space(adapter=axes)))
    assert small.size == 6
    assert list(small.grid())[1] == {"adapter.width": 8, "adapter.layers_to_transform": [0, 1]}
    assert space_of(config).size == float("inf")


@pytest.fixture
def fitting(config):
    model = load_model(ModelConfig(name=config.model.name, device="meta")).model
    return lambda config: Fitting(space_of(config), config.max_parameters, model)


def test_what_trains_more_than_the_budget_is_not_drawn(config, fitting):
    free = fitting(config)
    counts = [
        free.parameters({"adapter.r": 2, "adapter.width": width, "adapter.bond_dimension": 1}) for width in (8, 16)
    ]
    bound = dataclasses.replace(config, max_parameters=max(counts) - 1)
    ours, known = fitting(bound), []
    for _ in range(6):
        point = propose(bound, ours, known)
        assert ours.parameters(point) <= bound.max_parameters
        known.append(Known(point, 1.0))
    none = dataclasses.replace(config, max_parameters=1)
    assert propose(none, fitting(none), []) is None


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_a_small_space_is_proposed_whole_and_nothing_twice(config, fitting, sampler):
    axes = {"r": {"values": [2, 3]}, "width": {"values": [8, 16, 24]}}
    small = dataclasses.replace(config, space=space(adapter=axes), sampler=sampler)
    known = []
    while (point := propose(small, fitting(small), known)) is not None:
        known.append(Known(point, float(point["adapter.width"])))
    assert len({str(each.point) for each in known}) == len(known) == 6


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_points_that_train_the_same_adapter_are_proposed_once(config, fitting, sampler):
    """A dense LoRA reads no width, a linear core no circuit, and qubits are r where they are not given."""
    axes = {
        "preset": {"values": ["lora", "mpo", "quantum_lora"]},
        "width": {"values": [8, 16]},
        "circuit_layers": {"values": [1, 2, 3]},
        "qubits": {"values": [None, 4]},
    }
    small = dataclasses.replace(config, adapter={"preset": "lora"}, sampler=sampler, space=space(adapter=axes))
    check_sweep(small)
    known = []
    while (point := propose(small, fitting(small), known)) is not None:
        known.append(Known(point, 3.0))
    assert Counter(each.point["adapter.preset"] for each in known) == {"lora": 1, "mpo": 2, "quantum_lora": 3}


def test_a_proposal_follows_from_what_it_may_look_at_alone(config, fitting):
    draws, ours = config, fitting(config)
    known = []
    for _ in range(8):
        point = propose(draws, ours, known)
        assert propose(draws, ours, known) == point
        known.append(Known(point, 3.0 + abs(point["training.learning_rate"] - 1e-2)))
    other = [dataclasses.replace(each, loss=5.0 - each.loss) for each in known]
    assert propose(draws, ours, other) != propose(draws, ours, known)


def test_tpe_goes_where_the_loss_is_low(config, fitting):
    rates = space(training={"learning_rate": {"low": 1e-6, "high": 1.0, "log": True}})
    distances = {}
    for sampler in ("tpe", "random"):
        wide, known = dataclasses.replace(config, space=rates, sampler=sampler), []
        draws, ours = wide, fitting(wide)
        for _ in range(25):
            point = propose(draws, ours, known)
            known.append(Known(point, abs(math.log10(point["training.learning_rate"]) + 2)))
        distances[sampler] = median(each.loss for each in known[10:])
    assert distances["tpe"] < 0.5 * distances["random"]


@pytest.mark.parametrize(
    ("low", "high", "step", "values"),
    [
        (0.0, 0.3, 0.1, [0.0, 0.1, 0.2, 0.3]),
        (0.005, 0.03, 0.005, [0.005, 0.01, 0.015, 0.02, 0.025, 0.03]),
        (2, 8, 3, [2, 5, 8]),
    ],
)
def test_steps_are_decimals_that_can_be_typed(low, high, step, values):
    """0.1 * 3 is 0.30000000000000004, which Optuna takes for no value of the range."""
    axis = Axis(low=low, high=high, step=step)
    assert axis.choices == values and list(map(type, axis.choices)) == list(map(type, values))
    assert [axis.rounded(low + number * step) for number in range(len(values))] == values
