"""The user's consent, before anything is sent."""

import sys

from qweft.devices.errors import DeviceError
from qweft.devices.jobs.estimate import Estimate


def confirm(estimate: Estimate, yes: bool) -> None:
    """Show the estimate and ask, on standard error; ask nothing where nothing is sent and nothing costs.

    Simulators on this machine send nothing, so they never ask, however long they take.

    Args:
        estimate: What the run will take.
        yes: Whether the user has agreed already; the estimate is shown all the same.

    Raises:
        DeviceError: If the user does not agree, or cannot be asked because there is no terminal.
    """
    if not estimate.needs_consent:
        return
    from rich.console import Console

    terminal = Console(stderr=True)
    terminal.print(estimate.describe(), markup=False)
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise DeviceError(
            f"nothing was sent to device {estimate.device}: there is no terminal to ask at; pass --yes to agree"
        )
    if terminal.input("Send this? [y/N] ", markup=False).strip().lower() not in ("y", "yes"):
        raise DeviceError(f"nothing was sent to device {estimate.device}: you did not agree")
