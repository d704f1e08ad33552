"""Everything that one user's mount shows (`fs.ports.World`), out of the daemon's parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.app.lobbies.lobby_room import LobbyParts, LobbyRoom

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from datfs.app.archives import Archives
    from datfs.app.friends import Friends
    from datfs.app.own_archive import OwnArchive
    from datfs.app.status import Status
    from datfs.hyperdrive.entry import Change
    from datfs.staging.working_archive import WorkingArchive
    from datfs.swarm.archive_replica import ArchiveReplica


class World:
    """The archives, friends and lobbies of one user."""

    def __init__(
        self,
        me: OwnArchive,
        archives: Archives,
        friends: Friends,
        lobbies: Lobbies,
        status: Status,
    ) -> None:
        self._me = me
        self._archives = archives
        self._friends = friends
        self._lobbies = lobbies
        self._status = status

    @property
    def identity(self) -> bytes:
        """The key of the identity archive."""
        return self._me.key

    @property
    def me(self) -> WorkingArchive:
        """The identity archive."""
        return self._me.working

    @property
    def status(self) -> Status:
        """What the daemon tells of itself."""
        return self._status

    def held_archives(self) -> Iterable[bytes]:
        """The keys of all archives of which something is in the store."""
        return self._archives.held_keys()

    def archive(self, key: bytes) -> ArchiveReplica:
        """Any archive."""
        return self._archives.replica(key)

    def friends(self) -> Mapping[str, bytes]:
        """Keys by the names that are shown for them."""
        return self._friends.links()

    def lobbies(self) -> Iterable[bytes]:
        """The keys of the lobbies that are hosted or joined."""
        return self._lobbies.active()

    def lobby(self, key: bytes) -> LobbyRoom:
        """The signal directory of any lobby."""
        return self._lobbies.room(key)


class Lobbies:
    """All lobbies that were looked at, each once.

    Args:
        parts: what each of them needs.
    """

    def __init__(self, parts: LobbyParts) -> None:
        self._parts = parts
        self._rooms: dict[bytes, LobbyRoom] = {}

    def room(self, key: bytes) -> LobbyRoom:
        """A lobby, looked at for the first time or again."""
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = LobbyRoom(key, self._parts)
        return room

    def active(self) -> list[bytes]:
        """The lobbies that are hosted or joined."""
        return [key for key, room in self._rooms.items() if room.is_active]

    def hosted(self) -> list[LobbyRoom]:
        """The lobbies that are hosted now."""
        return [room for room in self._rooms.values() if room.is_hosting]

    def archive_changed(self, key: bytes, changes: Sequence[Change]) -> None:
        """Somebody's archive has a new version; it may be a lobby's or one of its guests'."""
        for room in self._rooms.values():
            room.archive_changed(key, changes)

    async def leave_all(self) -> None:
        """Leave every lobby that was joined."""
        for room in self._rooms.values():
            await room.leave()
