"""Maps that are a fixed basis: which directions they hold, that they stay, and what a circuit beside them reads."""

import pytest
import torch
from peft import PeftModel, get_peft_model

from qweft import QweftError, QwthnConfig, find_bases
from qweft.adapter import QwthnLinear
from qweft.adapter.find_bases import GradientSketch, without_bases
from qweft.method.names import CORES, form_of
from tests.tiny_models import tiny_gpt2, tiny_llama

TOKENS = torch.arange(24).view(2, 12)
BATCH = {"input_ids": TOKENS, "labels": TOKENS}
SUBSPACE = {"compress": "subspace", "expand": "subspace", "r": 2, "width": 6, "circuit_layers": 1}
SUBSPACE |= {"target_modules": ["q_proj", "v_proj", "down_proj"]}
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
    (into, columns), (out, rows) = sketch.directions()
    for total in sketch.sums():
        total.mul_(1 + 1e-6 * torch.rand(total.shape))  # as added up in another order
    for (again, _), before in zip(sketch.directions(), (into, out), strict=True):
        torch.testing.assert_close(again, before, atol=1e-3, rtol=0)  # the signs, too
    # norms of a small layer exactly; of a large one within five deviations, 1 / sqrt(2 k) for rows, k = 20
    five = 0 if len(sketch.sums()) == 1 else 5 * 40**-0.5
    torch.testing.assert_close(rows, (dy.T @ x).norm(dim=1), rtol=max(five, 1e-5), atol=1e-6)
    torch.testing.assert_close(columns, (dy.T @ x).norm(dim=0), rtol=max(five / 2**0.5, 1e-5), atol=1e-6)
    left, size, right = torch.linalg.svd(dy.T @ x)
    torch.testing.assert_close(out.T @ out, torch.eye(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(into.T @ into, torch.eye(5), atol=1e-5, rtol=0)
    torch.testing.assert_close((out.T @ dy.T @ x @ into).diagonal(), size[:5], rtol=1e-3, atol=0)
    torch.testing.assert_close((left[:, :5].T @ out).diagonal().abs(), torch.ones(5), atol=1e-3, rtol=0)
    torch.testing.assert_close((right[:5] @ into).diagonal().abs(), torch.ones(5), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("make", "core", "changes"),
    [(tiny_gpt2, core, {"target_modules": ["c_attn"]}) for core in STARTS_AT_ZERO]
    + [(tiny_llama, core, {"start": start, **SUBSPACE}) for core in CORES for start in ("recorded", "scaled")],
)
def test_the_start_is_the_base_model_and_training_moves_what_is_trained_alone(make, core, changes):
    with torch.no_grad():
        before = make().eval()(**BATCH).logits
    model = adapted(core, make, **changes).eval()
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


def matrices(model):
    return {
        (name, place): getattr(layer.branch_of(layer.active_adapters[0]), place).matrix().detach().clone()
        for name, layer in layers_of(model).items()
        for place in ("compress", "expand")
    }


@pytest.mark.parametrize(
    ("core", "checkpointing", "make"),
    [("linear", None, tiny_gpt2), ("linear", True, tiny_llama), ("quantum_linear", False, tiny_llama)],
    ids=["plain", "re-entrant", "checkpointing"],
)
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
    assert len({str(warning.message) for warning in told}) == 1
    with torch.no_grad():
        model(**BATCH)  # the next call takes them
    assert without_bases(model) == []
    asked = adapted(core, make, target_modules=targets)
    for place, matrix in matrices(model).items():
        torch.testing.assert_close(matrix, matrices(asked)[place], atol=1e-3, rtol=0)
    assert not any(p.grad.any() for p in model.parameters() if p.requires_grad)  # they are trained from the next on
    for each in (model, asked):
        each(**BATCH).loss.backward()
    for (name, found), wanted in zip(model.named_parameters(), asked.parameters(), strict=True):
        if wanted.requires_grad:
            torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-2, atol=1e-2 * wanted.grad.abs().max().item())
            assert found.grad.any() == ("angles" not in name), name  # theirs come with Q, which starts at zero
    start = loss.item()
    assert trained(model)(**BATCH).loss.item() < start


def test_compiled_as_one_graph_it_is_told():
    torch.compiler.reset()
    layer = layers_of(adapted(found=False))["base_model.model.model.layers.0.self_attn.q_proj"]
    with pytest.raises(Exception, match=r"call qweft\.find_bases\(model, batches\) after get_peft_model"):
        torch.compile(layer, backend="eager", fullgraph=True)(torch.ones(1, 20))
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("kind", "core"),
    [(torch.bfloat16, "linear"), (torch.float16, "quantum_linear"), (torch.float32, "frozen_linear")],
)
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


@pytest.mark.parametrize(
    "batches",
    [
        None,
        BATCH,
        [{"input_ids": TOKENS}],
        [{"input_ids": TOKENS, "labels": torch.full_like(TOKENS, -100)}],
    ],
)
def test_batches_without_a_gradient_are_refused(batches):
    model = adapted(found=False)
    with pytest.raises(QweftError, match=r"batch|labels|gradient"):
        find_bases(model, batches)
    assert without_bases(model) == ["default"]
