"""The friends of profile.json: their archives are kept, their names become links in `friends/`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from datfs.app.identity_rules import MAX_DOCUMENT_BYTES, PROFILE_PATH
from datfs.errors import BlockMissing, DatfsError, InvalidDocument
from datfs.identity.friends import friend_links
from datfs.identity.profile import parse_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from datfs.app.archives import Archives
    from datfs.app.own_archive import OwnArchive
    from datfs.hyperdrive.entry import Change


class Friends:
    """Who our friends are, and what they are called.

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
        self._unread: set[bytes] = set()
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

    def archive_changed(self, key: bytes, changes: Sequence[Change]) -> None:
        """Somebody's archive has a new version: it may be a friend's new name."""
        if key in self._keys and any(change.path == PROFILE_PATH for change in changes):
            self._unread.add(key)
            self._wake.set()

    async def run(self) -> None:
        """Fetch the friends' profiles as they come, until cancelled."""
        while True:
            while self._unread:
                await self._read_profile(self._unread.pop())
            self._wake = trio.Event()
            await self._wake.wait()

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
        for key in friends:
            if key not in self._keys:
                self._follow(key)
        self._keys = friends
        self._on_change()

    def _follow(self, key: bytes) -> None:
        try:
            replica = self._archives.replica(key)
        except DatfsError:
            return  # a damaged copy in the store is told when somebody looks into it
        self._archives.pin(key)
        if replica.archive.lookup(PROFILE_PATH) is not None:
            self._unread.add(key)
            self._wake.set()

    async def _read_profile(self, key: bytes) -> None:
        try:
            replica = self._archives.replica(key)
            entry = replica.archive.lookup(PROFILE_PATH)
            if entry is None or entry.stat.is_directory:
                return
            data = await replica.read(entry.stat, 0, MAX_DOCUMENT_BYTES)
            name = parse_profile(data).name
        except (DatfsError, BlockMissing):
            return  # it keeps the name it had, and is read again with its next version
        if self._names.get(key) != name:
            self._names[key] = name
            self._on_change()
