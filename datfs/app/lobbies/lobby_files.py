"""What a lobby is made of: its key does not tell, its first block does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.app.lobbies.lobby_archives import LobbyArchives
from datfs.app.lobbies.lobby_log import LobbyLog
from datfs.app.lobbies.unknown_lobby import UnknownLobby

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.app.archives import Archives
    from datfs.app.lobbies.waiting_offer import WaitingOffer
    from datfs.app.logs import Logs

LobbyFiles = LobbyArchives | LobbyLog | UnknownLobby


def open_lobby(
    key: bytes,
    archives: Archives,
    logs: Logs,
    *,
    identity: bytes,
    offer: WaitingOffer,
    on_change: Callable[[], None],
    on_known: Callable[[], None],
    on_waiting: Callable[[bytes], None],
) -> LobbyFiles:
    """Open a lobby, hosted here or by somebody else.

    Args:
        key: of the lobby.
        archives: opens archives.
        logs: opens logs.
        identity: ours.
        offer: ours, as long as it cannot be stored.
        on_change: called when anything in a log looks otherwise.
        on_known: called when the first block has come of a lobby that was not known.
        on_waiting: called with each offer that is written meanwhile.
    """
    log = logs.own.get(key) or logs.of_host(key)
    if log is not None:
        archives.used(key)
        return LobbyLog(
            key, log, logs, clearing=archives.clearing, offer=offer, on_change=on_change
        )
    replica = archives.lobby_replica(key)
    if replica.has_header:
        return LobbyArchives(key, archives)
    replica.on_header = on_known
    return UnknownLobby(replica, identity=identity, offer=offer, on_waiting=on_waiting)
