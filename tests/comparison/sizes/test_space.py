"""The space: what is refused, what a configuration becomes, and what is proposed."""

import dataclasses
import math
from collections import Counter
from statistics import median

import pytest

from qweft.comparison.config import MethodConfig
from qweft.comparison.search import propose as proposals
from qweft.comparison.search.configurations import adapter_space, check_sizes
from qweft.comparison.search.propose import EarlierTrial
from qweft.comparison.search.space import Axis
from qweft.core.errors import QweftError
from tests.comparison.sizes.conftest import with_space


def propose(config, counter, earlier):
    return proposals.propose(counter.space, counter, earlier, config.seeds[0])


def propose_all(config, counter, loss):
    """Propose until the space has no further configuration; the loss of each follows from it."""
    earlier = []
    while (configuration := propose(config, counter, earlier)) is not None:
        earlier.append(EarlierTrial(configuration, loss(configuration)))
    return [trial.configuration for trial in earlier]


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"r": [2, 4]}, r"space\.r: should be a mapping"),
        ({"r": {"value": [2]}}, r"space\.r\.value; did you mean .*values"),
        ({"r": {"values": [2], "low": 1}}, r"space\.r: give either"),
        ({"r": {"low": 4}}, r"space\.r: give either"),
        ({"r": {"values": []}}, r"space\.r: .* one or more"),
        ({"r": {"low": 4, "high": 2}}, r"space\.r: .*low <= high"),
        ({"r": {"low": 0, "high": 2, "log": True}}, r"space\.r: .*low >= 1"),
        ({"learning_rat": {"values": [1.0]}}, r"'learning_rat'.* takes learning_rate"),
        ({"bond_dimensio": {"values": [1]}}, r"'bond_dimensio'.*bond_dimension"),
        ({"learning_rate": {"values": [-1]}}, r"space\.learning_rate: .*greater than 0"),
    ],
)
def test_a_wrong_axis_is_named(config, axes, words):
    with pytest.raises(QweftError, match=words):
        check_sizes(with_space(config, **axes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"methods": {"a": MethodConfig({"preset": "qtha"}), "b": MethodConfig({"preset": "mpo"})}},
            "methods has a, b",
        ),
        ({"rates": [1e-3]}, r"rates is for a search without a space"),
        ({"budget": "soon"}, "neither a time nor a number of parameters"),
    ],
)
def test_a_wrong_search_is_named(config, changes, words):
    with pytest.raises(QweftError, match=words):
        check_sizes(dataclasses.replace(config, **changes))


def test_ranges_count_their_configurations(config):
    axes = {"width": {"low": 8, "high": 16, "step": 4}, "layers_to_transform": {"values": [[0], [0, 1]]}}
    small = adapter_space(with_space(config, **axes))
    assert small.size == 6
    assert list(small.all_configurations())[1] == {"width": 8, "layers_to_transform": [0, 1]}
    assert adapter_space(config).size == float("inf")


def test_what_trains_more_than_the_budget_is_not_drawn(config, counter_of):
    free = counter_of(config)
    counts = [free.size_of({"r": 2, "width": width, "bond_dimension": 1}).parameters for width in (8, 16)]
    most = max(counts) - 1
    bound = dataclasses.replace(config, budget=f"{most} parameters")
    counter, earlier = counter_of(bound), []
    for _ in range(6):
        configuration = propose(bound, counter, earlier)
        assert 0 < counter.size_of(configuration).parameters <= most
        earlier.append(EarlierTrial(configuration, 1.0))
    nothing = dataclasses.replace(config, budget="1 parameters")
    assert propose(nothing, counter_of(nothing), []) is None


def test_a_small_space_is_proposed_whole_and_nothing_twice(config, counter_of):
    small = with_space(config, r={"values": [2, 3]}, width={"values": [8, 16, 24]})
    proposed = propose_all(small, counter_of(small), lambda configuration: float(configuration["width"]))
    assert len(set(map(str, proposed))) == len(proposed) == 6


def test_configurations_that_train_the_same_adapter_are_proposed_once(config, counter_of):
    """A dense LoRA reads no width, a linear core no circuit, and qubits are r where they are not given."""
    axes = {
        "preset": {"values": ["lora", "mpo", "quantum_lora"]},
        "width": {"values": [8, 16]},
        "circuit_layers": {"values": [1, 2, 3]},
        "qubits": {"values": [None, 4]},
    }
    small = with_space(config, adapter={"preset": "lora"}, **axes)
    check_sizes(small)
    proposed = propose_all(small, counter_of(small), lambda configuration: 3.0)
    assert Counter(each["preset"] for each in proposed) == {"lora": 1, "mpo": 2, "quantum_lora": 3}


def test_a_proposal_follows_from_what_it_may_look_at_alone(config, counter_of):
    counter, earlier = counter_of(config), []
    for _ in range(8):
        configuration = propose(config, counter, earlier)
        assert propose(config, counter, earlier) == configuration
        earlier.append(EarlierTrial(configuration, 3.0 + abs(configuration["learning_rate"] - 1e-2)))
    reversed_losses = [dataclasses.replace(trial, loss=5.0 - trial.loss) for trial in earlier]
    assert propose(config, counter, reversed_losses) != propose(config, counter, earlier)


def test_proposals_go_where_the_loss_is_low(config, counter_of, monkeypatch):
    wide = with_space(config, learning_rate={"low": 1e-6, "high": 1.0, "log": True})
    counter, distances = counter_of(wide), {}
    for learned_draws in (20, 0):
        monkeypatch.setattr(proposals, "LEARNED_DRAWS", learned_draws)
        earlier = []
        for _ in range(25):
            configuration = propose(wide, counter, earlier)
            earlier.append(EarlierTrial(configuration, abs(math.log10(configuration["learning_rate"]) + 2)))
        distances[learned_draws] = median(trial.loss for trial in earlier[10:])
    assert distances[20] < 0.5 * distances[0]


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
