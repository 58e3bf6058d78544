"""The folder that a sweep leaves: numbers, the plot, and a page of Markdown."""

from pathlib import Path

from qweft.comparison.report.markdown import escaped, fenced
from qweft.comparison.table import EMPTY, markdown_rows
from qweft.files import write_bytes, write_json
from qweft.plural import many
from qweft.sweep.figures import size_plate
from qweft.sweep.outcome import Outcome, Trial
from qweft.sweep.space import said

NUMBERS = "sweep.json"
PAGE = "sweep.md"


def write(found: Outcome, folder: Path) -> Path:
    """Write everything; returns the page's path."""
    write_json(folder / NUMBERS, found.to_json())
    plate = size_plate(found)
    blocks = [f"# {escaped(found.title)}", *(f"- {escaped(line)}" for line in lines(found))]
    if plate is not None:
        plate.write(folder)
        picture = f"![{escaped(plate.title)}. {escaped(plate.description)}]({plate.file})"
        blocks += ["", picture, "", f"*{plate.title}.* {plate.caption}"]
    blocks += ["", table(found).rstrip(), "", "Losses in nats a token on the validation rows; * is the front."]
    shares = found.importance()
    if shares:
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        blocks += ["", f"What the better trials differ in from the others (PED-ANOVA): {told}."]
    if found.environment.get("command"):
        blocks += ["", fenced(found.environment["command"], "sh")]
    if found.config_yaml:
        blocks += ["", fenced(found.config_yaml, "yaml")]
    write_bytes(folder / PAGE, ("\n".join(blocks) + "\n").encode())
    return folder / PAGE


def lines(found: Outcome) -> list[str]:
    """The outcome in sentences."""
    told = [found.ended]
    if found.refused:
        told.append(f"{many(found.refused, 'draw')} not trained: too many parameters, or not to be built.")
    if found.base_loss is not None:
        told.append(f"The untouched model: validation loss {found.base_loss:.4f}.")
    if found.best is None:
        return [*told, "Every trial diverged: lower the learning rates."]
    best = found.best
    values = ", ".join(f"{name} {said(value)}" for name, value in best.point.items())
    told.append(
        f"The best is trial {best.number} ({values}): {best.run.trainable_parameters:,} parameters, validation loss "
        f"{best.run.eval_loss:.4f}."
    )
    if found.test is not None:
        loss = _loss(found.test["adapted"], found.test["standard_error"])
        told.append(
            f"Its test loss is {loss} (± is the standard error over the rows), the untouched model's "
            f"{_loss(found.test['base'])}; no other trial was judged on the test rows."
        )
    return told


def table(found: Outcome) -> str:
    """The trials as Markdown, the best loss first, diverged ones last."""
    names = [axis.name.partition(".")[2] for axis in found.axes]
    rows = [["trial", *map(escaped, names), "parameters", "train loss", "validation loss"]]
    on_front = {trial.number for trial in found.front}

    def order(trial: Trial) -> tuple[float, int]:
        return (float("inf") if trial.run.eval_loss is None else trial.run.eval_loss, trial.number)

    for trial in sorted(found.trials, key=order):
        run = trial.run
        rows.append(
            [
                f"{trial.number}{' *' if trial.number in on_front else ''}",
                *(escaped(said(trial.point[axis.name])) for axis in found.axes),
                f"{run.trainable_parameters:,}",
                EMPTY if run.train_loss is None else f"{run.train_loss:.3f}",
                "diverged" if run.eval_loss is None else _loss(run.eval_loss, run.eval_standard_error),
            ]
        )
    return markdown_rows(rows)


def _loss(loss: float | None, error: float | None = None) -> str:
    """A loss with its standard error, which a single row does not give."""
    if loss is None:
        return "not a number"
    return f"{loss:.4f}" if error is None else f"{loss:.4f} ± {error:.4f}"
