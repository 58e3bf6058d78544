"""What the page shows of circuits is what the answer was made with."""

import pytest
import torch

from qweft.chat.config import ChatConfig
from qweft.chat.dialogue import Dialogue
from qweft.chat.models import open_chat_models
from qweft.circuit import expectation_values
from qweft.errors import QweftError
from qweft.evaluation.on_device import circuit_layers, on_device
from qweft.evaluation.saved import put_on
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.serve.circuits import NEWEST, Circuits

LAYER = "model.layers.1.self_attn.v_proj"


@pytest.fixture
def both(hybrid):
    """A chat of its own: its models stay observed."""
    return open_chat_models(hybrid, ChatConfig(beside="base"), {})


@pytest.fixture
def circuits(both):
    return Circuits(both.models["qtha-0"], both.tokenizer)


def answered(both, most=12):
    asked = both.ask(Dialogue(), "How many?", ChatConfig(max_new_tokens=most))[0]
    return "".join(asked), asked.answer


def test_layers_and_their_circuits(circuits, both):
    assert len(circuits.layers) == 4 and LAYER in circuits.layers
    assert circuits.circuit_of(LAYER).qubits == 2
    assert circuits.expectations_of(LAYER) == []
    assert Circuits(both.models["base"], both.tokenizer).layers == []
    with pytest.raises(QweftError, match="there is no layer nowhere with a circuit"):
        circuits.expectations_of("nowhere")


def test_values_are_those_of_one_pass_over_all_that_was_read(circuits, both, model, hybrid):
    """Held against another way to them: the device interface, a fresh model, and the whole text at once."""
    _, answer = answered(both)
    read = [*answer.prompt, *answer.tokens[:-1]]  # the last token was chosen and not read
    adapted = put_on(load_model(ModelConfig(model)), hybrid)
    seen = {}

    def measure(circuit, c, angles):
        values = expectation_values(circuit, c.double(), angles.double())
        seen[circuit_of_angles[angles.data_ptr()]] = values.reshape(-1, circuit.qubits)
        return values.to(c)

    circuit_of_angles = {core.angles.data_ptr(): layer for layer, core in circuit_layers(adapted).items()}
    with torch.no_grad(), on_device(adapted, measure):
        adapted(input_ids=torch.tensor([read]))
    for layer in circuits.layers:
        tokens = circuits.expectations_of(layer)
        assert [token.place for token in tokens] == list(range(len(read) - NEWEST, len(read)))
        assert [token.text for token in tokens] == [both.tokenizer.decode([token]) for token in read[-NEWEST:]]
        given = torch.tensor([token.expectations for token in tokens], dtype=torch.float64)
        assert (given - seen[layer][-NEWEST:]).abs().max() < 1e-5
        assert given.std(0).min() > 1e-3  # they differ from token to token, so that an exchange would be seen


def test_a_model_without_a_cache_begins_the_text_anew_at_each_token(circuits, both, monkeypatch):
    """As Mamba does: what it reads again is no further token."""
    _, answer = answered(both, 5)
    with_cache = circuits.expectations_of(LAYER)
    monkeypatch.setattr("qweft.evaluation.generation.has_cache", lambda model: False)
    _, again = answered(both, 5)
    without = circuits.expectations_of(LAYER)
    assert again.tokens == answer.tokens
    assert [(token.place, token.text) for token in without] == [(token.place, token.text) for token in with_cache]
    values = [torch.tensor([token.expectations for token in tokens]) for tokens in (without, with_cache)]
    torch.testing.assert_close(*values, rtol=0, atol=1e-5)


def test_the_answer_is_the_same(both, hybrid, circuits):
    _, noted = answered(both)
    assert noted.tokens == answered(open_chat_models(hybrid, ChatConfig(), {}))[1].tokens


def test_each_answer_begins_anew(both, circuits):
    _, first = answered(both, 12)
    _, second = answered(both, 3)
    assert first.prompt == second.prompt
    assert circuits.expectations_of(LAYER)[-1].place == len(second.prompt) + 1


def test_a_layer_that_does_not_see_each_token_once_is_not_shown(both, circuits):
    core = circuit_layers(both.models["qtha-0"])[LAYER]
    note = core.observed_by
    core.observed_by = lambda values: note(values.reshape(-1, 2)[1:])
    answered(both, 2)
    with pytest.raises(QweftError, match="does not see each token once"):
        circuits.expectations_of(LAYER)
    assert circuits.expectations_of(circuits.layers[0])
