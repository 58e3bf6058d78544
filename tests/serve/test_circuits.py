"""What the page shows of circuits is what the answer was made with."""

import pytest
import torch

from qweft.circuit import expectation_values
from qweft.core.errors import QweftError
from qweft.evaluation.on_device import circuit_layers, on_device
from qweft.evaluation.saved import put_on
from qweft.models.config import ModelConfig
from qweft.models.load import load_model
from qweft.serve.page import NEWEST, Circuits
from tests.serve.conftest import talk

LAYER = "model.layers.1.self_attn.v_proj"


@pytest.fixture
def both(hybrid):
    """A chat of its own: its models stay observed."""
    return talk(hybrid, beside="base", max_new_tokens=12)


@pytest.fixture
def circuits(both):
    return Circuits(*both.voices.models["qtha-0"])


def answered(chat, most=12):
    """The text of an answer, the tokens of its prompt, and its own."""
    chat.config = type(chat.config)(max_new_tokens=most)
    model, _ = chat.voices.models["qtha-0"]
    text = chat.answer("qtha-0", "How many?", lambda _: None).text
    prompt = chat.prompt("qtha-0", "How many?")[0]
    return text, prompt.input_ids[0].tolist(), model.generate(**prompt, max_new_tokens=most)[0].tolist()


def test_layers_and_their_circuits(circuits, both):
    assert len(circuits.by_layer) == 4 and circuits.by_layer[LAYER].qubits == 2
    assert circuits.expectations_of(LAYER) == []
    assert Circuits(*both.voices.models["base"]).by_layer == {}


def test_values_are_those_of_one_pass_over_all_that_was_read(circuits, both, model, hybrid):
    """Held against another way to them: the device interface, a fresh model, and the whole text at once."""
    read = answered(both)[2][:-1]  # the last token was chosen and not read
    tokenizer = both.voices.models["base"][1]
    adapted = put_on(load_model(ModelConfig(model)), hybrid)
    seen = {}

    def measure(circuit, c, angles):
        values = expectation_values(circuit, c.double(), angles.double())
        seen[circuit_of_angles[angles.data_ptr()]] = values.reshape(-1, circuit.qubits)
        return values.to(c)

    circuit_of_angles = {core.angles.data_ptr(): layer for layer, core in circuit_layers(adapted).items()}
    with torch.no_grad(), on_device(adapted, measure):
        adapted(input_ids=torch.tensor([read]))
    for layer in circuits.by_layer:
        tokens = circuits.expectations_of(layer)
        assert [token["place"] for token in tokens] == list(range(len(read) - NEWEST, len(read)))
        assert [token["text"] for token in tokens] == [tokenizer.decode([token]) for token in read[-NEWEST:]]
        given = torch.tensor([token["expectations"] for token in tokens], dtype=torch.float64)
        assert (given - seen[layer][-NEWEST:]).abs().max() < 1e-5
        assert given.std(0).min() > 1e-3  # they differ from token to token, so that an exchange would be seen


def test_a_text_that_is_read_again_is_no_further_token(circuits, both):
    """As a model without a cache does at each token."""
    model, _ = both.voices.models["qtha-0"]
    whole = answered(both, 5)[2][:-1]
    with_cache = circuits.expectations_of(LAYER)
    with torch.no_grad():
        for end in range(3, len(whole) + 1):
            model(input_ids=torch.tensor([whole[:end]]), use_cache=False)
    again = circuits.expectations_of(LAYER)
    assert [(token["place"], token["text"]) for token in again] == [
        (token["place"], token["text"]) for token in with_cache
    ]
    values = [torch.tensor([token["expectations"] for token in tokens]) for tokens in (again, with_cache)]
    torch.testing.assert_close(*values, rtol=0, atol=1e-5)


def test_the_answer_is_the_same(both, hybrid, circuits):
    assert answered(both) == answered(talk(hybrid))


def test_each_answer_begins_anew(both, circuits):
    answered(both, 12)
    prompt = answered(both, 3)[1]
    assert circuits.expectations_of(LAYER)[-1]["place"] == len(prompt) + 1


def test_a_layer_that_does_not_see_each_token_once_is_not_shown(both, circuits):
    core = circuit_layers(both.voices.models["qtha-0"][0])[LAYER]
    note = core.observed_by
    core.observed_by = lambda values: note(values.reshape(-1, 2)[1:])
    answered(both, 2)
    with pytest.raises(QweftError, match="does not see each token once"):
        circuits.expectations_of(LAYER)
    assert circuits.expectations_of(next(iter(circuits.by_layer)))
