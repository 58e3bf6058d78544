"""Set-up of runs: loads the base model and the data, and starts the executor."""

from dataclasses import replace

from qweft.comparison.context import Context, RunSettings
from qweft.comparison.executors.on_ray import OnRay
from qweft.comparison.executors.worker import Local
from qweft.data.load import Data, load_data
from qweft.data.tokens import Encoded
from qweft.evaluation.loss import check_room
from qweft.evaluation.run import LENGTH, other_rows
from qweft.models.load import LoadedModel, checksum, load_model
from qweft.output import Console


def set_up(settings: RunSettings, executor: str, workers: int | None, console: Console) -> Context:
    """Load the base model and the data, and starts the executor."""
    on_ray = executor == "ray"
    # a process that makes no run itself needs only shapes and tokenizer
    loaded = load_model(replace(settings.model, device="meta") if on_ray else settings.model)
    if not on_ray:
        _say_model(loaded, "", console)
    data = load_data(settings.data, loaded.tokenizer)
    check_room(loaded.model, data.rows(settings.evaluation.split))
    settings = replace(settings, data=data.config)  # with the numbers of held-out rows, as runs record them
    console.print(data.report.describe(), highlight=False)
    elsewhere = other_rows(settings.evaluation, settings.data, loaded.tokenizer)
    check_room(loaded.model, elsewhere, LENGTH)
    if on_ray:
        return _on_ray(settings, workers, loaded, data, elsewhere, console)
    return Context(settings, loaded, data, console, checksum(loaded.model), Local(), elsewhere)


def _on_ray(
    settings: RunSettings, workers: int | None, shapes: LoadedModel, data: Data, elsewhere: list[Encoded],
    console: Console,
) -> Context:  # fmt: skip
    executor = OnRay(settings.model.device, workers)
    try:
        dtype, device, base_checksum = executor.start(settings, data, elsewhere)
    except BaseException:
        executor.close()
        raise
    loaded = replace(shapes, dtype=dtype, device=device)
    _say_model(loaded, f", on {executor.workers} Ray actors", console)
    return Context(settings, loaded, data, console, base_checksum, executor, elsewhere)


def _say_model(loaded: LoadedModel, where: str, console: Console) -> None:
    console.print(f"model {loaded.source.origin}, {loaded.dtype}, {loaded.device}{where}", highlight=False)
