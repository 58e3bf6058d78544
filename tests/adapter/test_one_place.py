"""A map and a function are a class and a name, a preset one entry: a copy of the package with toys knows them all."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qweft

MAP = '''

class ToyExpand(LinearMap):
    """The map r -> d_out by two matrices, the first of which counts as a tensor network."""

    words = "a toy map"
    sizes = {"width": "toy width {}"}
    parts = {"left": "tensor_network", "right": "linear"}

    def __init__(self, r, width, out):
        super().__init__()
        self.left, self.right = nn.Parameter(torch.zeros(out, width)), nn.Parameter(torch.zeros(width, r))

    @classmethod
    def on_layer(cls, config, d_in, d_out):
        return cls(config.r, config.width, d_out)

    @classmethod
    def trained_on(cls, config, d_in, d_out):
        return Count(d_out * config.width, config.width * config.r)

    def tensors(self):
        return [self.left, self.right]

    def contract(self, tensors):
        return tensors[0] @ tensors[1]

    def form(self):
        return "toy"

    @torch.no_grad()
    def reset(self, start, zero, scale=1.0):
        nn.init.kaiming_uniform_(self.right)
        (nn.init.zeros_ if zero else nn.init.kaiming_uniform_)(self.left)


EXPAND: dict[str, type[LinearMap]] = {"toy": ToyExpand, '''
FUNCTION = """
import torch

from qweft.adapter.functions.base import Function
from qweft.adapter.functions.circuits import CircuitFunction


class Tangent(Function):
    name = "toy"
    words = "a toy function"
    called = "its toy {}"
    report = "a toy of a note"
    fixed_tensors = ("places",)

    def __init__(self, ansatz, uploads, fourier_terms=None):
        super().__init__(ansatz, uploads)
        self.trained, self.fixed = {"slopes": (fourier_terms or 1, self.r)}, {"places": (self.r,)}

    def start(self, angles, start):
        return {"slopes": torch.ones(self.trained["slopes"]), "places": self.phases(angles)}

    def values(self, c, *prepared):
        slopes, places = prepared
        return (slopes.sum(-2) * c + places).tanh().to(c.dtype)


class Doubled(CircuitFunction):
    name = "double"
    words = "a doubled circuit"
    called = "{} (its circuit doubled)"
    report = "a doubled circuit of a note"
    claim = "Not doubling helps"

    def values(self, c, *prepared):
        return super().values(2 * c, *prepared)
"""
NAMES = """"product": FunctionName("altered"),
    "toy": FunctionName("classical", ("fourier_terms",)),
    "double": FunctionName("altered"),"""
PRESET = """PRESETS: dict[str, Preset] = {
    "toys": Preset({"compress": "dense", "core": "toy_linear", "expand": "toy", "r": 2, "width": 3}, "a toy preset"),"""
RUN = """
import contextlib, dataclasses, io, json, sys, torch, qweft
from pathlib import Path
from peft import PeftModel, get_peft_model
from qweft.adapter.branch import count_parameters, parts_of
from qweft.cli.main import main
from qweft.comparison.method_kinds import kind_of
from qweft.comparison.report.text import controls
from qweft.comparison.summarise import summarise
from qweft.comparison.verdicts import findings
from qweft.comparison.wording import text_of
from qweft.models.config import ModelConfig
from qweft.training.config import RunConfig
from qweft.training.plan import plan
from qweft.training.trainer import split_by_part
from tests.comparison import comparison_examples as examples
from tests.tiny_folder import save_tiny_model
from tests.tiny_models import tiny_llama

folder, found = Path(sys.argv[1]), {"home": qweft.__file__}
with contextlib.redirect_stdout(io.StringIO()) as printed:
    main(["presets"])
found["presets"] = printed.getvalue()

torch.manual_seed(0)
config = qweft.QwthnConfig.preset("toys", init_weights=False)
model = get_peft_model(tiny_llama(), config).eval()
tokens = torch.arange(6)[None]
model.save_pretrained(folder / "adapter")
found["card"] = (folder / "adapter" / "README.md").read_text()
again = PeftModel.from_pretrained(tiny_llama(), folder / "adapter").eval()
found["same"] = torch.equal(again(tokens).logits, model(tokens).logits)
parts = parts_of(model)
names = {name.split("default.")[-1]: parts.get(id(p), "other") for name, p in model.named_parameters()}
found["parts"] = {name: names[name] for name in ("left", "right", "slopes", "linear_weight", "quantum_weight")}
found["trained"] = model.get_nb_trainable_parameters()[0]
optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
split_by_part(optimizer, model, {"tensor_network": 0.2, "circuit": 0.3})
found["rates"] = {g["part"]: [g["lr"], sum(p.numel() for p in g["params"])] for g in optimizer.param_groups}
layers = [module for module in model.modules() if hasattr(module, "qwthn_core")]
counts = [count_parameters(config, layer.in_features, layer.out_features) for layer in layers]
found["counts"] = {part: sum(count[part] for count in counts) for part in counts[0]}

save_tiny_model(folder / "model")
planned = plan(RunConfig(model=ModelConfig(name=str(folder / "model")), adapter={"preset": "toys"}))
found["plan"] = {"parts": planned.parts, "twin": planned.twin, "fixed": planned.fixed, "modes": planned.modes}

for name in ("toy", "double"):
    examples.ADAPTERS[f"{name}_linear"] = {"preset": "qtha", "core": f"{name}_linear", "r": 8}
runs = examples.runs(lora=[1.0] * 3, qtha=[0.9, 0.91, 0.92], toy_linear=[1.0] * 3, double_linear=[1.0] * 3)
found["kinds"] = {name: kind_of(name, examples.ADAPTERS.get(name)) for name in ("toys", "toy_linear", "double_linear")}
found["findings"] = [text_of(verdict) for verdict in findings(summarise(runs))]
found["notes"] = controls(type("Content", (), {"runs": runs}))
try:
    qweft.QwthnConfig(core="mlp", fourier_terms=2)
except qweft.QweftError as error:
    found["error"] = str(error)
print("FOUND" + json.dumps(found))
"""


def edited(file, old, new):
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    adapter = folder / "qweft" / "adapter"
    shutil.copytree(Path(qweft.__file__).parent, folder / "qweft", ignore=shutil.ignore_patterns("__pycache__"))
    edited(adapter / "maps.py", "\nEXPAND: dict[str, type[LinearMap]] = {", MAP)
    method = folder / "qweft" / "method"
    edited(method / "presets.py", "PRESETS: dict[str, Preset] = {", PRESET)
    edited(method / "names.py", "EXPAND: dict[str, Trained] = {", 'EXPAND: dict[str, Trained] = {"toy": "whole", ')
    edited(method / "names.py", '"product": FunctionName("altered"),', NAMES)
    (adapter / "functions" / "toy.py").write_text(FUNCTION)
    listed = adapter / "functions" / "__init__.py"
    edited(listed, "ProductCircuit, Bias)", "ProductCircuit, Bias, Tangent, Doubled)")
    edited(listed, "\n__all__", "from qweft.adapter.functions.toy import Doubled, Tangent\n\n__all__")
    paths = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.partition("FOUND")[2])
    assert found["home"].startswith(str(folder))
    return found


def test_a_preset_is_listed_planned_and_compared(found):
    assert "a toy preset" in found["presets"]
    assert found["plan"]["twin"]["name"] == "toy" and found["kinds"]["toys"] == "twin"


def test_a_map_is_counted_trained_and_described(found):
    assert found["parts"] == {
        "left": "tensor_network", "right": "linear",
        "slopes": "circuit", "linear_weight": "linear", "quantum_weight": "linear",
    }  # fmt: skip
    counts = found["counts"]
    assert sum(counts.values()) == found["trained"] and counts["tensor_network"] > 0
    assert found["rates"] == {
        "circuit": [0.3, counts["twin"]], "tensor_network": [0.2, counts["tensor_network"]],
        "linear": [0.1, counts["linear"]],
    }  # fmt: skip
    assert "E a toy map. t stands" in found["card"] and "rank r = 2, toy width 3\n" in found["card"]
    parts = f"tensor network {counts['tensor_network']:,}, linear maps {counts['linear']:,}, twin {counts['twin']:,}"
    assert f"parameters: {found['trained']:,} ({parts})" in found["card"]
    assert found["plan"]["modes"] == []  # the toy has no bond dimension, so no factors of sizes


def test_a_function_is_a_core_in_every_place(found):
    assert found["same"] and "as a control: a toy function." in found["card"]
    assert "not trained, and in the file: 8 numbers" in found["card"] and found["plan"]["fixed"] > 0
    assert "core of the fourier or toy twin: fourier, fourier_linear," in found["error"]
    assert found["kinds"]["toy_linear"] == found["kinds"]["double_linear"] == "twin"
    text = "\n".join(found["findings"])
    assert "qtha better than its toy toy_linear at" in text and "than double_linear (its circuit doubled) at" in text
    assert "Not doubling helps (against double_linear): yes." in text
    assert found["notes"] == [["toy_linear", "a toy of a note"], ["double_linear", "a doubled circuit of a note"]]
