"""Directions in few bits: what they stand for, and that saving, loading and swapping them changes nothing."""

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file

from qweft import QwthnConfig, find_bases, hotswap_adapter
from qweft.adapter.find_bases import without_bases
from qweft.adapter.packing import gathered, pack, packed_bytes, unpack
from tests.adapter.test_bases import BATCH, trained
from tests.tiny_models import tiny_llama

SIZES = (65, 576, 1000, 4097)
LEAST_COSINE = {1: 0.75, 2: 0.9, 4: 0.99, 8: 0.9999}
MAPS = {
    "subspace": {"compress": "subspace", "expand": "subspace", "core": "identity", "width": 6},
    "basis": {"compress": "basis", "expand": "basis", "core": "linear"},
    "sparse": {"compress": "subspace", "expand": "sparse", "core": "identity", "width": 6},
    "gated": {"compress": "basis", "expand": "dense", "core": "quantum_gated", "circuit_layers": 1},
}


def restored(packed, bits, size):
    return gathered(unpack(packed, bits, size, torch.float32), size)


def adapted(maps, found=True, **changes):
    torch.manual_seed(3)
    given = {"r": 2, "target_modules": ["q_proj", "v_proj", "down_proj"], **MAPS[maps], "basis_bits": 4}
    model = get_peft_model(tiny_llama(), QwthnConfig(**given | changes))
    if found:
        find_bases(model, [BATCH])
    return model


def logits(model):
    with torch.no_grad():
        return model.eval()(**BATCH).logits


@pytest.mark.parametrize("bits", LEAST_COSINE)
@pytest.mark.parametrize("size", SIZES)
def test_packed_directions_are_near_the_directions(size, bits):
    torch.manual_seed(0)
    found = torch.linalg.qr(torch.randn(size, 5) * torch.randn(size, 1) ** 5).Q  # few large entries
    packed = pack(found, bits)
    assert packed.dtype == torch.uint8 and packed.shape == (5, packed_bytes(size, bits))
    assert packed_bytes(size, bits) <= 1.04 * size * bits / 8 + 1
    again = restored(packed, bits, size)
    assert torch.nn.functional.cosine_similarity(again, found.T).min() > LEAST_COSINE[bits]
    torch.testing.assert_close(again.norm(dim=1), torch.ones(5), atol=0.1, rtol=0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_directions_that_are_known_are_never_zeros(bits):
    """One whose numbers are all below the middle would be taken for none, and drawn anew as training goes on."""
    for numbers in ([-1.0], [-1.0, 0.0], [0.0, -1.0], [-1.0, -1.0], [0.6, -0.8], [-0.5] * 4, [0.0, 0.0, -1.0]):
        for column in (torch.tensor(numbers)[:, None], -torch.tensor(numbers)[:, None]):
            direction = column / column.norm()
            packed = pack(direction, bits)
            assert packed.any() and (restored(packed, bits, len(numbers))[0] @ direction).abs() > 0.4


def test_what_a_file_means_stays():
    """The signs, the transforms and the order of bits are no part of a file, so they must never change."""
    direction = (torch.arange(12.0) - 4)[:, None] / 170**0.5
    assert {bits: pack(direction, bits).tolist() for bits in LEAST_COSINE} == MEANT


MEANT = {
    1: [[82, 5]],
    2: [[24, 98, 103]],
    4: [[132, 23, 58, 90, 123, 121]],
    8: [[87, 135, 126, 54, 153, 81, 153, 95, 164, 125, 147, 118]],
}


@pytest.mark.parametrize(("maps", "bits"), [*zip(MAPS, (1, 2, 4, 8), strict=True), ("subspace", 8), ("sparse", 1)])
def test_saved_loaded_and_swapped_bit_by_bit(maps, bits, tmp_path):
    model = trained(adapted(maps, basis_bits=bits))
    wanted, start = logits(model), logits(tiny_llama())
    assert not torch.equal(wanted, start)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_llama(), tmp_path)
    assert torch.equal(logits(loaded), wanted) and without_bases(loaded) == []
    other = adapted(maps, basis_bits=bits, found=False)
    hotswap_adapter(other, tmp_path)
    assert torch.equal(logits(other), wanted)
    unwrapped = tiny_llama()
    unwrapped.load_adapter(tmp_path)
    assert torch.equal(logits(unwrapped), wanted)
    kinds = {
        tensor.dtype for key, tensor in load_file(tmp_path / "adapter_model.safetensors").items() if ".weight" in key
    }
    assert torch.uint8 in kinds and torch.bfloat16 not in kinds
