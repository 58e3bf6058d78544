"""Run circuits on paid devices: results are stored, and no circuit is sent twice."""

from qweft.devices.jobs.budget import Budget, Caps, Estimate, confirm, estimate
from qweft.devices.jobs.executor import Executor
from qweft.devices.jobs.remote import Retry
from qweft.devices.jobs.store import Store
from qweft.devices.prices import Price, PriceList

__all__ = [
    "Budget",
    "Caps",
    "Estimate",
    "Executor",
    "Price",
    "PriceList",
    "Retry",
    "Store",
    "confirm",
    "estimate",
]
