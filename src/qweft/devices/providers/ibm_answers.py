"""What the exceptions of IBM's package mean for a job."""

import re

from qweft.devices.providers.fate import Fate, Step

NO_ACCOUNT = (
    "there is no IBM Quantum account; set QISKIT_IBM_TOKEN, or save one with "
    "QiskitRuntimeService.save_account(token=...)"
)
TRY_AGAIN = {408, 425}
"""Codes of HTTP that begin with 4 and do not mean that the request is wrong."""
REFUSALS = ("Account", "NotAuthorized", "InputValue", "ProgramNotFound")
"""In the names of exceptions that trying again would not change, of a job that is being sent too."""
NOT_THERE = ("BackendNotFound", "JobNotFound", "JobFailure", "JobMaxTimeout", "InvalidState")
"""The same of a question. Of a job that is being sent they are raised when it was taken, and looked up after that."""
NOT_REACHED = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")
"""In what urllib3 says when nothing has left this machine."""
OF_THE_NETWORK = ("qiskit_ibm_runtime", "ibm_", "requests", "urllib3", "json")
"""Packages whose exceptions are about asking IBM, not about a circuit."""


def fate_of(error: Exception, step: Step) -> Fate:
    """What an exception says of a request.

    IBM's package sends a request again by itself where the answer is a code from 500: IBM says that it was not taken
    then. Where the last answer was such a one, `find` tells.

    Args:
        error: What IBM's package raised.
        step: What was being done.
    """
    kind, text = type(error).__name__, str(error)
    if any(mark in kind for mark in (REFUSALS if step is Step.SENDING else REFUSALS + NOT_THERE)):
        return Fate.REFUSED
    code = _code(error, text)
    if code == 429 or any(mark in text for mark in NOT_REACHED):
        return Fate.LATER
    if 400 <= code < 500 and code not in TRY_AGAIN:
        return Fate.REFUSED
    about_a_circuit = not isinstance(error, OSError) and not type(error).__module__.startswith(OF_THE_NETWORK)
    return Fate.REFUSED if step is Step.PREPARING and about_a_circuit else Fate.UNKNOWN


def _code(error: Exception, text: str) -> int:
    """The code of HTTP, zero where there is none."""
    code = getattr(error, "status_code", None)
    if isinstance(code, int) and code > 0:
        return code
    said = re.search(r"\b([45]\d\d) (?:Client|Server) Error", text)
    return int(said[1]) if said else 0
