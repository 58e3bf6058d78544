"""torch.compile of whole adapted models; of single layers, for all families and presets, in tests/conformance."""

import subprocess
import sys

import pytest
import torch

from tests.conformance.case import Case
from tests.conformance.families import FAMILIES
from tests.conformance.features.training import gradients
from tests.rounding import assert_close

FEW = ["Llama", "GPT-2", "T5", "ViT", "nn.Module"]


@pytest.mark.parametrize("family", FEW)
def test_the_whole_model_is_one_graph(family):
    case = Case(FAMILIES[family], "qtha", torch.float64)
    model = case.adapted()
    wanted = case.output(model)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert_close(case.output(compiled), wanted)
    assert not torch.equal(wanted, case.output(case.base()))


def test_a_compiled_model_sees_what_its_parameters_became():
    """What a layer prepared before, or a graph made a constant of, must not survive an optimizer's step."""
    case = Case(FAMILIES["nn.Module"], "qtha", torch.float64)
    model = case.adapted()
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    before = case.output(compiled)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    after = case.output(compiled)
    assert not torch.allclose(after, before)
    assert_close(after, case.output(model))


@pytest.mark.slow
@pytest.mark.xdist_group("compiler")
def test_the_compiler_of_pytorch_gives_equal_outputs_and_gradients():
    """One compilation, in training mode: Llama and the adapter have no dropout, so the output is that of evaluation."""
    case = Case(FAMILIES["Llama"], "qtha", torch.float64)
    model = case.adapted().train()
    exact = gradients(case, case.adapted())
    wanted = case.output(case.adapted())
    torch.compiler.reset()
    found = torch.compile(model, fullgraph=True)(**case.inputs(), labels=case.family.labels())
    assert_close(found.logits.detach().float(), wanted.float(), 200)  # the model normalises in float32
    found.loss.backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert len(trained) == len(exact) > 0
    for parameter, eager in zip(trained, exact.values(), strict=True):
        torch.testing.assert_close(parameter.grad, eager, rtol=1e-3, atol=1e-4 * eager.abs().max().item())


def test_a_model_compiled_before_its_first_call_is_one_graph_and_keeps_the_compiled_engine():
    """In a process of its own: nothing has been computed, or cached, before the compiler comes."""
    program = (
        "import torch; from peft import get_peft_model; from qweft import QwthnConfig\n"
        "from tests.tiny_models import tiny_llama; from qweft.circuit import compiled\n"
        "model = get_peft_model(tiny_llama(), QwthnConfig.preset('qtha', r=3, width=8, bond_dimension=2)).eval()\n"
        "tokens = torch.arange(24).view(2, 12)\n"
        "torch.compile(model, backend='eager', fullgraph=True)(tokens)\n"
        "assert compiled.available()\n"
    )
    subprocess.run([sys.executable, "-W", "error:Numba cannot compile", "-c", program], check=True, timeout=600)
