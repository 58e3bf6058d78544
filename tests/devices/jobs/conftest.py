import pytest

from qweft.devices.jobs import store


@pytest.fixture(autouse=True)
def cheap_disk(monkeypatch):
    """Kills of a process lose no power: what was written is there, forced to the disk or not."""
    assert store.SYNCHRONOUS == "EXTRA"
    monkeypatch.setattr(store, "SYNCHRONOUS", "OFF")
