from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.node_peers import NodePeer

if TYPE_CHECKING:
    from pathlib import Path


def test_peers_serve_and_clone(peers: Path, tmp_path: Path) -> None:
    with NodePeer(peers, "writer.js", tmp_path / "a", "--create") as writer:
        at = writer.event("listening")
        writer.send({"cmd": "put", "path": "/a.txt", "text": "hi", "id": 7})
        writer.event("ok", id=7)
        remote = f"{at['key']}@127.0.0.1:{at['port']}"
        with NodePeer(peers, "clone.js", remote, tmp_path / "b") as clone:
            assert [row["path"] for row in clone.event("done")["tree"]] == ["/a.txt"]
    assert writer.process.returncode == 0


async def test_failure_of_a_driver_is_quoted(peers: Path, tmp_path: Path) -> None:
    with (
        NodePeer(peers, "serve.js", tmp_path / "nothing") as peer,
        pytest.raises(AssertionError, match=r"serve\.js"),
    ):
        await peer.wait_event("listening", timeout_s=10)
