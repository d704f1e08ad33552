"""What a lobby is made of: its key does not tell, its first block does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.app.lobbies.lobby_archives import LobbyArchives
from datfs.app.lobbies.lobby_log import LobbyLog
from datfs.app.lobbies.unknown_lobby import UnknownLobby

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio

    from datfs.app.archives import Archives
    from datfs.app.logs import Logs

LobbyFiles = LobbyArchives | LobbyLog | UnknownLobby


def open_lobby(
    key: bytes,
    archives: Archives,
    logs: Logs,
    *,
    nursery: trio.Nursery,
    on_change: Callable[[], None],
    on_known: Callable[[], None],
    on_waiting: Callable[[bytes], None],
) -> LobbyFiles:
    """Open a lobby, hosted here or by somebody else.

    Args:
        key: of the lobby.
        archives: opens archives.
        logs: opens logs.
        nursery: for what a log does beside.
        on_change: called when anything in a log looks otherwise.
        on_known: called when the first block has come of a lobby that was not known.
        on_waiting: called with each signal that is written meanwhile.
    """
    log = logs.own.get(key) or logs.of_host(key)
    if log is not None:
        archives.used(key)
        return LobbyLog(key, log, logs, nursery=nursery, on_change=on_change)
    replica = archives.lobby_replica(key)
    if replica.has_header:
        return LobbyArchives(key, archives)
    replica.on_header = on_known
    return UnknownLobby(replica, on_waiting)
