"""Run circuits on paid devices: results are stored, and no circuit is sent twice."""

from qweft.devices.jobs.budget import CircuitBudget, Estimate, confirm, estimate
from qweft.devices.jobs.executor import Executor
from qweft.devices.jobs.remote import Retry
from qweft.devices.jobs.store import Store

__all__ = ["CircuitBudget", "Estimate", "Executor", "Retry", "Store", "confirm", "estimate"]
