"""The signal files of a lobby that is no archive, as its directory shows them (`fs.ports`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.app.lobbies.lobby_archives import LobbyArchives
from datfs.app.lobbies.rules import check_signal
from datfs.errors import NotYours
from datfs.lobby.log_lines import parse_lines
from datfs.lobby.names import SignalKind, check_writable, parse_signal_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from datfs.app.lobbies.lobby_files import LobbyFiles
    from datfs.app.lobbies.lobby_log import LobbyLog
    from datfs.app.lobbies.unknown_lobby import UnknownLobby
    from datfs.lobby.log_lines import LogLines


class Signals:
    """Reading and writing of signals through the mount.

    A file may be opened while nothing of the lobby is known and closed when that is here, so it is
    asked each time where the files lie.

    Args:
        files: tells where they lie now.
        identity: ours.
        join: lets us take part; called before something of ours is written.
    """

    def __init__(
        self, files: Callable[[], LobbyFiles], *, identity: bytes, join: Callable[[], None]
    ) -> None:
        self._files = files
        self._identity = identity
        self._join = join

    @property
    def lines(self) -> LogLines | None:
        """`signals.log`; None as long as there is no log."""
        here = self._here
        return None if here is None else here.lines

    def names(self, folder: str) -> Iterable[str]:
        """The names in a folder ("" or ".writers"), without it."""
        here = self._here
        if here is None:
            return []
        here.follow_writers()
        return [name.rpartition("/")[2] for name in here.names(folder)]

    def read(self, name: str) -> bytes | None:
        """A file, as text if it is sealed to us or by us; None if there is none."""
        here = self._here
        return None if here is None else here.signal(name)

    def check_writable(self, name: str) -> None:
        """Check that a file may be written and removed here; raises NotYours."""
        parsed = parse_signal_name(name)
        if parsed is None or parsed.kind is SignalKind.WRITER:
            raise NotYours(f"{name} is no signal, and this lobby holds nothing else")
        check_writable(name, writer=self._writer)

    async def write(self, name: str, data: bytes) -> None:
        """Write a file as a whole; raises NotYours and InvalidSignal."""
        self.check_writable(name)
        check_signal(name, data)
        self._join()
        await self._files().write(name, data)

    async def remove(self, name: str) -> None:
        """Take a file back; raises NotYours."""
        self.check_writable(name)
        await self._files().remove(name)

    async def append_lines(self, text: bytes) -> None:
        """Write what lines of `signals.log` say, all or nothing; raises NotYours, InvalidSignal."""
        requests, here = parse_lines(text, guest=self._writer), self._here
        for request in requests:
            self.check_writable(request.name)
            if request.signal is not None:
                check_signal(request.name, request.signal)
                if here is not None:
                    here.check(request.name, request.signal)
        for request in requests:
            if request.signal is None:
                await self.remove(request.name)
            else:
                await self.write(request.name, request.signal)

    async def sync(self) -> None:
        """Return once what was written survives a loss of power."""
        here = self._here
        if here is not None:
            await here.sync()

    @property
    def _here(self) -> LobbyLog | UnknownLobby | None:
        """The files; None once the lobby turned out to be archives, which show theirs."""
        files = self._files()
        return None if isinstance(files, LobbyArchives) else files

    @property
    def _writer(self) -> bytes | None:
        return None if self._files().is_hosted else self._identity
