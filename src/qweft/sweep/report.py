"""The results of a sweep: JSON, a Markdown page, and a plot of validation loss against trained parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from qweft.comparison.report.figures import Point as Place
from qweft.comparison.report.figures import draw_points, front
from qweft.comparison.report.write import fenced
from qweft.comparison.results import Run
from qweft.core.files import write_bytes
from qweft.core.records import write_record
from qweft.core.text import escaped, many, plain
from qweft.figures.figure import ReportFigure
from qweft.figures.styles import styles
from qweft.sweep.space import Point, point_said, said

NUMBERS = "sweep.json"
PAGE = "sweep.md"
FIGURE = "loss_by_size"
RECORDED = (
    "trainable_parameters", "train_loss", "train_loss_curve", "steps", "step_seconds_median", "seconds",
    "cpu_by_others", "adapter", "learning_rate",
)  # fmt: skip
"""Fields of a trial's run in the JSON."""


@dataclass(frozen=True)
class Trial:
    """One configuration, trained and evaluated."""

    number: int
    point: Point
    run: Run

    @property
    def loss(self) -> float:
        """The validation loss; infinity if it diverged or ran out of memory."""
        return math.inf if self.run.eval_loss is None else self.run.eval_loss

    @property
    def ended(self) -> str:
        """How it ended: complete, diverged or out of memory."""
        return "complete" if math.isfinite(self.loss) else self.run.failure or "diverged"

    def to_json(self) -> dict[str, Any]:
        """Return the trial as a JSON-compatible dict."""
        losses = {"validation_loss": self.run.eval_loss, "standard_error": self.run.eval_standard_error}
        of_run = {name: getattr(self.run, name) for name in RECORDED}
        return {"number": self.number, "state": self.ended, "values": self.point, **losses, **of_run}


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial with the lowest validation loss, the first among equals; `None` if none has one."""
    best = min(trials, key=lambda trial: (trial.loss, trial.number), default=None)
    return best if best is not None and math.isfinite(best.loss) else None


def write(record: dict[str, Any], trials: Sequence[Trial], judged: int, folder: Path) -> str:
    """Write the files of a sweep, and return the outcome in sentences; `judged` trials were judged on the test rows."""
    best = best_of(trials)
    places = [
        Place(str(each.number), each.run.trainable_parameters, each.loss, (each.loss,))
        for each in trials
        if math.isfinite(each.loss)
    ]
    ahead = [int(place.method) for place in front(places)]
    record |= {"trials": [each.to_json() for each in trials], "best": best and best.number, "front": ahead}
    figure = _figure(places, ahead, record["base_validation_loss"]) if places else None
    templates = Environment(  # the page is Markdown, which `md` escapes
        loader=PackageLoader("qweft.sweep", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {
        "md": escaped,
        "fenced": fenced,
        "many": many,
        "point": point_said,
        "said": said,
        "loss": _loss,
    }
    failed = [each for each in trials if each.run.failure is not None]
    sentences = templates.get_template("outcome.j2").render(record, best=best, failed=failed, judged=judged)
    page = templates.get_template("sweep.md.j2").render(
        record,
        sentences=sentences,
        figure=figure,
        ranked=sorted(trials, key=lambda trial: (trial.loss, trial.number)),
    )
    write_record(folder / NUMBERS, record)
    if figure is not None:
        figure.write(folder)
    write_bytes(folder / PAGE, plain(page).encode())  # `cat` would else obey a file's name
    return sentences


def _loss(loss: float | None, error: float | None = None) -> str:
    """Return a loss as text, with its standard error if it has one: a single row has none."""
    if loss is None:
        return "not a number"
    return f"{loss:.4f}" if error is None else f"{loss:.4f} ± {error:.4f}"


def _figure(places: Sequence[Place], ahead: Sequence[int], base: float | None) -> ReportFigure:
    """Return the figure; trials worse than the untouched model, which would flatten the others, are left out."""
    drawn = [place for place in places if base is None or place.loss <= base] or places
    left, named = len(places) - len(drawn), list(map(str, ahead))
    looks = styles([*named, *(place.method for place in drawn)])
    return ReportFigure(
        FIGURE,
        "Validation loss against trained parameters",
        "Nats a token on the validation rows. Large and in the key: the front, which no other trial beats in both."
        + (f" Left out: {many(left, 'trial')} worse than the untouched model." if left else ""),
        f"On the front: trials {', '.join(named)}.",
        3.9,
        lambda figure: draw_points(figure, drawn, looks, named),
    )
