"""`qweft circuit`."""

from qweft.circuit_view.config import CircuitConfig, check_view
from qweft.cli.command import Command
from qweft.cli.parser import Call

COMMAND = Command(
    name="circuit",
    description="Show the circuit of one layer of a trained adapter: drawn, its gates counted as written and as "
    "compiled for a chip, its trained angles, and what it makes of each token of a text; write it as a picture, or in "
    "a language that other programs read.",
    example="qweft circuit runs/train/adapter --layer layers.0.self_attn.q_proj --chip lattice",
    target="ADAPTER",
    flags={"json": "Print everything as JSON, with all digits, and nothing else, on standard output."},
    shows_defaults=False,
    options=CircuitConfig,
)


def run(call: Call) -> None:
    """Compute the circuit's view and print it."""
    folder, options = call.folder, call.given()
    check_view(folder, options)
    from qweft.circuit_view.describe import describe
    from qweft.circuit_view.run import view_circuit
    from qweft.output import Console

    view = view_circuit(folder, options)
    call.answer(view.to_json, lambda: describe(view, Console().width))
