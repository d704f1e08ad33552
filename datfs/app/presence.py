"""Session data of all archives (`fs.ports.SessionDataView`): what we say, what connections said.

Nothing of it is authenticated (DEP-0006); it lives as long as a connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from datfs.app.archives import Archives


class Presence:
    """Looks at the archives' topics whenever it is asked.

    Args:
        archives: whose connections carry what is said.
    """

    def __init__(self, archives: Archives) -> None:
        self._archives = archives

    def archives(self) -> Iterable[bytes]:
        """The keys of the archives that are replicated now."""
        return [
            key for key, membership in self._archives.memberships().items() if membership.joined
        ]

    def said(self, key: bytes) -> bytes:
        """What was last said on an archive's connections; empty at first."""
        return self._archives.membership(key).topic.session_data or b""

    async def say(self, key: bytes, payload: bytes) -> None:
        """Say something on all connections of an archive, now and on later ones.

        Raises:
            SessionDataTooLong: more than 256 bytes.
        """
        await trio.lowlevel.checkpoint()
        self._archives.membership(key).topic.say(payload)

    def heard(self) -> Mapping[str, bytes]:
        """What each connection said last, by its id."""
        return {
            peer.id: peer.session_data.latest
            for membership in self._archives.memberships().values()
            for peer in membership.topic.peers
        }
