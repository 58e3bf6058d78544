"""What a reader must know before quoting a number of a report."""

from typing import NamedTuple

from qweft.comparison.report.content import Content
from qweft.comparison.results import one_at_a_time

TWINS = {
    "mlp": "a small neural network (linear maps with SiLU between them), as near to the circuit in size as it can be",
    "fourier": "products of sums of sines and cosines of the circuit's inputs with trained coefficients: a classical "
    "function of the same frequencies",
    "frozen": "the same circuit with its angles left as they were drawn, untrained",
    "product": "the same circuit without its CRZ gates, so without entanglement",
}
"""What stands in the circuit's place, by the function in the name of the core."""


class Note(NamedTuple):
    """A sentence or two, with what is bold at their beginning."""

    text: str
    bold: str = ""


MEASURED = Note("All numbers were measured by this comparison. None is a claim of the paper that proposed the method.")
DEQUANTISED = Note(
    " (see “weights” above): its scores are not comparable to published scores of the original model. Methods are "
    "compared with each other on the same weights.",
    "The base model's weights were dequantised",
)
ORIGINAL = Note(
    "Scores of weights that were dequantised are not comparable to published scores of the original model; “weights” "
    "above says where these came from."
)
SEEDS = Note(
    "The seeds vary the adapter's start and the order of the data, not the held-out rows and not the base model."
)
SHARED = Note(
    "Runs were made at the same time, by processes that shared the machine: times of a step are longer than on a "
    "machine for itself, and not comparable to those of other reports."
)
CIRCUITS = Note(
    "Circuits were simulated exactly; no quantum hardware took part. Where a method has a linear map of its own after "
    "the circuit, a gain over the network without a circuit may come from that map: a stand-in of equal size tells the "
    "two apart."
)


def notes(content: Content) -> list[Note]:
    """The notes of a comparison, those on its stand-ins last.

    Args:
        content: The comparison.
    """
    dequantised = "dequant" in str(content.environment.get("model_origin", "")).lower()
    has_circuit = any(entry.kind == "hybrid" for entry in content.summary.values())
    return [
        MEASURED,
        DEQUANTISED if dequantised else ORIGINAL,
        _on_differences(content.reference),
        *_on_rows(content),
        *([] if one_at_a_time(content.runs) else [SHARED]),
        SEEDS,
        *([CIRCUITS] if has_circuit else []),
        *(Note(f" has a stand-in where others have the circuit: {what}.", name) for name, what in twins(content)),
    ]


def twins(content: Content) -> list[tuple[str, str]]:
    """The methods that have a stand-in for the circuit, each with what it is.

    Args:
        content: The comparison.
    """
    cores = {run.method: str((run.adapter or {}).get("core", "")) for run in content.runs}
    functions = {method: core.partition("_")[0] for method, core in cores.items()}
    return [(method, TWINS[function]) for method, function in functions.items() if function in TWINS]


def _on_differences(reference: str) -> Note:
    return Note(
        "Held-out loss is the mean of −log p over all target tokens of the held-out rows; perplexity is exp of the "
        f"mean loss over seeds. A difference is the mean over seeds of (loss − {reference}'s loss at the same seed), "
        f"as a share of {reference}'s mean."
    )


def _on_rows(content: Content) -> list[Note]:
    errors = [run.eval_standard_error for run in content.runs if run.eval_standard_error is not None]
    if not errors:
        return []
    return [
        Note(
            "The held-out rows are a sample too: the standard error of a single run's loss over rows is up to "
            f"{max(errors):.4f} nats. All methods are judged on the same rows, so it does not carry over in full to "
            "their differences; differences far below it deserve more rows."
        )
    ]
