"""Circuits on devices that cost money: what was measured is kept, and no circuit is sent twice."""

from qweft.devices.jobs.budget import Budget, Caps
from qweft.devices.jobs.confirm import confirm
from qweft.devices.jobs.estimate import Estimate, estimate, together
from qweft.devices.jobs.executor import Executor
from qweft.devices.jobs.prices import Price, PriceList
from qweft.devices.jobs.retry import Patience
from qweft.devices.jobs.store import Store

__all__ = [
    "Budget",
    "Caps",
    "Estimate",
    "Executor",
    "Patience",
    "Price",
    "PriceList",
    "Store",
    "confirm",
    "estimate",
    "together",
]
