import os
import socket
import urllib.request

import pytest


def test_addresses_beyond_this_machine_are_refused():
    with socket.socket() as outside, pytest.raises(ConnectionError, match="tests need no network"):
        outside.connect(("192.0.2.1", 80))
    with pytest.raises(OSError, match="tests need no network"):
        urllib.request.urlopen("http://name.invalid/", timeout=1)


def test_loopback_works():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()


def test_hub_clients_and_pip_know_that_they_are_offline():
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["HF_DATASETS_OFFLINE"] == os.environ["PIP_NO_INDEX"] == "1"
