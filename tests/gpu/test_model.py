"""Adapted models on a GPU against the same models on the CPU."""

import copy

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import BitsAndBytesConfig, LlamaForCausalLM

import qweft
from qweft import QwthnConfig
from tests.gpu.device import (
    DEVICE,
    HAS_CUDA,
    IDS,
    PRESETS,
    adapted,
    assert_near,
    base,
    cuda_only,
    gpu,
    logits,
    loss_and_gradients,
    on_both,
    two_devices,
)

pytestmark = gpu


@pytest.mark.parametrize("preset", PRESETS)
def test_steps_of_training(preset):
    """In float64, which the two devices add in other orders: nothing else may differ."""
    here, there = on_both(preset, torch.float64)
    for model in (here, there):
        model.train()
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        for _ in range(2):
            loss_and_gradients(model)
            optimizer.step()
    wanted, exact = loss_and_gradients(here)
    loss, gradients = loss_and_gradients(there)
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-5)  # the model normalises in float32
    assert_near(gradients, exact, 1e-3)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast(preset, dtype):
    here, there = on_both(preset)
    wanted, _ = loss_and_gradients(here)
    loss, gradients = loss_and_gradients(there, autocast=dtype)
    assert abs(loss - wanted) < 0.1 * wanted
    assert all(gradient.isfinite().all() and gradient.dtype == torch.float32 for gradient in gradients.values())


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_base_model_in_half_precision(preset, dtype):
    """PEFT keeps the adapter in float32 there."""
    here, there = on_both(preset, dtype)
    exact = copy.deepcopy(here).float()
    wanted, _ = loss_and_gradients(exact)
    loss, gradients = loss_and_gradients(there)
    assert abs(loss - wanted) < 0.1 * wanted
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("preset", ["qtha", "subspace"])
def test_gradient_checkpointing(preset, reentrant):
    _, there = on_both(preset)
    wanted, exact = loss_and_gradients(there.train())
    there.enable_input_require_grads()
    there.gradient_checkpointing_enable({"use_reentrant": reentrant})
    loss, gradients = loss_and_gradients(there)
    torch.testing.assert_close(loss, wanted)
    assert_near(gradients, exact, 1e-5)


def test_compiled():
    _, there = on_both("qtha", torch.float64)
    wanted, exact = loss_and_gradients(there)
    torch.compiler.reset()
    # the compiler of the CPU is tested elsewhere
    compiled = torch.compile(there, backend="inductor" if HAS_CUDA else "eager", fullgraph=True)
    ids = IDS.to(DEVICE)
    there.zero_grad()
    loss = compiled(input_ids=ids, labels=ids).loss
    loss.backward()
    torch.testing.assert_close(loss.detach().float().cpu(), wanted, rtol=1e-4, atol=1e-4)
    found = {name: p.grad.cpu() for name, p in there.named_parameters() if p.grad is not None}
    assert_near(found, exact, 1e-3)


@pytest.mark.parametrize("preset", PRESETS)
def test_generation(preset):
    here, there = on_both(preset, torch.float64)
    fixed = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    found = there.generate(input_ids=IDS.to(DEVICE), attention_mask=torch.ones_like(IDS).to(DEVICE), **fixed)
    assert torch.equal(found.cpu(), here.generate(input_ids=IDS, attention_mask=torch.ones_like(IDS), **fixed))


@pytest.mark.parametrize("preset", PRESETS)
def test_saving_loading_and_hotswapping(tmp_path, preset):
    _, first = on_both(preset, seed=1)
    _, second = on_both(preset, seed=2)
    first.save_pretrained(tmp_path / "1")
    second.save_pretrained(tmp_path / "2")
    loaded = PeftModel.from_pretrained(base().to(DEVICE), tmp_path / "1").eval()
    assert {tensor.device for tensor in (*loaded.parameters(), *loaded.buffers())} == {DEVICE}
    assert torch.equal(logits(loaded), logits(first.eval()))
    qweft.hotswap_adapter(loaded, tmp_path / "2")
    assert torch.equal(logits(loaded), logits(second.eval()))
    qweft.hotswap_adapter(loaded, tmp_path / "1")
    on_the_cpu = PeftModel.from_pretrained(base(), tmp_path / "1", torch_device="cpu").eval()
    torch.testing.assert_close(logits(on_the_cpu), logits(loaded), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("basis", ["gradient", "weight"])
@pytest.mark.parametrize("preset", ["subspace", "sparse"])
def test_fixed_bases(preset, basis):
    here, there = on_both(preset, r=1, width=8, basis=basis, init_weights=True)
    for model in (here, there):
        qweft.find_bases(model, [{"input_ids": IDS, "labels": IDS}])
    for (name, found), (_, wanted) in zip(there.named_buffers(), here.named_buffers(), strict=True):
        assert found.device == DEVICE, name
        if "qwthn_" in name and preset == "subspace":
            torch.testing.assert_close(found.cpu().float(), wanted.float(), rtol=0, atol=0.05)


@pytest.mark.parametrize("preset", ["mpo", "lora"])
def test_merging(preset):
    _, there = on_both(preset)
    wanted = logits(there.eval())
    there.merge_adapter()
    torch.testing.assert_close(logits(there), wanted, rtol=1e-2, atol=1e-2)


class OneLayer(nn.Module):
    """A linear layer alone, so that every wait in a step is of the adapter."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(64, 96, bias=False)

    def forward(self, x):
        return self.linear(x)


def one_layer(preset):
    fields = {"r": 4, "width": 16, "bond_dimension": 4, "circuit_layers": 3, "init_weights": False}
    return get_peft_model(OneLayer(), QwthnConfig.preset(preset, target_modules=["linear"], **fields)).to(DEVICE)


@cuda_only
@pytest.mark.parametrize("preset", PRESETS)
def test_a_step_of_a_layer_waits_for_nothing(preset):
    """The CPU runs ahead of the GPU: no number is read back, and nothing is copied in a way that waits."""
    model, x = one_layer(preset).train(), torch.randn(128, 64, device=DEVICE)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)

    def step():
        model(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
        with torch.no_grad():
            model(x)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@cuda_only
@pytest.mark.parametrize("preset", ["qtha", "qwthn", "mpo", "sparse"])
def test_a_layer_in_a_cuda_graph(preset):
    """Without gradients: a replay computes from what the parameters then hold."""
    model, x = one_layer(preset).eval(), torch.randn(16, 64, device=DEVICE)
    side = torch.cuda.Stream(DEVICE)
    side.wait_stream(torch.cuda.current_stream(DEVICE))
    with torch.no_grad():
        with torch.cuda.stream(side):
            for _ in range(3):
                model(x)
        torch.cuda.current_stream(DEVICE).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = model(x)
        x.mul_(0.5)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.1)
        graph.replay()
        torch.cuda.synchronize(DEVICE)
        torch.testing.assert_close(captured, model(x))


@two_devices
@pytest.mark.parametrize("preset", ["qtha", "subspace", "sparse"])
def test_layers_on_two_devices(tmp_path, preset):
    base().save_pretrained(tmp_path)
    names = ["model.embed_tokens", "model.layers.0", "model.rotary_emb"]
    places = dict.fromkeys(names, 0) | dict.fromkeys(["model.layers.1", "model.norm", "lm_head"], 1)
    split = LlamaForCausalLM.from_pretrained(tmp_path, device_map=places)
    here = adapted(preset)
    there = get_peft_model(split, here.peft_config["default"])
    there.load_state_dict(here.state_dict(), strict=False)
    wanted, exact = loss_and_gradients(here)
    loss, gradients = loss_and_gradients(there)
    torch.testing.assert_close(loss, wanted, rtol=1e-3, atol=1e-3)
    assert_near(gradients, exact, 1e-2)
    for name, parameter in there.named_parameters():
        if "qwthn_" in name:
            assert parameter.device == torch.device("cuda", int("layers.1." in name)), name


@cuda_only
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("preset", ["qtha", "mpo"])
def test_a_quantized_base_model(tmp_path, preset, bits):
    pytest.importorskip("bitsandbytes")
    base().save_pretrained(tmp_path)
    four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.bfloat16}
    scheme = BitsAndBytesConfig(**{f"load_in_{bits}bit": True}, **(four if bits == 4 else {}))
    there = LlamaForCausalLM.from_pretrained(tmp_path, quantization_config=scheme, device_map={"": str(DEVICE)})
    targets = ["q_proj", "v_proj", "down_proj"]
    model = get_peft_model(there, QwthnConfig.preset(preset, r=4, target_modules=targets, init_weights=False))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(6):
        loss, gradients = loss_and_gradients(model.train())
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        optimizer.step()
        losses.append(loss)
    assert losses[-1] < losses[0]
