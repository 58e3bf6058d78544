"""What the candidates of docs/research.md do to an adapter: it starts as the base model, and all of it is trained."""

from functools import partial, reduce

import pytest
import torch
from peft import get_peft_model
from research import changes, circuits, maps, networks, writes

from qweft import QwthnConfig, find_bases
from qweft.adapter.maps import MpoExpand
from tests.tiny_models import tiny_llama

TOKENS = torch.arange(24).view(2, 12)
BATCH = {"input_ids": TOKENS, "labels": TOKENS}
IN_BASES = {"compress": "basis", "expand": "basis", "r": 4, "qubits": 3, "circuit_layers": 1}
DENSE = {"compress": "dense", "expand": "dense", "r": 3, "circuit_layers": 1}
RECORDED = {"preset": "qtha", "r": 3, "circuit_layers": 1, "width": 16, "bond_dimension": 2}
DENSE_ENDS = {"compress": "dense", "expand": "dense", "r": 3}
CHANGES = {
    "activations": (changes.activation_directions, {"preset": "mpo", "compress": "basis", "expand": "basis", "r": 4}),
    "diagonal": (changes.diagonal, {"preset": "mpo", "compress": "basis", "expand": "basis", "r": 4}),
    "low rank": (changes.low_rank(2), {"preset": "mpo", "compress": "basis", "expand": "basis", "r": 4}),
    **{
        f"inner {core}": (changes.inner(core, 2), {"preset": "mpo", "compress": "basis", "expand": "basis", "r": 4})
        for core in ("identity", "quantum_linear")
    },
    "graded": (changes.graded(0.5), {"preset": "mpo", "compress": "basis", "expand": "basis", "r": 8}),
    **{
        f"circuit {how}": (changes.beside(how, n=2), {"preset": "mpo", "compress": "basis", "expand": "basis", "r": 4})
        for how in ("beside", "upon", "bias")
    },
    "step": (changes.step(2), {"preset": "mpo", "compress": "basis", "expand": "basis", "r": 4}),
    "joint": (maps.joint, {"preset": "subspace", "r": 2, "width": 4}),
    "without leading": (maps.without_leading_inputs, {"preset": "subspace", "r": 2, "width": 4}),
    "tied": (maps.tied, {"preset": "lora", "r": 2}),
    "layered": (maps.layered(2), {"preset": "lora", "r": 2}),
    "fixed": (maps.fixed_reads, {"preset": "lora", "r": 2}),
    "read gradient": (maps.read_once("gradient", 1, 1), {"preset": "lora", "r": 2}),
    "read random": (maps.read_once("random", 0, 0, without=1), {"preset": "lora", "r": 2}),
    "hats": (maps.layered(2, maps.hats), {"preset": "lora", "r": 2}),
    "steps": (maps.layered(2, maps.steps), {"preset": "lora", "r": 2}),
    "one read for all": (maps.layered(0, None, 1), {"preset": "lora", "r": 2}),
    "random reads": (
        maps.random_reads,
        {"preset": "readout", "basis": "gradient", "expand": "subspace", "r": 2, "width": 4},
    ),
    "even tokens": (maps.even_tokens, {"preset": "subspace", "r": 2, "width": 4}),
    **{
        f"sparse writes {name}": (
            maps.sparse_writes(0.5, **how),
            {"preset": "lora", "compress": "subspace", "r": 2, "width": 4},
        )
        for name, how in {
            "": {},
            "together": {"together": True},
            "by chance": {"by_chance": True},
            "from inputs": {"reads": 4},
        }.items()
    },
    **{
        name: (change, {"preset": "lora", "compress": "subspace", "r": 2, "width": 4})
        for name, change in {
            "through base": writes.through_base(["q_proj"]),
            "scaled writes": writes.scaled_writes(0.5),
            "rotated writes": writes.rotated_writes,
            "graded writes": writes.graded_writes(0.5, 0.5, 0.25),
            "drawn both": writes.both(maps.random_reads, maps.sparse_writes(0.5, by_chance=True)),
        }.items()
    },
    "scaled circuit": (circuits.instead(circuits.ScaledCore), RECORDED),
    "arctan": (circuits.instead(circuits.ArctanCore), RECORDED),
    "products": (circuits.instead(partial(circuits.OtherCircuitCore, products=True)), RECORDED),
    "pairs": (circuits.instead(partial(circuits.OtherCircuitCore, pairs=True)), RECORDED),
    "without circuit": (circuits.without_circuit, RECORDED),
    **{f"bonds {name}": (circuits.weighted_bonds(name), RECORDED) for name in ("quantum", "mlp")},
    **{
        f"several reads {core}": (
            circuits.several_reads(0.5),
            {"preset": "lora", "core": core, "compress": "subspace", "r": 3, "width": 4, "circuit_layers": 1},
        )
        for core in ("quantum_gated", "mlp_gated")
    },
    "metatt": (networks.metatt, {"preset": "mpo", "compress": "dense", "expand": "dense", "r": 3}),
    "metatt by space": (networks.with_axes(torch.eye, True), {"preset": "mpo", **DENSE_ENDS}),
    **{f"own middles {by}": (networks.own_middles(by), {"preset": "mpo", **DENSE_ENDS}) for by in (False, True)},
    "lorta": (networks.lorta, {"preset": "mpo", "compress": "dense", "expand": "dense", "r": 3}),
    "started": (changes.gradient_start, {"preset": "lora", "r": 3}),
    "shared": (changes.shared_maps, {"preset": "qtha", **DENSE}),
    "small": (changes.small_angles, {"preset": "qtha", **DENSE}),
    "reading pairs": (changes.reading_pairs, {"preset": "qtha", "core": "quantum_linear", **IN_BASES}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_it_starts_as_the_base_model_and_all_of_it_is_trained(name):
    change, adapter = CHANGES[name]
    adapter = dict(adapter)
    preset = adapter.pop("preset")
    base = tiny_llama()(**BATCH).logits
    model = get_peft_model(tiny_llama(), QwthnConfig.preset(preset, target_modules=["q_proj", "down_proj"], **adapter))
    find_bases(model, [BATCH])
    change(model, [BATCH])
    with torch.no_grad():
        torch.testing.assert_close(model(**BATCH).logits, base)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert changes.count(model.parameters()) == sum(p.numel() for p in trained.values())
    start = {n: p.detach().clone() for n, p in trained.items()}
    optimizer = torch.optim.AdamW(trained.values(), lr=0.01, weight_decay=0)
    losses = []
    for _ in range(4):
        loss = model(**BATCH).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert not [n for n, p in trained.items() if torch.equal(p, start[n])]


def test_writes_are_those_of_their_formulas():
    """E at B = 1, against the base weight, the gradient's rows and a rotation's own property."""
    adapter = {"compress": "subspace", "r": 1, "width": 4, "target_modules": ["down_proj"]}

    def written(change):
        model = get_peft_model(tiny_llama(), QwthnConfig.preset("lora", **adapter))
        find_bases(model, [BATCH])
        change(model, [BATCH])
        layer = next(iter(changes.layers_of(model).values()))
        with torch.no_grad():
            layer.qwthn_expand["default"].linear_weight.fill_(1.0)
        gradient = next(iter(maps.whole_gradients(model, [BATCH]).values()))
        return (
            layer.qwthn_expand["default"].matrix().detach()[:, 0],
            layer.get_base_layer().weight,
            gradient.norm(dim=1),
        )

    found, weight, _ = written(writes.through_base(["down_proj"]))
    wanted = weight.sum(1) / weight.norm() * min(weight.shape) ** 0.5
    torch.testing.assert_close(found, wanted)
    found, _, norms = written(writes.scaled_writes(2))
    torch.testing.assert_close(found, norms**2 / norms.square().mean())
    found, _, norms = written(writes.rotated_writes)
    assert found.square().sum().item() == pytest.approx(len(found), rel=1e-5) and found.std() > 0.1
    found, _, norms = written(writes.graded_writes(0.5, 1))
    chosen = norms >= norms.topk(round(len(norms) / 2)).values[-1]
    torch.testing.assert_close(found, torch.where(chosen, norms / norms[chosen].square().mean().sqrt(), 0.0))


def test_pairs_are_products_of_signs():
    """Against the circuit's state by hand: with no CRZ and no angles, <Z_i Z_j> = cos(x_i) cos(x_j)."""
    from qweft.adapter.functions import make_function

    core = changes.PairsCore(3, make_function("quantum", 3, 1, True, None), torch.ones(3))
    c = torch.tensor([[0.3, -0.7, 1.1]])
    found = core.features(c, torch.zeros(core.circuit.parameters), torch.eye(3))
    z = c.cos()[0]
    wanted = torch.stack([*z, z[1] * z[0], z[2] * z[0], z[2] * z[1], *c[0]])
    torch.testing.assert_close(found[0], wanted)


def adapted(change, **adapter):
    """A tiny model's first adapted layer, changed, with random numbers wherever some are trained."""
    model = get_peft_model(
        tiny_llama(), QwthnConfig.preset(adapter.pop("preset"), target_modules=["q_proj"], **adapter)
    )
    find_bases(model, [BATCH])
    change(model, [BATCH])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_()
    return next(iter(changes.layers_of(model).values()))


def branch_output(layer, x):
    """E core(C x): alpha / r is 2 in every preset."""
    return (layer(x) - layer.get_base_layer()(x)).detach() / 2.0


def test_scales_stand_before_and_behind_the_circuit():
    """With one at their places it is qtha's own core; with others its input and output are scaled."""
    layer = adapted(circuits.instead(circuits.ScaledCore), **RECORDED)
    core, c = layer.qwthn_core["default"], torch.randn(5, 3)
    prepared = core.function.prepare([core.angles.detach()])
    a, b = core.input_factors.detach(), core.output_factors.detach()
    found = core.features(c, *prepared, a, b)
    torch.testing.assert_close(found, torch.cat([b * core.function.values(a * c, *prepared), c], -1))


def test_a_core_put_in_its_place_keeps_what_both_have():
    model = get_peft_model(tiny_llama(), QwthnConfig.preset("qtha", target_modules=["q_proj"], r=3, circuit_layers=1))
    before = {name: value.clone() for name, value in model.state_dict().items() if "qwthn_core" in name}
    circuits.instead(circuits.ScaledCore)(model, [BATCH])
    after = model.state_dict()
    assert before and all(torch.equal(after[name], value) for name, value in before.items())


def test_products_and_pairs_by_hand():
    """No trained angle, one layer: CRZ(c_i c_j) is diagonal and stands before the measurement, so it changes no Z."""
    from qweft.adapter.functions import make_function

    c = torch.tensor([[0.3, -0.7, 1.1]])
    function = make_function("quantum", 3, 1, True, None)
    angles = torch.zeros(function.ansatz.parameters)
    z = c.cos()[0]
    for products in (False, True):
        core = circuits.OtherCircuitCore(3, function, products=products, pairs=True)
        wanted = torch.stack([*z, z[1] * z[0], z[2] * z[0], z[2] * z[1], *c[0]])
        torch.testing.assert_close(core.features(c, angles)[0], wanted)
    # RY angles behind them bring them to light: step 3 of the layer, all other angles zero
    angles[3:6] = torch.tensor([0.8, -0.5, 1.3])
    found = circuits.OtherCircuitCore(3, function, products=True).features(c, angles)[0, :3]
    t, y = angles[3:6].double(), c[0].double()
    state = reduce(torch.kron, [torch.stack([(x / 2).cos(), (x / 2).sin()]) for x in y]).cfloat()
    bits = torch.arange(8)[:, None] >> torch.tensor([2, 1, 0]) & 1
    for i, j in ((0, 1), (1, 2), (2, 0)):
        state = state * torch.exp(0.5j * bits[:, i] * (2 * bits[:, j] - 1) * y[i] * y[j])
    turn = [torch.stack([torch.stack([a.cos(), -a.sin()]), torch.stack([a.sin(), a.cos()])]) for a in t / 2]
    chance = (reduce(torch.kron, turn).cfloat() @ state).abs().square()
    torch.testing.assert_close(found, chance @ (1.0 - 2.0 * bits), atol=1e-5, rtol=1e-5)
    plain = circuits.OtherCircuitCore(3, function).features(c, angles)[:, :3]
    torch.testing.assert_close(plain, function_values(function, c, angles), atol=1e-5, rtol=1e-5)


def function_values(function, c, angles):
    function.make_ready()
    return function.values(c, *function.prepare([angles]))


def test_bonds_are_weighted_one_by_one():
    """Against the operator's dense matrix: g = 1 gives E, and each value of the bond its own share of it."""
    layer = adapted(circuits.weighted_bonds("quantum"), **RECORDED)
    core, opened = layer.qwthn_core["default"], layer.qwthn_expand["default"]
    shares = opened.matrix().detach().unflatten(-1, (opened.bond, 3))
    torch.testing.assert_close(shares.sum(-2), MpoExpand.contract(opened, opened.tensors()).detach())
    x = torch.randn(4, layer.in_features)
    c = x @ layer.qwthn_compress["default"].matrix().detach().T
    prepared = core.angles_of([tensor.detach() for tensor in core.tensors()])
    g = core.factors(c, *prepared).detach()
    assert g.std(0).min() > 0
    wanted = torch.einsum("tb,obr,rs,ts->to", g, shares, core.linear_weight.detach(), c)
    torch.testing.assert_close(branch_output(layer, x), wanted, atol=1e-4, rtol=1e-4)


def test_several_reads_make_one_number():
    adapter = {"core": "quantum_gated", "compress": "subspace", "r": 3, "width": 4, "circuit_layers": 1}
    layer = adapted(circuits.several_reads(0.5), preset="lora", **adapter)
    core, expand = layer.qwthn_core["default"], layer.qwthn_expand["default"].matrix().detach()
    assert expand.shape[1] == 1
    x = torch.randn(4, layer.in_features)
    c = x @ layer.qwthn_compress["default"].matrix().detach().T
    g = core.factors(c, *core.angles_of([tensor.detach() for tensor in core.tensors()])).detach()
    torch.testing.assert_close(branch_output(layer, x), (g * c).sum(-1, keepdim=True) @ expand.T, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["metatt", "lorta"])
def test_one_network_has_axes_for_block_and_kind(name):
    model = get_peft_model(
        tiny_llama(),
        QwthnConfig.preset("mpo", compress="dense", expand="dense", r=3, target_modules=["q_proj", "o_proj"]),
    )
    getattr(networks, name)(model, [BATCH])
    layers = changes.layers_of(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_()
    held = {
        part: {id(getattr(layer, f"qwthn_{part}")["default"]) for layer in layers.values()}
        for part in ("compress", "expand")
    }
    sizes = {(layer.in_features, layer.out_features) for layer in layers.values()}
    assert [len(found) for found in held.values()] == [len({size[end] for size in sizes}) for end in (0, 1)]
    cores = [layer.qwthn_core["default"] for layer in layers.values()]
    blocks, kinds = ({id(getattr(core, axis)) for core in cores} for axis in ("block", "kind"))
    assert len(cores) == len(blocks) * len(kinds) > len(blocks) > 1
    x = torch.randn(4, next(iter(layers.values())).in_features)
    for layer in layers.values():
        c, e = (getattr(layer, f"qwthn_{part}")["default"].weight.detach() for part in ("compress", "expand"))
        core = layer.qwthn_core["default"]
        block, kind = core.block.detach(), core.kind.detach()
        k = kind @ block if name == "metatt" else torch.diag(block * kind)
        torch.testing.assert_close(branch_output(layer, x), x @ (e @ k @ c).T, atol=1e-4, rtol=1e-4)


def test_parts_have_decay_and_schedules_of_their_own(tmp_path):
    """A part's weights shrink by rate * decay a step where nothing else moves them; a constant rate does not fall."""
    from research.optimizing import Parts
    from transformers import TrainingArguments
    from transformers.trainer_callback import TrainerControl, TrainerState

    weights = {part: torch.nn.Parameter(torch.ones(2)) for part in ("circuit", "linear")}
    groups = [{"params": [weight], "part": part, "lr": 0.1} for part, weight in weights.items()]
    optimizer = torch.optim.AdamW(groups)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 10)
    args = TrainingArguments(str(tmp_path), warmup_steps=1, use_cpu=True, report_to=[])
    callback, state, control = Parts({"circuit": 1.0}, ("linear",)), TrainerState(max_steps=10), TrainerControl()
    callback.on_train_begin(args, state, control, optimizer=optimizer)
    for step in range(3):
        for weight in weights.values():
            weight.grad = torch.zeros(2)
        state.global_step = step
        callback.on_pre_optimizer_step(args, state, control, optimizer=optimizer)
        rates = {group["part"]: group["lr"] for group in optimizer.param_groups}
        assert rates["circuit"] == pytest.approx(0.1 * (1 - step / 10)) and rates["linear"] == pytest.approx(0.1)
        optimizer.step()
        falling.step()
    assert weights["circuit"][0].item() == pytest.approx((1 - 0.1) * (1 - 0.09) * (1 - 0.08))
    assert weights["linear"][0].item() == 1
