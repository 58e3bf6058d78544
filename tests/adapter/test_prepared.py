"""Matrices and angles built for the whole model at once: equal to each layer's own, whoever calls it, and when."""

import copy
import io

import pytest
import torch
from peft import get_peft_model

from qweft import QwthnConfig, find_bases, presets
from qweft.adapter import QwthnLinear, batched_build, build
from qweft.evaluation.loss import judged
from tests.rounding import assert_close
from tests.tiny_models import tiny_llama

TOKENS = torch.arange(24).view(2, 12)


def small(preset="qtha", **changes):
    return QwthnConfig.preset(preset, **{"r": 3, "width": 8, "bond_dimension": 2, "circuit_layers": 2, **changes})


def ready(preset="qtha", **changes):
    """A model in which no part of the adapter is at its start; in float64, where equal is equal on any processor."""
    model = get_peft_model(tiny_llama().double(), small(preset, **changes))
    torch.manual_seed(5)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    find_bases(model, [{"input_ids": TOKENS, "labels": TOKENS}])
    return model.train()


def layers_of(model):
    return [module for module in model.modules() if isinstance(module, QwthnLinear)]


def loss_of(model, tokens=TOKENS):
    """The model's loss, which transformers would round to float32."""
    logits = model(input_ids=tokens).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def gradients(model, backward=lambda model: loss_of(model).backward()):
    for parameter in model.parameters():
        parameter.grad = None
    backward(model)
    return [p.grad.clone() for p in model.parameters() if p.requires_grad]


def alone(model):
    """The same model with every layer building for itself."""
    batched_build.unwatch(model.base_model.model)
    return model


def assert_all_close(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert other.abs().max() > 0
        assert_close(one, other)


@pytest.fixture
def built(monkeypatch):
    """How many branches each call of `prepare` built."""
    counts = []
    original = build.prepare

    def counting(branches, graph):
        counts.append(len(branches))
        return original(branches, graph)

    monkeypatch.setattr(batched_build, "prepare", counting)
    monkeypatch.setattr("qweft.adapter.layer.prepare", counting)
    return counts


@pytest.mark.parametrize("preset", [*presets(), "mixed"])
def test_together_equals_each_alone(preset):
    changes = {"rank_pattern": {"v_proj": 2}, "target_modules": ["q_proj", "v_proj", "down_proj"]}
    model = ready("qtha", **changes) if preset == "mixed" else ready(preset)
    found = gradients(model)
    assert_all_close(found, gradients(alone(model)))


def test_one_build_a_form_and_step(built):
    model = ready(target_modules=["q_proj", "o_proj", "v_proj"])  # q and o have one form, v another
    count = len(layers_of(model)) // 3
    gradients(model)
    assert sorted(built) == [count, 2 * count]
    built.clear()
    model.eval()
    with torch.no_grad():
        for _ in range(3):
            model(TOKENS)
    assert sorted(built) == [count, 2 * count]
    alone(model.train())
    built.clear()
    gradients(model)
    assert built == [1] * 3 * count


@pytest.mark.parametrize("between", ["eval", "judged", "a layer's own call"])
def test_what_was_let_go_is_built_once_and_not_at_every_call(built, between):
    """Each token of an answer is a call: chats and evaluations set the mode before each answer."""
    model = ready().eval()
    layer = layers_of(model)[0]
    with torch.no_grad():
        model(TOKENS)
        wanted = model(TOKENS).logits
        if between == "eval":
            model.eval()
        elif between == "judged":
            with judged(model):
                pass
        else:
            layer(torch.ones(1, layer.in_features, dtype=torch.float64))
        built.clear()
        for _ in range(3):
            assert torch.equal(model(TOKENS).logits, wanted)
    assert sum(built) == len(layers_of(model))


def test_every_change_of_a_parameter_is_seen():
    model = ready().eval()
    layer = layers_of(model)[-1]
    compress = layer.qwthn_compress["default"]
    with torch.no_grad():
        model(TOKENS)
        first = layer.prepared("default").compress
        compress.operator.cores[1].mul_(2)
        torch.testing.assert_close(layer.prepared("default").compress, 2 * first)
        compress.weight.data = compress.weight.data * 3
        torch.testing.assert_close(layer.prepared("default").compress, 6 * first)
        wanted = model(TOKENS).logits
        state = {name: value.clone() for name, value in model.state_dict().items()}
        compress.weight.zero_()
        assert not torch.equal(model(TOKENS).logits, wanted)
        model.load_state_dict(state)
        assert torch.equal(model(TOKENS).logits, wanted)
    assert layer.prepared("default").expand.requires_grad


WRITES = {
    "copy_": lambda parameter: parameter.data.copy_(parameter.data / 2),
    "mul_": lambda parameter: parameter.data.mul_(1.5),
    "assigned": lambda parameter: setattr(parameter, "data", parameter.data + 0.25),
}
"""Ways in which averages of weights, model soups and quantisers write; no version counter sees the first two."""


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("preset", presets())
def test_a_write_through_data_is_seen_by_the_next_call(preset, write):
    model = ready(preset).eval()
    with torch.inference_mode():
        before = model(TOKENS).logits
        for parameter in model.parameters():
            if parameter.requires_grad:
                WRITES[write](parameter)
        after = model(TOKENS).logits
        fresh = copy.deepcopy(model)(TOKENS).logits
    assert not torch.equal(before, after)
    assert torch.equal(after, fresh)


@pytest.mark.parametrize("preset", presets())
def test_averaged_weights_answer_between_two_generations(preset):
    """An exponential average is swapped in, asked, and swapped out again."""
    model = ready(preset).eval()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kept = [parameter.data.clone() for parameter in trained]

    def generate(model):
        answer = model.generate(
            input_ids=TOKENS, max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        return torch.stack(answer.logits)

    before = generate(model)
    for parameter in trained:
        parameter.data.mul_(0.5)
    averaged = generate(model)
    assert torch.equal(averaged, generate(copy.deepcopy(model))) and not torch.equal(averaged, before)
    for parameter, value in zip(trained, kept, strict=True):
        parameter.data.copy_(value)
    assert torch.equal(generate(model), before)


def test_a_step_of_a_generation_reads_no_parameter(monkeypatch):
    """Contents are read once a prompt, and not for every token."""
    reads = []
    original = batched_build._contents
    monkeypatch.setattr(batched_build, "_contents", lambda tensors: reads.append(1) or original(tensors))
    model = ready().eval()
    with torch.no_grad():
        model(TOKENS)
    reads.clear()
    model.generate(input_ids=TOKENS, max_new_tokens=6, min_new_tokens=6, do_sample=False)
    assert len(reads) == 1


def test_a_parameter_changed_before_backward_is_an_error():
    model = ready()
    loss = loss_of(model)
    with torch.no_grad():
        layers_of(model)[0].qwthn_expand["default"].weight.mul_(2)
    with pytest.raises(RuntimeError, match="changed in place between"):
        loss.backward()


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_nothing(reentrant, watched):
    model = ready()
    wanted = gradients(model)
    if not watched:
        alone(model)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    assert_all_close(gradients(model), wanted)


def test_accumulation_adds_up():
    model = ready()
    halves = [TOKENS[:1], TOKENS[1:]]

    def in_two_forward_passes(model):
        sum(loss_of(model, half) / 2 for half in halves).backward()

    def in_two_steps(model):
        for half in halves:
            (loss_of(model, half) / 2).backward()

    wanted = gradients(model)
    assert_all_close(gradients(model, in_two_steps), wanted)
    assert_all_close(gradients(model, in_two_forward_passes), wanted)


def test_inference_mode_leaves_nothing_that_training_cannot_use():
    model = ready()
    wanted = gradients(model)
    model.eval()
    with torch.inference_mode():
        model(TOKENS)
    assert_all_close(gradients(model), wanted)


def test_copies_and_files_carry_nothing_that_was_built():
    model = ready()
    wanted = gradients(model)
    copied = copy.deepcopy(model)
    assert not any(layer.qwthn_prepared for layer in layers_of(copied))
    assert_all_close(gradients(copied), wanted)
    assert (
        layers_of(copied)[0].qwthn_prepared["default"].compress
        is not layers_of(model)[0].qwthn_prepared["default"].compress
    )
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert_all_close(gradients(torch.load(file, weights_only=False)), wanted)


def test_an_adapter_changed_while_another_was_active_is_seen():
    model = ready().eval()
    model.add_adapter("other", small("qwthn", init_weights=False))
    with torch.no_grad():
        before = model(TOKENS).logits
        model.set_adapter("other")
        model(TOKENS)
        layers_of(model)[1].qwthn_compress["default"].weight.mul_(2)
        model.set_adapter("default")
        after = model(TOKENS).logits
        assert not torch.equal(after, before)
        assert_close(alone(copy.deepcopy(model))(TOKENS).logits, after)


def test_a_compiled_model_gives_the_same_gradients():
    model = ready()
    wanted = gradients(model)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_all_close(gradients(model, lambda _: loss_of(compiled).backward()), wanted)
