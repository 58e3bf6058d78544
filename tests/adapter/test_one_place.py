"""A map and a function are a class and a name, a preset is one entry: a copy of the package with toys knows them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qweft

MAP = '''

class ToyMap(LinearMap):
    """The map r -> d_out by two matrices, the first of which counts as a tensor network."""

    words = "a toy map"
    sizes = {"width": "toy width {}"}
    parts = {"left": "tensor_network", "right": "linear"}

    def __init__(self, r, width, out):
        super().__init__()
        self.left, self.right = nn.Parameter(torch.zeros(out, width)), nn.Parameter(torch.zeros(width, r))

    @classmethod
    def on_layer(cls, config, d_in, d_out, writes):
        return cls(config.r, config.width, d_out)

    @classmethod
    def trained_on(cls, config, d_in, d_out, writes):
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


MAPS: dict[str, type[LinearMap]] = {"toy": ToyMap, '''
FUNCTION = """

class Tangent(Function):
    name = "toy"
    words = "a toy function"
    called = "its toy {}"
    report = "a toy of a note"
    fixed_tensors = ("places",)

    def __init__(self, ansatz, fourier_terms=None):
        super().__init__(ansatz)
        self.trained, self.fixed = {"slopes": (fourier_terms or 1, self.r)}, {"places": (self.r,)}

    def start(self, angles, start):
        return {"slopes": torch.ones(self.trained["slopes"]), "places": self.phases(angles)}

    def values(self, c, *prepared):
        slopes, places = prepared
        return (slopes.sum(-2) * c + places).tanh().to(c.dtype)


FUNCTIONS: dict[str, type[Function]] = {"toy": Tangent} | {"""
PRESET = """PRESETS: dict[str, Preset] = {
    "toys": Preset({"compress": "dense", "core": "toy_linear", "expand": "toy", "r": 2, "width": 3}, "a toy preset"),"""
RUN = """
import contextlib, io, json, sys, torch, qweft
from pathlib import Path
from peft import PeftModel, get_peft_model
from qweft.adapter.branch import count_parameters, parts_of
from qweft.cli.main import main
from qweft.comparison.method_kinds import kind_of
from tests.tiny_models import tiny_llama

folder, record = Path(sys.argv[1]), {"home": qweft.__file__}
with contextlib.redirect_stdout(io.StringIO()) as printed:
    main(["presets"])
record["presets"] = printed.getvalue()

torch.manual_seed(0)
config = qweft.QwthnConfig.preset("toys", init_weights=False)
model = get_peft_model(tiny_llama(), config).eval()
tokens = torch.arange(6)[None]
model.save_pretrained(folder / "adapter")
record["card"] = (folder / "adapter" / "README.md").read_text()
again = PeftModel.from_pretrained(tiny_llama(), folder / "adapter").eval()
record["same"] = torch.equal(again(tokens).logits, model(tokens).logits)
parts = parts_of(model)
record["parts"] = {
    name.split("default.")[-1]: parts[id(p)] for name, p in model.named_parameters() if id(p) in parts
}
layers = [module for module in model.modules() if hasattr(module, "qwthn_core")]
counts = [count_parameters(config, layer.in_features, layer.out_features) for layer in layers]
record["counted"] = sum(sum(count.values()) for count in counts)
record["trained"] = model.get_nb_trainable_parameters()[0]
record["kinds"] = [kind_of("x", each) for each in ({"preset": "toys"}, {"preset": "qtha", "core": "toy_linear"})]
print("RECORD" + json.dumps(record))
"""


def edited(file, old, new):
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    adapter, method = folder / "qweft" / "adapter", folder / "qweft" / "method"
    shutil.copytree(Path(qweft.__file__).parent, folder / "qweft", ignore=shutil.ignore_patterns("__pycache__"))
    edited(adapter / "fixed_maps.py", "\nMAPS: dict[str, type[LinearMap]] = {", MAP)
    edited(method / "presets.py", "PRESETS: dict[str, Preset] = {", PRESET)
    edited(method / "names.py", "EXPAND: dict[str, Trained] = {", 'EXPAND: dict[str, Trained] = {"toy": "whole", ')
    product = '"product": FunctionName("altered"),'
    edited(method / "names.py", product, f'{product} "toy": FunctionName("classical", ("fourier_terms",)),')
    edited(adapter / "functions.py", "\nFUNCTIONS: dict[str, type[Function]] = {", FUNCTION)
    paths = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.partition("RECORD")[2])
    assert record["home"].startswith(str(folder))
    return record


def test_a_preset_is_listed_and_compared(record):
    assert "a toy preset" in record["presets"]
    assert record["kinds"] == ["twin", "twin"]


def test_a_map_is_counted_trained_and_described(record):
    assert record["counted"] == record["trained"] > 0
    assert (record["parts"]["left"], record["parts"]["right"]) == ("tensor_network", "linear")
    assert "a toy map" in record["card"] and "toy width 3" in record["card"]


def test_a_function_is_trained_described_and_reloaded(record):
    assert record["same"]
    assert record["parts"]["slopes"] == "circuit"
    assert "a toy function" in record["card"]
