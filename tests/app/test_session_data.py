"""Session data (DEP-0006) as files of a mount, against the extension of the JavaScript original."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from datfs.wire.session_data import WINDOW_S
from tests.support.meeting import ALONE, eventually, identity_of, meeting
from tests.support.mounts import mounted
from tests.support.node_peers import NodePeer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.netns import Host


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_what_is_written_goes_out_paced_and_what_comes_in_is_a_file(
    peers: Path, tmp_path: Path
) -> None:
    port = free_port()
    options = (*ALONE, "--listen", "127.0.0.1", "--port", str(port))
    with mounted(tmp_path, *options) as mount:
        key, told = identity_of(mount), mount.path / ".datfs"
        ours = told / "archives" / key / "session-data"
        assert ours.read_bytes() == b""
        arguments = (f"{key}@127.0.0.1:{port}", "--send-hex", "00ff" * 128, "--wait", "30")
        with NodePeer(peers, "session.js", *arguments) as session:
            session.event("sent")
            (connection,) = (told / "connections").iterdir()
            eventually(lambda: (connection / "session-data").read_bytes() == b"\0\xff" * 128)
            events = [json.loads(line) for line in (told / "events").read_text().splitlines()]
            assert [e["payload"] for e in events if e["event"] == "session-data"] == ["00ff" * 128]
            with pytest.raises(OSError, match=os.strerror(errno.EMSGSIZE)):
                ours.write_bytes(bytes(257))
            began = time.monotonic()
            for text in ("first", "second", "third"):
                ours.write_text(text)
            assert session.event("extension")["text"] == "first"
            assert session.event("extension")["text"] == "third"
            assert time.monotonic() - began >= WINDOW_S - 0.1
            assert ours.read_text() == "third"
        eventually(lambda: not list((told / "connections").iterdir()))


def test_a_guest_s_session_data_shows_in_its_directory_at_the_host(
    two_hosts: list[Host], tmp_path: Path
) -> None:
    with meeting(two_hosts, tmp_path) as people:
        lobby = people.open_session()
        people.join()
        peer = people.host.path / "lobby" / lobby / "peers" / people.guest_key
        eventually(lambda: (peer / "session-data").read_bytes() == b"")
        ours = people.guest.path / ".datfs/archives" / lobby / "session-data"
        ours.write_text("brb")
        eventually(lambda: (peer / "session-data").read_text() == "brb")
        events = people.host.datfs("events", "--json").stdout.splitlines()
        said = [e for e in map(json.loads, events) if e["event"] == "session-data"]
        assert [event["text"] for event in said] == ["brb"], "a join is no presence"
        there = people.guest.path / "lobby" / lobby / "peers" / people.host_key
        assert "session-data" not in os.listdir(there), "no join names the host"
