"""The friends of profile.json: their archives are kept, their names become links in `friends/`.

Their profile.json and session.json are fetched with every version, so that they can be read while
the friends are away, and so that it is known who hosts (by what was seen, see `heartbeat`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from datfs.app.identity_rules import MAX_DOCUMENT_BYTES, PROFILE_PATH, SESSION_PATH
from datfs.app.own_archive import wall_clock_ms
from datfs.errors import BlockMissing, DatfsError, InvalidDocument
from datfs.identity.friends import friend_links
from datfs.identity.heartbeat import Sightings
from datfs.identity.profile import parse_profile
from datfs.identity.session import parse_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from datfs.app.archives import Archives
    from datfs.app.own_archive import OwnArchive
    from datfs.hyperdrive.entry import Change
    from datfs.identity.session import Session


class Friends:
    """Who our friends are, what they are called, and who of them hosts.

    Args:
        me: the identity archive.
        archives: keeps the friends' archives in the swarm.
        on_change: called when a link came, went or was renamed.
    """

    def __init__(self, me: OwnArchive, archives: Archives, on_change: Callable[[], None]) -> None:
        self._me = me
        self._archives = archives
        self._on_change = on_change
        self._keys: tuple[bytes, ...] = ()
        self._names: dict[bytes, str] = {}
        self._sessions: dict[bytes, tuple[Session, Sightings]] = {}
        self._unread: set[tuple[bytes, str]] = set()
        self._reading: set[tuple[bytes, str]] = set()
        self._wake = trio.Event()
        me.on_commit.append(self._my_profile_changed)
        self._take_profile()

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The friends, in the order of profile.json."""
        return self._keys

    def links(self) -> Mapping[str, bytes]:
        """Keys by the names that are shown for them."""
        return friend_links(self._keys, self._names)

    def rows(self) -> list[dict[str, object]]:
        """What `datfs friends` shows: who they are, and who hosts now."""
        return [self._row(name, key) for name, key in self.links().items()]

    def archive_changed(self, key: bytes, changes: Sequence[Change]) -> None:
        """Somebody's archive has a new version: it may be a friend's new name or session."""
        if key in self._keys:
            self._look(key, {change.path for change in changes})

    async def run(self) -> None:
        """Fetch the friends' profiles and sessions as they come, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                for document in self._unread - self._reading:
                    self._reading.add(document)
                    nursery.start_soon(self._read, *document)
                self._wake = trio.Event()
                await self._wake.wait()

    # --- within --------------------------------------------------------------------------------

    def _row(self, name: str, key: bytes) -> dict[str, object]:
        row: dict[str, object] = {"name": name, "key": key.hex(), "hosting": None}
        if key in self._sessions:
            session, sightings = self._sessions[key]
            row["hosting"] = session.name
            row["url"] = str(session.url)
            row["peers"] = session.peers
            row["max_peers"] = session.max_peers
            row["state"] = "fresh" if sightings.is_fresh(trio.current_time()) else "stale"
        return row

    def _my_profile_changed(self, changes: Sequence[Change]) -> None:
        if any(change.path == PROFILE_PATH for change in changes):
            self._take_profile()

    def _take_profile(self) -> None:
        """Take the friends of profile.json; one with a mistake changes nothing."""
        data = self._me.read(PROFILE_PATH)
        try:
            friends = () if data is None else parse_profile(data).friends
        except InvalidDocument:
            return
        for key in set(self._keys) - set(friends):
            self._archives.unpin(key)
            self._names.pop(key, None)
            self._sessions.pop(key, None)
        before, self._keys = self._keys, friends
        for key in friends:
            if key not in before:
                self._follow(key)
        self._on_change()

    def _follow(self, key: bytes) -> None:
        try:
            self._archives.replica(key)
        except DatfsError:
            return  # a damaged copy in the store is told when somebody looks into it
        self._archives.pin(key)
        self._look(key, {PROFILE_PATH, SESSION_PATH})

    def _look(self, key: bytes, paths: set[str]) -> None:
        self._unread |= {(key, path) for path in paths & {PROFILE_PATH, SESSION_PATH}}
        self._wake.set()

    async def _read(self, key: bytes, path: str) -> None:
        """Read a document as often as it changes; the blocks of one friend hold up no other."""
        while (key, path) in self._unread:
            self._unread.discard((key, path))
            try:
                data = await self._document(key, path)
                if path == PROFILE_PATH:
                    self._take_name(key, data)
                else:
                    self._take_session(key, data)
            except (DatfsError, BlockMissing):
                continue  # what was read before counts until the next version
        self._reading.discard((key, path))

    async def _document(self, key: bytes, path: str) -> bytes | None:
        replica = self._archives.replica(key)
        entry = replica.archive.lookup(path)
        if entry is None or entry.stat.is_directory:
            return None
        return await replica.read(entry.stat, 0, MAX_DOCUMENT_BYTES)

    def _take_name(self, key: bytes, data: bytes | None) -> None:
        if data is None or key not in self._keys:
            return
        name = parse_profile(data).name
        if self._names.get(key) != name:
            self._names[key] = name
            self._on_change()

    def _take_session(self, key: bytes, data: bytes | None) -> None:
        if data is None or key not in self._keys:
            self._sessions.pop(key, None)
            return
        session = parse_session(data)
        _, sightings = self._sessions.get(key, (session, Sightings()))
        sightings.observe(
            session.last_update_ms, now=trio.current_time(), wall_clock_ms=wall_clock_ms()
        )
        self._sessions[key] = (session, sightings)
