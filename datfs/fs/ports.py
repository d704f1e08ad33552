"""What the mounted tree needs of the rest of datfs, as the application gives it.

All calls that are not `async` answer at once, from memory or the store; none of them waits for the
network. Those that are keep deadlines of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from datfs.hyperdrive.archive import Archive
    from datfs.hyperdrive.stat import Stat
    from datfs.staging.rules import StoredForm
    from datfs.staging.working_archive import WorkingArchive


class ArchiveSource(Protocol):
    """An archive that is shown read-only, whoever it belongs to; `swarm.ArchiveReplica` is one."""

    @property
    def archive(self) -> Archive:
        """What is here of it."""

    def used(self) -> None:
        """Somebody looks into it: new versions are asked for, nothing waits for them."""

    async def ready(self) -> None:
        """Returns when there is a version to show, at once if one is here.

        Raises:
            ArchiveUnreachable: Nobody gave one within the deadline.
        """

    async def read(self, stat: Stat, offset: int, size: int) -> bytes:
        """Bytes of a file, after fetching the blocks that are not here.

        Raises:
            BlockUnavailable: A block did not come within the deadline.
            TooBusy: Too many reads wait already.
        """


class PeerView(Protocol):
    """One peer of a lobby, as `peers/HASH/` shows it."""

    def state(self) -> str:
        """One word and perhaps a reason."""

    def stats(self) -> Mapping[str, object]:
        """Counts and times of the connection, fit for JSON."""

    def session_data(self) -> bytes | None:
        """What the peer said by session data (DEP-0006); None where no join names it."""

    def pipes(self) -> Mapping[str, Path]:
        """The FIFOs of the channel by the names they are shown under: `in`, `out`."""

    def hide(self, name: str) -> None:
        """Shows a name no more until the peer connects anew, as `rm -r` wants it."""

    def is_hidden(self, name: str) -> bool:
        """Whether a name is hidden."""


class LinesView(Protocol):
    """A file of lines as one reader sees it: it only grows."""

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from an offset; fewer at the end, which may have grown since."""


class SignalLog(Protocol):
    """`signals.log`: the records of a lobby in causal order."""

    @property
    def byte_length(self) -> int:
        """Bytes of all lines now."""

    def open(self) -> LinesView:
        """Begins to read."""


class SignalsView(Protocol):
    """The files of a lobby that lie in no archive: signals, each written as a whole."""

    @property
    def lines(self) -> SignalLog | None:
        """`signals.log`; None as long as there is no log."""

    def names(self, folder: str) -> Iterable[str]:
        """The names in a folder ("" or ".writers")."""

    def read(self, name: str) -> bytes | None:
        """A file by its name in the lobby; None if there is none."""

    def check_writable(self, name: str) -> None:
        """Checks that a file may be written and removed by us.

        Raises:
            NotYours: The name belongs to somebody else, or is no signal's.
        """

    async def write(self, name: str, data: bytes) -> None:
        """Writes a file as a whole; for a name of one's own this is the wish to take part.

        Raises:
            NotYours: See above.
            InvalidSignal: It is none.
        """

    async def remove(self, name: str) -> None:
        """Removes a file; nothing happens if it is not there.

        Raises:
            NotYours: See above.
        """

    async def append_lines(self, text: bytes) -> None:
        """Writes what lines of `signals.log` say, all of them or none.

        Raises:
            NotYours, InvalidSignal: See above.
        """

    async def sync(self) -> None:
        """Returns when what was written survives power loss."""


class LobbyView(Protocol):
    """The signal directory of one session: the union of the archives of those who take part.

    Who may write a name is decided by the name alone. A file has the same path in the lobby's
    directory and in the archive that holds it.
    """

    @property
    def key(self) -> bytes:
        """Of the lobby."""

    async def ready(self) -> None:
        """Returns when the host's files are known, or nobody told them within the deadline."""

    def signals(self) -> SignalsView | None:
        """The files where they lie in no archive; `names`, `holder`, `writer` are then not used.

        None for a lobby that is made of archives. What a lobby is may become known only later.
        """

    def names(self, path: str) -> Iterable[str]:
        """The names that count in a directory ("/" or "/a/b") of the union."""

    def holder(self, path: str) -> ArchiveSource | WorkingArchive | None:
        """The archive whose file or directory counts at a path; own ones as they are edited."""

    def writer(self, path: str) -> WorkingArchive:
        """The own archive in which the user may make, change and remove this path.

        Asking for it for a name of one's own is the wish to take part.

        Raises:
            NotYours: The name belongs to somebody else.
            LobbyEnded: The session is over.
        """

    def form(self, path: str) -> StoredForm | None:
        """How a file is kept that we read otherwise than it lies there (a sealed signal)."""

    def state(self) -> str:
        """One word and a reason: looking, waiting for host, joined, full, refused, ended."""

    async def take_password(self, written: bytes) -> None:
        """Takes the password of a protected session, whether it is hosted here or to be joined.

        Raises:
            InvalidPassword: This cannot be one.
            LobbyEnded: The session is over.
        """

    async def new_offer(self) -> bytes:
        """Makes a connection in the WebRTC engine and gives its offer as JSON."""

    def peers(self) -> Iterable[bytes]:
        """The identity keys of the peers that have a directory."""

    def peer(self, identity: bytes) -> PeerView | None:
        """One of these peers."""

    async def dismiss(self, identity: bytes) -> None:
        """Parts from a peer; its directory is gone when this returns."""


class SessionDataView(Protocol):
    """Session data (DEP-0006): what we say on an archive's connections, and what others say."""

    def archives(self) -> Iterable[bytes]:
        """The keys of the archives that are replicated now."""

    def said(self, key: bytes) -> bytes:
        """What was last said on an archive's connections; empty at first."""

    async def say(self, key: bytes, payload: bytes) -> None:
        """Says something on all connections of an archive, now and on later ones."""

    def heard(self) -> Mapping[str, bytes]:
        """What each connection said last, by a name of the connection that is no path."""


class StatusView(Protocol):
    """What `.datfs/` tells of the running daemon."""

    def status(self) -> Mapping[str, object]:
        """`status.json`."""

    def peers(self) -> list[Mapping[str, object]]:
        """`peers.json`."""

    @property
    def session_data(self) -> SessionDataView:
        """What is said beside the archives."""

    @property
    def events(self) -> Path:
        """The growing file of events that `.datfs/events` passes through."""

    @property
    def version(self) -> str:
        """The version of datfs."""


class World(Protocol):
    """Everything that one user's mount shows."""

    @property
    def identity(self) -> bytes:
        """The key of the identity archive."""

    @property
    def me(self) -> WorkingArchive:
        """The identity archive."""

    @property
    def status(self) -> StatusView:
        """The daemon itself."""

    def held_archives(self) -> Iterable[bytes]:
        """The keys of all archives of which something is in the store."""

    def archive(self, key: bytes) -> ArchiveSource:
        """Any archive; the same object as long as it is in use."""

    def friends(self) -> Mapping[str, bytes]:
        """Keys by the names that are shown for them."""

    def lobbies(self) -> Iterable[bytes]:
        """The keys of the lobbies that are hosted or joined."""

    def lobby(self, key: bytes) -> LobbyView:
        """The signal directory of any lobby; the same object as long as it is in use."""
