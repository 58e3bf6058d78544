"""Validation loss against trained parameters, a point a trial."""

from matplotlib.figure import Figure

from qweft.comparison.report.pareto import cost_axis
from qweft.figures.axes import SMALL, dress
from qweft.figures.looks import COLOURS, INK
from qweft.figures.plate import Notes, Plate
from qweft.plural import many
from qweft.sweep.outcome import Outcome

NAME = "loss_by_size"


def size_plate(found: Outcome) -> Plate | None:
    """The figure, or none where every trial diverged."""
    if not found.finished:
        return None
    front = ", ".join(str(trial.number) for trial in found.front)
    above = _above(found)
    caption = "Nats a token on the validation rows. Filled and numbered: the front, which no other trial beats in both."
    if above:
        caption += f" At the upper edge: {many(above, 'trial')} worse than the untouched model."
    told = "; ".join(f"trial {t.number}: {t.run.trainable_parameters:,}, loss {loss:.3f}" for t, loss in found.finished)
    return Plate(
        NAME,
        "Validation loss against trained parameters",
        caption,
        f"On the front: trials {front}. {told}.",
        3.9,
        lambda figure: _draw(figure, found),
    )


def _above(found: Outcome) -> int:
    return sum(found.base_loss is not None and loss > found.base_loss for _, loss in found.finished)


def _draw(figure: Figure, found: Outcome) -> Notes:
    axes = figure.subplots()
    axes.set_xscale("log")
    front = {trial.number for trial in found.front}
    losses = [loss for _, loss in found.finished]
    low, high = min(losses), max(losses)
    if _above(found) and found.base_loss is not None:
        high = max(found.base_loss, low)
    room = 0.08 * (high - low or 0.1)
    cost_axis(axes, [float(trial.run.trainable_parameters) for trial, _ in found.finished])
    axes.set_ylim(low - room, high + room)
    notes: Notes = {}
    for trial, loss in found.finished:
        own = trial.number in front
        shown = min(loss, high + room)
        (drawn,) = axes.plot(
            [trial.run.trainable_parameters], [shown], color=COLOURS[0], marker="o" if shown == loss else "^",
            markersize=8 if own else 6, markerfacecolor=COLOURS[0] if own else "none", linestyle="", clip_on=False,
        )  # fmt: skip
        drawn.set_gid(f"trial-{trial.number}")
        notes[f"trial-{trial.number}"] = f"trial {trial.number}: {trial.run.trainable_parameters:,}, loss {loss:.4f}"
        if own:
            axes.annotate(str(trial.number), (trial.run.trainable_parameters, shown), xytext=(6, 4),
                          textcoords="offset points", color=INK, fontsize=SMALL)  # fmt: skip
    best = found.front
    costs = [float(trial.run.trainable_parameters) for trial in best] + [axes.get_xlim()[1]]
    steps = [trial.run.eval_loss or 0.0 for trial in best] + [best[-1].run.eval_loss or 0.0]
    axes.step(costs, steps, where="post", color=INK, linewidth=1.2, linestyle=(0, (1, 2)), alpha=0.8, zorder=1)
    if found.base_loss is not None and low - room <= found.base_loss <= high + room:
        axes.axhline(found.base_loss, color=INK, linewidth=1, linestyle=(0, (6, 3)), alpha=0.6)
        axes.annotate("untouched model", (0.01, found.base_loss), xycoords=("axes fraction", "data"), xytext=(0, 3),
                      textcoords="offset points", color=INK, fontsize=SMALL)  # fmt: skip
    dress(axes, "both")
    axes.set_xlabel("trained parameters (logarithmic)")
    return notes
