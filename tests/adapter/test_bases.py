"""Maps that are a fixed basis: which directions they hold, that they stay, and what a circuit beside them reads."""

import copy
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import nn
from torch.nn.functional import linear
from transformers import LlamaForSequenceClassification

from qweft import QweftError, QwthnConfig, find_bases, hotswap_adapter
from qweft.adapter import QwthnLinear
from qweft.adapter.branch import count_parameters
from qweft.adapter.directions import of_weight
from qweft.adapter.find_bases import GradientSketch, without_bases
from qweft.circuit import crz_ring_ansatz, expectation_values
from qweft.method.names import CORES, form_of
from tests.tiny_models import tiny_gpt2, tiny_llama

TOKENS = torch.arange(24).view(2, 12)
BATCH = {"input_ids": TOKENS, "labels": TOKENS}
STARTS_AT_ZERO = [core for core in CORES if core != "identity" and form_of(core) not in ("weighted", "gated")]


def config(core="linear", **changes):
    given = {"compress": "basis", "core": core, "expand": "basis", "r": 4, "target_modules": ["q_proj", "down_proj"]}
    return QwthnConfig(**given | changes)


def adapted(core="linear", make=tiny_llama, found=True, **changes):
    model = get_peft_model(make(), config(core, **changes))
    if found:
        find_bases(model, [BATCH])
    return model


def layers_of(model):
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, QwthnLinear)}


def base_gradients(make):
    model = make().requires_grad_()
    model(**BATCH).loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def trained(model, steps=4):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    model.train()
    for _ in range(steps):
        model(**BATCH).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.mark.parametrize(("d_in", "d_out"), [(180, 140), (140, 180), (30, 20), (20, 30)])
def test_a_sketch_finds_the_leading_directions_of_a_sum_of_outer_products(d_in, d_out):
    torch.manual_seed(0)
    sizes = 0.5 ** torch.arange(60.0)
    x, dy = torch.randn(60, d_in), sizes[:, None] * torch.randn(60, d_out)  # 60 tokens, ever smaller gradients
    sketch = GradientSketch(d_in, d_out, 5, torch.device("cpu"))
    assert len(sketch.sums()) == (2 if d_in > 60 else 1)  # of a small layer the gradient itself
    for at in range(0, 60, 20):
        sketch.add(x[at : at + 20].view(2, 10, d_in), dy[at : at + 20].view(2, 10, d_out))
    (into, _), (out, _) = sketch.directions()
    for total in sketch.sums():
        total.mul_(1 + 1e-6 * torch.rand(total.shape))  # as added up in another order
    for (again, _), before in zip(sketch.directions(), (into, out), strict=True):
        torch.testing.assert_close(again, before, atol=1e-3, rtol=0)  # the signs, too
    left, size, right = torch.linalg.svd(dy.T @ x)
    torch.testing.assert_close(out.T @ out, torch.eye(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(into.T @ into, torch.eye(5), atol=1e-5, rtol=0)
    torch.testing.assert_close((out.T @ dy.T @ x @ into).diagonal(), size[:5], rtol=1e-3, atol=0)
    torch.testing.assert_close((left[:, :5].T @ out).diagonal().abs(), torch.ones(5), atol=1e-3, rtol=0)
    torch.testing.assert_close((right[:5] @ into).diagonal().abs(), torch.ones(5), atol=1e-3, rtol=0)


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
@pytest.mark.parametrize("core", STARTS_AT_ZERO)
def test_the_start_is_the_base_model_and_training_moves_what_is_trained_alone(core, make):
    names = ["q_proj", "down_proj"] if make is tiny_llama else ["c_attn"]
    with torch.no_grad():
        before = make().eval()(**BATCH).logits
    model = adapted(core, make, target_modules=names).eval()
    with torch.no_grad():
        assert torch.equal(model(**BATCH).logits, before)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = model(**BATCH).loss.item()
    trained(model)
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, start[name])}
    assert moved == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert model(**BATCH).loss.item() < first


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_the_gradient_of_k_at_the_start_is_the_gradient_of_the_weight_in_the_basis(make):
    names = ["q_proj", "down_proj"] if make is tiny_llama else ["c_attn"]
    weight = base_gradients(make)
    model = adapted(make=make, target_modules=names, r=8).eval()
    model(**BATCH).loss.backward()
    for name, layer in layers_of(model).items():
        gradient = weight[name.removeprefix("base_model.model.") + ".weight"]
        gradient = gradient.T if make is tiny_gpt2 else gradient
        branch = layer.branch_of("default")
        inside = branch.expand.matrix().T @ gradient @ branch.compress.matrix().T
        torch.testing.assert_close(branch.core.linear_weight.grad, 2 * inside, atol=1e-6, rtol=1e-3)
        largest = torch.linalg.svdvals(gradient)[:8].norm()
        assert inside.norm() > 0.8 * largest  # random weights have no few directions; a pretrained model's come to 0.99


def test_finding_leaves_nothing_behind():
    model = adapted(found=False)
    frozen = next(p for p in model.parameters() if p.requires_grad).requires_grad_(False)
    model.base_model.model.lm_head.eval()
    modes = [module.training for module in model.modules()]
    weights, random = copy.deepcopy(model.base_model.model.state_dict()), torch.get_rng_state()
    find_bases(model, [BATCH])
    assert [module.training for module in model.modules()] == modes
    assert not frozen.requires_grad
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(
        layer.base_layer._forward_hooks or layer.base_layer._forward_pre_hooks for layer in layers_of(model).values()
    )
    now = model.base_model.model.state_dict()
    assert all(torch.equal(now[key], weights[key]) for key in weights if "qwthn_" not in key)


def test_they_are_found_in_a_plain_module():
    """It has no attribute `device`, as a model of transformers has."""

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x, labels):
            return SimpleNamespace(loss=(self.layer(x) - labels).square().mean())

    model = get_peft_model(Plain(), QwthnConfig.preset("sparse", target_modules=["layer"]))
    find_bases(model, [{"x": torch.randn(4, 8), "labels": torch.randn(4, 8)}])
    assert all(basis.is_found for basis in model.base_model.model.layer.branch_of("default").bases)


def test_the_same_batches_give_the_same_basis_whatever_was_drawn_before():
    torch.manual_seed(1)
    first = adapted().state_dict()
    torch.manual_seed(2)
    second = adapted().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first if "compress" in key or "expand" in key)


def test_the_weight_s_own_directions():
    base = tiny_llama()
    wide = torch.nn.Linear(256, 300, bias=False)  # with singular values that fall slowly, as those of a model do
    left, right = (torch.linalg.qr(torch.randn(size, 256)).Q for size in (300, 256))
    wide.weight.data = left @ torch.diag(torch.arange(1.0, 257) ** -0.25) @ right.T
    base.wide = wide
    model = get_peft_model(base, config(basis="weight", r=8, target_modules=["q_proj", "wide"]))
    find_bases(model)
    for layer in layers_of(model).values():
        branch, weight = layer.branch_of("default"), layer.get_base_layer().weight.detach()
        inside = branch.expand.matrix().T @ weight @ branch.compress.matrix().T
        assert inside.norm() > 0.99 * torch.linalg.svdvals(weight)[:8].norm()


def test_random_directions_differ_from_layer_to_layer():
    model = adapted(found=False, basis="random")
    find_bases(model)
    bases = [layer.branch_of("default").compress.matrix() for layer in layers_of(model).values()]
    for basis in bases:
        torch.testing.assert_close(basis @ basis.T, torch.eye(4), atol=5e-3, rtol=0)
    assert not any(torch.equal(basis, bases[0]) for basis in bases[1:])


def test_one_side_may_be_a_basis_alone():
    left, right = {"compress": "basis", "expand": "dense"}, {"compress": "dense", "expand": "basis"}
    for changes in (left, right, {**left, "core": "identity"}, {**left, "core": "frozen_weighted"}):
        model = adapted(**changes)
        first = model(**BATCH).loss.item()
        assert trained(model)(**BATCH).loss.item() < first


def matrices(model):
    return {
        (name, place): getattr(layer.branch_of(layer.active_adapters[0]), place).matrix().detach().clone()
        for name, layer in layers_of(model).items()
        for place in ("compress", "expand")
    }


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
@pytest.mark.parametrize("checkpointing", [None, False, True], ids=["plain", "checkpointing", "re-entrant"])
@pytest.mark.parametrize("core", ["linear", "quantum_linear"])
def test_nobody_need_ask_the_first_backward_pass_finds_them(core, checkpointing, make):
    targets = ["c_attn", "c_fc"] if make is tiny_gpt2 else ["q_proj", "down_proj"]
    model = adapted(core, make, found=False, target_modules=targets)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and "qwthn" not in name:
            module.p = 0.0
    model.train()
    if checkpointing is not None:
        model.gradient_checkpointing_enable({"use_reentrant": checkpointing})
        model.enable_input_require_grads()
    loss = model(**BATCH).loss
    torch.testing.assert_close(loss, make()(**BATCH).loss)
    assert without_bases(model) == ["default"]
    with pytest.warns(UserWarning, match="'default' are those of its first batch alone; qweft.find_bases") as told:
        loss.backward()
    assert len({str(warning.message) for warning in told}) == 1 and without_bases(model) == []
    asked = adapted(core, make, target_modules=targets)
    for place, matrix in matrices(model).items():
        torch.testing.assert_close(matrix, matrices(asked)[place], atol=1e-3, rtol=0)
    asked(**BATCH).loss.backward()
    for (name, found), wanted in zip(model.named_parameters(), asked.parameters(), strict=True):
        if wanted.requires_grad:
            torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-2, atol=1e-2 * wanted.grad.abs().max().item())
            assert found.grad.any() == ("angles" not in name), name  # theirs come with Q, which starts at zero
    start = loss.item()
    assert trained(model)(**BATCH).loss.item() < start


def test_two_forward_passes_before_the_first_backward_and_a_second_backward():
    """As in the losses of preferences; each is computed again for its checkpoints, after the other gave directions."""
    other = {"input_ids": TOKENS.flip(1), "labels": TOKENS.flip(1)}
    model = adapted(found=False).train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    (model(**BATCH).loss - 0.5 * model(**other).loss).backward()
    plain = adapted(found=False).train()
    loss = plain(**BATCH).loss - 0.5 * plain(**other).loss
    loss.backward(retain_graph=True)
    for found, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        if wanted.requires_grad:
            torch.testing.assert_close(found.grad, wanted.grad)
    once = [p.grad.clone() for p in plain.parameters() if p.requires_grad]
    loss.backward()
    for parameter, gradient in zip([p for p in plain.parameters() if p.requires_grad], once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient)


def test_checkpoints_computed_again_in_a_later_backward_pass_are_as_they_were():
    other = {"input_ids": TOKENS.flip(1), "labels": TOKENS.flip(1)}
    gradients = []
    for checkpointing in (None, False, True):
        model = adapted(found=False).train()
        if checkpointing is not None:
            model.gradient_checkpointing_enable({"use_reentrant": checkpointing})
            model.enable_input_require_grads()
        losses = model(**BATCH).loss, model(**other).loss
        losses[0].backward(retain_graph=not checkpointing)
        losses[1].backward()
        if not checkpointing:
            losses[0].backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.requires_grad])
        first = model(**BATCH).loss.item()
        assert trained(model)(**BATCH).loss.item() < first
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("kind", ["gradient", "weight", "random"])
def test_what_is_computed_twice_draws_the_same_dropout(kind, reentrant):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(3)
        model = adapted(make=tiny_gpt2, found=False, basis=kind, dropout=0.1, target_modules=["c_attn", "c_fc"]).train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        embedded = model.get_input_embeddings()(TOKENS).detach().requires_grad_()
        torch.manual_seed(5)
        model(inputs_embeds=embedded, labels=TOKENS).loss.backward()
        gradients.append(embedded.grad)
    torch.testing.assert_close(*gradients)


def test_what_follows_a_layer_may_write_to_its_output():
    base = torch.nn.Sequential(torch.nn.Linear(9, 8), torch.nn.ReLU(inplace=True), torch.nn.Linear(8, 7))
    model = get_peft_model(base, config(target_modules=["0", "2"])).train()
    model(torch.randn(30, 9)).square().sum().backward()
    assert without_bases(model) == []


def test_hooks_of_what_is_trained_run_once():
    plain, hooked = adapted(found=False).train(), adapted(found=False).train()
    for parameter in [p for p in hooked.parameters() if p.requires_grad]:
        parameter.register_hook(lambda gradient: 0.5 * gradient)
    for model in (plain, hooked):
        model(**BATCH).loss.backward()
    for found, wanted in zip(hooked.parameters(), plain.parameters(), strict=True):
        if wanted.requires_grad:
            torch.testing.assert_close(found.grad, 0.5 * wanted.grad)


def test_what_transformers_loads_is_trained_in_the_basis_that_it_has(tmp_path):
    """It sets tensors without asking the modules that hold them."""
    model = trained(adapted())
    model.save_pretrained(tmp_path)
    loaded = tiny_llama()
    loaded.load_adapter(tmp_path, is_trainable=True)
    assert without_bases(loaded) == []
    wanted = matrices(model)
    torch.testing.assert_close(loaded.train()(**BATCH).logits, model(**BATCH).logits)
    trained(loaded, steps=1)
    assert all(torch.equal(a, b) for a, b in zip(wanted.values(), matrices(loaded).values(), strict=True))


def test_the_weight_s_own_directions_leave_every_generator_as_it_was(monkeypatch):
    layer = QwthnLinear(torch.nn.Linear(9, 8), "default", config(basis="weight"), 4, None)
    monkeypatch.setattr(torch, "manual_seed", lambda _: pytest.fail("it seeds the generators of GPUs, too"))
    random = torch.get_rng_state()
    of_weight(layer.get_base_weight(), 4)
    assert torch.equal(torch.get_rng_state(), random)


def test_a_first_pass_that_says_nothing_is_not_taken():
    model = adapted(found=False).train()
    for factor, wanted in ((torch.inf, torch.nan), (0.0, 0.0), (torch.nan, torch.nan)):
        (model(**BATCH).loss * factor).backward()
        assert without_bases(model) == ["default"]
        for parameter in [p for p in model.parameters() if p.requires_grad]:
            torch.testing.assert_close(parameter.grad, torch.full_like(parameter, wanted), equal_nan=True)
            parameter.grad = None
    with pytest.warns(UserWarning, match="first batch alone"):
        model(**BATCH).loss.backward()
    for place, matrix in matrices(model).items():
        torch.testing.assert_close(matrix, matrices(adapted())[place], atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["weight", "random"])
def test_other_bases_are_there_at_the_first_step(kind):
    model = adapted(found=False, basis=kind).train()
    model(**BATCH).loss.backward()
    assert without_bases(model) == []
    assert all(p.grad.any() for p in model.parameters() if p.requires_grad)


def test_before_its_directions_are_found_an_adapter_is_as_the_base_model(tmp_path):
    model = adapted(found=False)
    with torch.no_grad():
        assert torch.equal(model.train()(**BATCH).logits, tiny_llama()(**BATCH).logits)
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(tiny_llama(), tmp_path, is_trainable=True)
    assert without_bases(again) == without_bases(model) == ["default"]


def test_compiled_or_not_they_are_found_and_as_one_graph_it_is_told():
    torch.compiler.reset()
    plain, compiled = adapted(found=False), adapted(found=False)
    run = torch.compile(compiled.train(), backend="aot_eager")
    plain.train()
    wanted, found = ([p for p in model.parameters() if p.requires_grad] for model in (plain, compiled))
    optimizers = [torch.optim.SGD(trained, lr=0.5) for trained in (wanted, found)]
    for _ in range(3):
        plain(**BATCH).loss.backward()
        run(**BATCH).loss.backward()
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    torch.compiler.reset()
    layer = layers_of(adapted(found=False))["base_model.model.model.layers.0.self_attn.q_proj"]
    with pytest.raises(Exception, match=r"call qweft\.find_bases\(model, batches\) after get_peft_model"):
        torch.compile(layer, backend="eager", fullgraph=True)(torch.ones(1, 20))
    torch.compiler.reset()


def test_directions_are_not_replaced_without_a_word():
    model = trained(adapted())
    with pytest.raises(QweftError, match="adapter 'default' has its directions"):
        find_bases(model, [BATCH])
    find_bases(model, [{**BATCH, "labels": TOKENS.flip(1)}], again=True)


def test_how_rows_are_batched_does_not_matter():
    short = torch.tensor([[5, 3, 8, 1, -100, -100, -100, -100, -100, -100, -100, -100]])
    rows = [
        (TOKENS[:1], TOKENS[:1]),
        (TOKENS[1:], TOKENS[1:].where(torch.arange(12) > 7, -100)),
        (short.clamp(0), short),
    ]
    one = [{"input_ids": torch.cat([row for row, _ in rows]), "labels": torch.cat([labels for _, labels in rows])}]
    several = [{"input_ids": row, "labels": labels} for row, labels in rows]
    first, second = adapted(found=False), adapted(found=False)
    find_bases(first, one)
    find_bases(second, several)
    for one_layer, other in zip(layers_of(first).values(), layers_of(second).values(), strict=True):
        for place in ("compress", "expand"):
            a, b = (getattr(each.branch_of("default"), place).matrix() for each in (one_layer, other))
            a, b = (each if place == "compress" else each.T for each in (a, b))
            torch.testing.assert_close(a.T @ a, b.T @ b, atol=1e-3, rtol=0)  # the same span


@pytest.mark.parametrize("prepare", ["inputs", "bias", "transformers"])
def test_models_that_have_a_graph_already_and_models_of_transformers(prepare):
    model = tiny_llama()
    if prepare == "transformers":
        model.add_adapter(config())
    else:
        model = get_peft_model(model, config(bias="all" if prepare == "bias" else "none"))
    if prepare == "inputs":
        model.enable_input_require_grads()
    find_bases(model, [BATCH])
    assert without_bases(model) == []
    expected = adapted()
    for found, other in zip(layers_of(model).values(), layers_of(expected).values(), strict=True):
        name = found.active_adapters[0]
        torch.testing.assert_close(
            found.branch_of(name).compress.matrix(), other.branch_of("default").compress.matrix()
        )


def test_an_adapter_that_was_saved_without_directions_is_not_trained(tmp_path):
    adapted(found=False).save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path, is_trainable=True)
    assert without_bases(loaded) == ["default"]
    here = adapted()
    hotswap_adapter(here, tmp_path)
    assert without_bases(here) == ["default"]


@pytest.mark.parametrize("core", ["linear", "quantum_linear", "mlp_linear"])
def test_a_saved_adapter_brings_its_basis_along(core, tmp_path):
    model = trained(adapted(core, qubits=None if core == "linear" else 3))
    model.save_pretrained(tmp_path)
    torch.manual_seed(9)
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path, is_trainable=True).eval()
    assert without_bases(loaded) == []
    with torch.no_grad():
        assert torch.equal(loaded(**BATCH).logits, model(**BATCH).logits)
    trained(loaded)


@pytest.mark.parametrize("core", ["linear", "quantum_linear", "frozen_linear"])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32])
def test_directions_are_rounded_once_and_a_saved_adapter_has_them(kind, core, tmp_path):
    model = get_peft_model(tiny_llama().to(kind), config(core))
    find_bases(model, [BATCH])
    trained(model)
    for layer in layers_of(model).values():
        branch = layer.branch_of("default")
        assert branch.compress.weight.dtype == torch.bfloat16
        assert all(parameter.dtype == torch.float32 for part in branch for parameter in part.parameters())
        basis = branch.compress.matrix()
        torch.testing.assert_close(basis @ basis.T, torch.eye(4), atol=5e-3, rtol=0)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_llama().to(kind), tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(loaded(**BATCH).logits, model(**BATCH).logits)


def test_directions_that_are_held_in_another_type_are_rounded_too(tmp_path):
    model = tiny_llama()
    model.add_adapter(config())  # of transformers: nothing is cast
    find_bases(model, [BATCH])
    trained(model)
    held = [layer.branch_of("default").compress.weight for layer in layers_of(model).values()]
    assert all(torch.equal(each, each.bfloat16().to(each.dtype)) for each in held)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(**BATCH).logits, model(**BATCH).logits)


def test_a_model_all_in_half_precision_trains_too():
    model = get_peft_model(tiny_llama().to(torch.bfloat16), config(), autocast_adapter_dtype=False)
    find_bases(model, [BATCH])
    trained(model)


def test_an_adapter_of_the_same_config_object_shares_the_basis():
    """TRL makes its reference model so."""
    model = adapted()
    model.add_adapter("ref", model.peft_config["default"])
    for layer in layers_of(model).values():
        assert torch.equal(layer.branch_of("ref").compress.weight, layer.branch_of("default").compress.weight)
    model = adapted(found=False)
    model.add_adapter("ref", model.peft_config["default"])
    find_bases(model, [BATCH])
    assert all(layer.branch_of("ref").expand.is_found for layer in layers_of(model).values())
    model = adapted(found=False)
    model.add_adapter("ref", model.peft_config["default"])
    model.add_adapter("other", config())
    model.train()(**BATCH).loss.backward()
    for layer in layers_of(model).values():
        assert torch.equal(layer.branch_of("ref").compress.weight, layer.branch_of("default").compress.weight)
        assert not layer.branch_of("other").is_found


def test_a_linear_branch_in_a_basis_is_merged():
    model = trained(adapted())
    with torch.no_grad():
        before = model(**BATCH).logits
        torch.testing.assert_close(model.merge_and_unload()(**BATCH).logits, before, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("core", [core for core in CORES[2:] if form_of(core) != "gated"])  # that is in test_gate
def test_a_circuit_may_read_the_first_entries_alone(core):
    maps = {"compress": "dense", "expand": "dense"}
    model = get_peft_model(tiny_llama(), config(core, qubits=2, circuit_layers=1, init_weights=False, **maps)).eval()
    layer = next(iter(layers_of(model).values()))
    branch = layer.branch_of("default")
    c = torch.randn(5, 4)
    prepared = layer.prepared("default")
    mixed = linear(branch.core.features(c, *prepared.angles), prepared.expand)
    q = branch.core.function_values(c[:, :2], *prepared.angles)
    assert q.shape == (5, 2)
    if core.startswith("quantum"):
        torch.testing.assert_close(
            q, expectation_values(crz_ring_ansatz(2, 1, True), c[:, :2], branch.core.angles.detach())
        )
    h = torch.cat([q * c[:, :2], c[:, 2:]], 1) if form_of(core) == "weighted" else q @ branch.core.quantum_weight.T
    h = h + c @ branch.core.linear_weight.T if form_of(core) == "linear" else h
    torch.testing.assert_close(mixed, h @ branch.expand.matrix().T, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("qubits", [None, 3])
@pytest.mark.parametrize("core", STARTS_AT_ZERO)
def test_the_count_from_shapes(core, qubits):
    made = config(core, qubits=None if core == "linear" else qubits)
    model = get_peft_model(tiny_llama(), made)
    sizes = [(layer.in_features, layer.out_features) for layer in layers_of(model).values()]
    counted = sum(sum(count_parameters(made, *size).values()) for size in sizes)
    assert counted == model.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"core": "identity"},
            "expand 'basis' does not start at zero, and core 'identity' has no matrix that would make",
        ),
        ({"core": "quantum_weighted"}, "core 'quantum_weighted' has no matrix that would make the branch zero; take"),
        ({"core": "mlp_gated", "qubits": None}, "would make the branch zero; take a core that has one: linear"),
        (
            {"basis": "gradients"},
            "basis must be one of gradient, weight, random, got 'gradients'; did you mean 'gradient'",
        ),
        ({"basis": "weight", "compress": "mpo", "expand": "mpo"}, "basis 'weight' does nothing with compress 'mpo'"),
        ({"qubits": 3}, "qubits 3 does nothing with core 'linear'"),
        ({"core": "quantum_linear", "qubits": 9}, "qubits must be at most r, got 9 with r = 4"),
        ({"core": "quantum_linear", "qubits": 0}, "qubits must be a whole number of at least 1, got 0"),
        ({"core": "quantum_linear", "r": 64}, "use r, or qubits, of at most 12"),
    ],
)
def test_a_wrong_config_is_told_in_a_sentence(changes, sentence):
    with pytest.raises(QweftError, match=sentence.replace("(", r"\(")):
        config(**changes)


def test_a_rank_above_a_layer_s_size_is_refused():
    with pytest.raises(QweftError, match="r = 500 directions cannot be a basis of a layer with d_in"):
        get_peft_model(tiny_llama(), config(r=500))


@pytest.mark.parametrize("out", [1, 3])
def test_more_directions_than_a_gradient_has_are_refused(out):
    base = torch.nn.Sequential(torch.nn.Linear(9, out))
    for kind in (None, "weight"):
        with pytest.raises(QweftError, match=f"r = 4 directions of basis .* d_in = 9 and d_out = {out} has"):
            get_peft_model(base, config(target_modules=["0"], expand="dense", basis=kind))
    get_peft_model(base, config(target_modules=["0"], expand="dense", basis="random"))


def test_a_classifier_has_one_label_a_row():
    base = tiny_llama().config
    base.num_labels, base.pad_token_id = 3, 0
    torch.manual_seed(0)
    model = get_peft_model(LlamaForSequenceClassification(base), config(task_type="SEQ_CLS"))
    find_bases(model, [{"input_ids": TOKENS[:1], "labels": torch.tensor([1])}])
    assert without_bases(model) == []


@pytest.mark.parametrize(
    ("batches", "sentence"),
    [
        (None, "give at least one, with labels, or choose basis 'weight'"),
        (BATCH, "takes several batches, and was given one: put it into a list"),
        ([{"input_ids": TOKENS}], "a batch needs labels"),
        ([{"input_ids": TOKENS, "labels": torch.full_like(TOKENS, -100)}], "is not a number|is zero"),
    ],
)
def test_batches_without_a_gradient_are_refused(batches, sentence):
    model = adapted(found=False)
    with pytest.raises(QweftError, match=sentence):
        find_bases(model, batches)
    assert without_bases(model) == ["default"]


def test_an_adapter_that_is_not_there_and_one_without_a_basis():
    model = adapted(found=False)
    with pytest.raises(QweftError, match="there is no adapter 'other' on this model; there are: default"):
        find_bases(model, [BATCH], "other")
    plain = get_peft_model(tiny_llama(), QwthnConfig.preset("lora", target_modules=["q_proj"]))
    before = copy.deepcopy(plain.state_dict())
    find_bases(plain)
    assert all(torch.equal(tensor, before[key]) for key, tensor in plain.state_dict().items())
