"""Circuits on a device that does not exist, and that device itself: collected by `test_placement.py`."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from qweft.circuit import Circuit, Gate, crz_ring_ansatz, dense, engine, expectation_values, fused
from tests.placement.accelerator import Accelerator, MixedError, Placed
from tests.placement.models import FIRST, IDS, SECOND, assert_placed, base, device, off, step

__all__ = ["device"]  # a fixture


def of_other_form():
    """A circuit with an input in a phase, which is run gate by gate."""
    gates = (Gate("ry", (0,), "input", 0), Gate("crz", (0, 1), "input", 1), Gate("ry", (1,), "parameter", 0))
    return Circuit(2, 2, 1, gates)


def exchanged():
    """A circuit whose wires take the inputs in another order, twice."""
    uploads = [Gate("ry", (wire,), "input", 1 - wire) for wire in (0, 1, 0, 1)]
    gates = (*uploads, Gate("crz", (0, 1), "parameter", 0), Gate("ry", (1,), "parameter", 1))
    return Circuit(2, 2, 2, gates)


CIRCUITS = {
    **{f"{n}-{layers}-{reupload}": crz_ring_ansatz(n, layers, reupload) for n, layers, reupload in
       [(1, 2, True), (2, 1, True), (4, 3, True), (5, 2, False), (7, 2, True), (7, 2, False)]},
    "other": of_other_form(),
    "exchanged": exchanged(),
}  # fmt: skip


@pytest.mark.parametrize("name", CIRCUITS)
def test_the_paths_of_the_engine(device, name):
    circuit = CIRCUITS[name]
    generator = torch.Generator().manual_seed(0)
    case = [torch.randn(9, circuit.inputs, generator=generator), torch.randn(circuit.parameters, generator=generator)]

    def gradients(place, twice):
        inputs, angles = (tensor.to(place, torch.float64).requires_grad_() for tensor in case)
        values = expectation_values(circuit, inputs, angles)
        first = torch.autograd.grad(values.square().sum(), [inputs, angles], create_graph=twice)
        if twice:
            second = torch.autograd.grad(first[0].square().sum(), [inputs, angles], allow_unused=True)
            first = [*first, *(tensor for tensor in second if tensor is not None)]
        assert all(tensor.device == place for tensor in (values, *first))
        return [off(tensor) for tensor in (values, *first)]

    for twice in (False, True):
        for one, other in zip(gradients(FIRST, twice), gradients(torch.device("cpu"), twice), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    device.notes.clear()
    gradients(FIRST, False)
    assert device.notes == []


class Kernel:
    """Stands for a Triton kernel: checks where its tensors are, and computes what it would."""

    def __init__(self, compute, entered):
        self.compute, self.entered, self.launches = compute, entered, 0

    def __getitem__(self, grid):
        def launch(*args, n, BLOCK, num_warps, enable_fp_fusion, ROWS=None):
            tensors = [argument for argument in args if isinstance(argument, torch.Tensor)]
            assert {tensor.device for tensor in tensors} == {self.entered[-1]}
            assert all(tensor.is_contiguous() for tensor in tensors)
            self.launches += 1
            self.compute(*args)

        return launch


@pytest.mark.parametrize("place", [FIRST, SECOND], ids=str)
@pytest.mark.parametrize("reupload", [True, False])
def test_the_launches_of_the_fused_kernels(device, monkeypatch, place, reupload):
    """All that a kernel gets is on the device of its inputs, and that is the current one."""
    kernels = pytest.importorskip("qweft.circuit.fused_kernels")
    circuit, entered = crz_ring_ansatz(3, 2, reupload), []

    class Entered:
        def __init__(self, wanted):
            entered.append(wanted)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            entered.append(None)

    def angles_of(table, layers):
        angles = torch.atan2(off(table)[:, 1], off(table)[:, 0])
        count = (layers + 1) * 3
        return 2 * angles[:count].view(layers + 1, 3), angles[count:].view(layers, 8)

    def forward(inputs, table, uploads, values, tokens, layers, tiles):
        flags = tuple(bool(flag) for flag in off(uploads))
        values.held.copy_(dense.values_of(off(inputs), *angles_of(table, layers), flags))

    def backward(inputs, table, uploads, weights, to_inputs, partial, tokens, layers, tiles):
        flags = tuple(bool(flag) for flag in off(uploads))
        found = dense.gradients_of(off(weights), off(inputs), *angles_of(table, layers), flags)
        to_inputs.held.copy_(found[0])
        partial.held.zero_()[0] = torch.cat([found[1].flatten(), found[2].flatten()])

    there = {"forward_kernel": Kernel(forward, entered), "backward_kernel": Kernel(backward, entered)}
    for name, kernel in there.items():
        monkeypatch.setattr(kernels, name, kernel)
    monkeypatch.setattr(kernels, "_multiprocessors", lambda _: 4)
    monkeypatch.setattr(torch.cuda, "device", Entered)
    monkeypatch.setattr(Placed, "is_cuda", True, raising=False)
    monkeypatch.setattr(fused, "available", lambda _: True)
    kernels._flags.cache_clear()
    assert engine.kernels_for(3, place) is fused
    generator = torch.Generator().manual_seed(0)
    case = [torch.randn(5, 3, generator=generator), torch.randn(circuit.parameters, generator=generator)]
    found = []
    for where in (torch.device("cpu"), place):
        inputs, angles = (tensor.to(where, torch.float64).requires_grad_() for tensor in case)
        # rows that are not contiguous, as a slice of c is
        values = expectation_values(circuit, torch.cat([inputs, inputs], 1)[:, :3], angles)
        # a backward pass knows the first device alone, see above
        gradients = () if place == SECOND else torch.autograd.grad((values * values.detach()).sum(), [inputs, angles])
        found.append([off(tensor) for tensor in (values, *gradients)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-9)
    assert [kernel.launches for kernel in there.values()] == [1, int(place == FIRST)]
    kernels._flags.cache_clear()


def test_the_device_is_one(device):
    """The checks above rest on this: what would fail on a GPU fails here."""
    here, there = torch.ones(3), torch.ones(3).to(FIRST)
    with pytest.raises(MixedError):
        there + here
    with pytest.raises(MixedError):
        there + there.to(SECOND)
    with pytest.raises(MixedError):
        torch.ones(3, 3).to(FIRST) @ here
    with pytest.raises(MixedError):
        there.gather(0, torch.tensor([0]))
    assert (there + torch.tensor(2.0)).device == FIRST
    assert off(there[torch.tensor([0, 2])]).tolist() == [1, 1]
    written = torch.zeros(3).to(FIRST)
    written[1:].add_(there[1:]).mul_(2)
    assert off(written).tolist() == [0, 2, 2] and isinstance(device, Accelerator)
    model = get_peft_model(base().to(FIRST), LoraConfig(r=2, target_modules=["q_proj"]))
    assert_placed(model)
    assert step(model, IDS.to(FIRST))[1]
