"""The kept results of the experiments."""

from research.evidence import names, read

__all__ = ["names", "read"]
