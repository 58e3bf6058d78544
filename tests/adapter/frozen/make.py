"""Freeze one adapter of each preset with its output, in a folder named after the version.

    python -m tests.adapter.frozen.make

To be run once for each release and each preset that it adds, and never to make a failing test pass: that test says that
adapters which people have on their disks no longer mean what they did. A folder that is there is left alone.
"""

import json
from pathlib import Path

import torch
from peft import get_peft_model

import qweft
from qweft import QwthnConfig
from qweft.adapter.maps import PLAIN, FixedMap, Side, SparseMap
from tests.adapter.frozen.base import Base, example, fill

HERE = Path(__file__).parent
PACKED = ("subspace", "readout", "sparse")
"""Presets whose directions were first plain and are packed since."""


def make(preset: str, folder: Path) -> None:
    """Write one adapter, its input and its output."""
    config = QwthnConfig.preset(
        preset,
        r=3,
        width=12,
        bond_dimension=2,
        circuit_layers=2,
        target_modules=["first", "second"],
        rank_pattern={"second": 2},
        alpha_pattern={"second": 3.0},
    )
    model = get_peft_model(Base(), config).eval()
    fill((parameter for name, parameter in model.named_parameters() if "qwthn_" in name), 0.6)
    maps = [module for module in model.modules() if isinstance(module, FixedMap)]
    for module in maps:
        if not isinstance(module, SparseMap) and module.bits < PLAIN:
            directions = torch.empty(module.size, module.count)
            fill([directions], 0.6)
            module.set(Side(torch.linalg.qr(directions).Q, directions[:, 0]))
    fill((module.weight for module in maps if not isinstance(module, SparseMap) and module.bits == PLAIN), 0.6)
    for module in maps:
        if isinstance(module, SparseMap):  # every third output first, then the others
            norms = torch.tensor([place % 3 == 0 for place in range(module.size)]).float()
            module.set(Side(norms[:, None], norms - torch.arange(len(norms)) * 1e-3))
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # the model card is no part of what is frozen
    with torch.no_grad():
        record = {"input": example().tolist(), "output": model(example()).tolist()}
    (folder / "output.json").write_text(json.dumps(record) + "\n")


def main() -> None:
    """All presets that are not there."""
    names = [(qweft.__version__, preset) for preset in qweft.presets()]
    for folder, preset in [*names, *(("0.1.0-packed", preset) for preset in PACKED)]:
        target = HERE / folder / preset
        if not target.exists():
            make(preset, target)


if __name__ == "__main__":
    main()
