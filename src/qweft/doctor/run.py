"""`qweft doctor`: everything looked at, told as it comes."""

from collections.abc import Callable
from itertools import chain

from qweft.doctor.extras import extras
from qweft.doctor.finding import Finding
from qweft.doctor.machine import machine
from qweft.doctor.self_test import self_test


def examine(tell: Callable[[Finding], None] = lambda finding: None) -> list[Finding]:
    """Look at the machine, the extras, and run the self-test.

    Args:
        tell: Gets each finding when it is there.
    """
    found = []
    for finding in chain(machine(), extras(), self_test()):
        found.append(finding)
        tell(finding)
    return found
