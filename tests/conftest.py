"""Tests need no network: hub clients are told so, pip too, and sockets reach this machine only."""

import os

# Before anything imports huggingface_hub or datasets, which read these once. Child processes inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["PIP_NO_INDEX"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import gc
import ipaddress
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import setuptools  # noqa: F401 - PEFT's BOFT imports it, which fails once anything has imported distutils before

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts in the background so, and programs inherit it: their Ctrl-C could not be tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, those with the embedded model stay in one: it is loaded once.

    Slow tests that name a group of their own need no large model, and run beside them.
    """
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("embedded"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported and collected stays until the end: the garbage collector need not look through it.

    Every training collects garbage a few times, as accelerate does; through all modules and all tests that takes longer
    than the training of a tiny model.
    """
    grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
    if getattr(session.config.option, "loadgroup", False) and not all("@" in item.nodeid for item in grouped):
        raise pytest.UsageError(
            "this pytest hides the groups of pytest-xdist, which load what they share once a worker"
        )
    gc.collect()
    gc.freeze()


class NetworkBlockedError(ConnectionError):
    """A test tried to leave this machine."""


def is_local(host: Any) -> bool:
    """Whether a host name or address is this machine."""
    if host in (None, "", "localhost", b"localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuse name look-ups and connections beyond loopback while tests run."""
    patch = pytest.MonkeyPatch()
    look_up = socket.getaddrinfo

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_local(host):
            raise NetworkBlockedError(f"tests need no network, but one looked up {host!r}")
        return look_up(host, *args, **kwargs)

    patch.setattr(socket, "getaddrinfo", guarded_look_up)
    for method in ("connect", "connect_ex"):
        original = getattr(socket.socket, method)

        def guarded(self: socket.socket, address: Any, original: Any = original) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not is_local(address[0]):
                raise NetworkBlockedError(f"tests need no network, but one connected to {address!r}")
            return original(self, address)

        patch.setattr(socket.socket, method, guarded)
    yield
    patch.undo()
