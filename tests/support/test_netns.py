from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.netns import NAMESPACES, Host, network

SERVER = """
import socket
server = socket.create_server(("0.0.0.0", 7000))
print("ready", flush=True)
server.accept()[0].sendall(b"hello")
"""
CLIENT = """
import socket, sys
print(socket.create_connection((sys.argv[1], 7000), timeout=5).recv(9).decode())
"""


def hears(server: Host, client: Host) -> str:
    with subprocess.Popen(
        [*server.prefix, sys.executable, "-c", SERVER], stdout=subprocess.PIPE
    ) as serving:
        assert serving.stdout is not None
        assert serving.stdout.readline() == b"ready\n"
        command = [*client.prefix, sys.executable, "-c", CLIENT, server.address]
        return subprocess.check_output(command, text=True, timeout=10).strip()


@pytest.mark.parametrize("hosts", [2, 3])
def test_hosts_reach_each_other_at_once_and_are_removed(hosts: int) -> None:
    with network(hosts) as made:
        assert hears(made[0], made[-1]) == "hello"
        assert hears(made[-1], made[0]) == "hello"
    assert not any((NAMESPACES / host.name).exists() for host in made)
