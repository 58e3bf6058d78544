"""Set-up of runs: loads the base model and the data, and starts the actors of a cluster."""

from dataclasses import replace

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.run.context import Context
from qweft.comparison.run.on_ray import OnRay
from qweft.core.output import Console
from qweft.data.load import Data, load_data
from qweft.data.tokens import Encoded
from qweft.evaluation.loss import check_room
from qweft.evaluation.run import LENGTH, other_rows
from qweft.models.checksum import checksum
from qweft.models.load import LoadedModel, load_model


def load_rows(config: ComparisonConfig, loaded: LoadedModel) -> tuple[Data, list[Encoded]]:
    """Return the data and the rows on which forgetting is measured; raise if the model has no room for them."""
    data = load_data(config.data, loaded.tokenizer)
    check_room(loaded.model, data.rows(config.evaluation.split))
    elsewhere = other_rows(config.evaluation, config.data, loaded.tokenizer)
    check_room(loaded.model, elsewhere, LENGTH)
    return data, elsewhere


def set_up(config: ComparisonConfig, console: Console) -> Context:
    """Load the base model and the data; with `executor` ray, start the actors, and load no weights here."""
    on_ray = config.executor == "ray"
    loaded = load_model(replace(config.model, device="meta") if on_ray else config.model)
    data, elsewhere = load_rows(config, loaded)
    config = replace(config, data=data.config)  # with the numbers of held-out rows, as runs record them
    if on_ray:
        cluster = OnRay(config)
        try:
            dtype, device, base_checksum = cluster.start(config, data, elsewhere)
        except BaseException:
            cluster.close()
            raise
        loaded = replace(loaded, dtype=dtype, device=device)
    else:
        cluster, base_checksum = None, checksum(loaded.model)
    where = "" if cluster is None else f", on {cluster.workers} Ray actors"
    console.print(f"model {loaded.source.origin}, {loaded.dtype}, {loaded.device}{where}", highlight=False)
    console.print(data.report.describe(), highlight=False)
    return Context(config, loaded, data, console, base_checksum, elsewhere, cluster=cluster)
