"""`.datfs/`: what the daemon tells of itself, and session data (DEP-0006) to read and to say."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from datfs.fs.virtual import (
    ComputedDirectory,
    ControlFile,
    FixedDirectory,
    GrowingFile,
    TextFile,
    as_json,
)
from datfs.hyperdrive.path_rules import is_visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datfs.fs.node import Directory, Identity, Node
    from datfs.fs.ports import SessionDataView, StatusView

SESSION_DATA_BYTE_LENGTH = 256
"""The most that a payload may have (DEP-0006); more is refused with EMSGSIZE."""


def status_directory(here: Identity, identity: bytes, status: StatusView) -> Directory:
    """Makes the directory.

    Args:
        here: Which node it is.
        identity: The key of the user's identity archive.
        status: The daemon.
    """

    def line(name: str, text: str) -> Node:
        return TextFile(here.child(name), lambda: f"{text}\n".encode())

    data, archives, connections = (
        status.session_data,
        here.child("archives"),
        here.child("connections"),
    )
    return FixedDirectory(
        here,
        {
            "identity": line("identity", identity.hex()),
            "version": line("version", status.version),
            "status.json": TextFile(here.child("status.json"), lambda: as_json(status.status())),
            "peers.json": TextFile(here.child("peers.json"), lambda: as_json(status.peers())),
            "events": GrowingFile(here.child("events"), status.events),
            "archives": ComputedDirectory(archives, partial(_said, archives, data)),
            "connections": ComputedDirectory(connections, partial(_heard, connections, data)),
        },
    )


def _said(here: Identity, data: SessionDataView) -> Mapping[str, Node]:
    """`archives/KEY/session-data`: written, it goes out on the archive's connections."""
    nodes: dict[str, Node] = {}
    for key in data.archives():
        archive = here.child(key.hex())
        file = ControlFile(
            archive.child("session-data"),
            partial(data.say, key),
            limit_byte_length=SESSION_DATA_BYTE_LENGTH,
            content=partial(data.said, key),
        )
        nodes[key.hex()] = FixedDirectory(archive, {"session-data": file})
    return nodes


def _heard(here: Identity, data: SessionDataView) -> Mapping[str, Node]:
    """`connections/ID/session-data`: what the other end of a connection said last."""
    nodes: dict[str, Node] = {}
    for name in data.heard():
        if is_visible(name):
            connection = here.child(name)
            file = TextFile(connection.child("session-data"), partial(_last_heard, data, name))
            nodes[name] = FixedDirectory(connection, {"session-data": file})
    return nodes


def _last_heard(data: SessionDataView, name: str) -> bytes:
    return data.heard().get(name, b"")
