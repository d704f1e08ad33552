"""The store of one user: where everything lies, and who holds it.

`$DATFS_HOME`, else `$XDG_DATA_HOME/datfs`. One process holds the store's lock, and the lock file
says which one and where it mounted; its control socket and FIFOs lie in the runtime folder. The
folders of archives are the business of hyperdrive, their names are given here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from datfs.errors import StoreError, StoreInUse
from datfs.store.atomic import PRIVATE_FILE, PRIVATE_FOLDER, replace_file
from datfs.store.marks import LengthMarks, state_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_SOCKET_PATH_BYTES = 107  # sun_path has 108 with its closing zero (unix(7))


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a store."""

    pid: int
    mountpoint: str | None  # absolute; None while it holds the store without a mount


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The paths of one store. Making one touches no disk."""

    folder: Path
    state: Path  # outside the store: length marks, and which store is mounted where
    runtime: Path  # control socket and FIFOs

    @classmethod
    def locate(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The store that the environment names."""
        chosen = environment.get("DATFS_HOME")
        if chosen:
            folder = Path(chosen)
        else:
            data = environment.get("XDG_DATA_HOME")
            folder = (Path(data) if data else Path.home() / ".local" / "share") / "datfs"
        folder = Path(os.path.abspath(folder))
        return cls(
            folder=folder,
            state=state_folder(environment),
            runtime=_runtime_folder(folder, environment.get("XDG_RUNTIME_DIR")),
        )

    @property
    def config_file(self) -> Path:
        """Settings, written by the user (TOML)."""
        return self.folder / "config.toml"

    @property
    def identity_file(self) -> Path:
        """Holds the key of the identity archive, in hex."""
        return self.folder / "identity"

    @property
    def events_file(self) -> Path:
        """The event log (JSON lines)."""
        return self.folder / "events"

    @property
    def log_file(self) -> Path:
        """What a mount in the background prints."""
        return self.folder / "log"

    @property
    def joined_lobbies_folder(self) -> Path:
        """Holds a file for each lobby that was joined, named by its key, with the writer's key."""
        return self.folder / "lobbies"

    @property
    def policies_folder(self) -> Path:
        """Holds a file for each hosted lobby with a policy of its own, named by its key."""
        return self.folder / "policies"

    @property
    def banned_file(self) -> Path:
        """Keys of those who may join no session here, a line each."""
        return self.folder / "banned"

    @property
    def secrets_folder(self) -> Path:
        """For `datfs.store.secrets`."""
        return self.folder / "secrets"

    @property
    def socket(self) -> Path:
        """The control socket of the process that holds the store."""
        return self.runtime / "control"

    @property
    def marks(self) -> LengthMarks:
        """The length marks of this user."""
        return LengthMarks(self.state / "marks")

    @property
    def archives_folder(self) -> Path:
        """Holds a folder for each archive of the store, named by its key in hex."""
        return self.folder / "archives"

    def archive_folder(self, key: bytes) -> Path:
        """Where an archive lies, in hyperdrive's raw layout."""
        return self.archives_folder / key.hex()

    def log_folder(self, key: bytes, *, lobby_key: bytes) -> Path:
        """Where a log lies; each lobby has its own, so that none is taken into another."""
        return self.folder / "logs" / lobby_key.hex() / key.hex()

    def for_folder(self, archive: Path) -> Self:
        """A store beside this one that serves a single archive folder mounted by itself.

        It has a lock, a socket and events of its own, so that several folders can be mounted while
        the whole world is.
        """
        name = hashlib.blake2b(os.fsencode(archive.resolve()), digest_size=8).hexdigest()
        folder = self.folder / "folders" / name
        return dataclasses.replace(
            self, folder=folder, runtime=_runtime_folder(folder, os.environ.get("XDG_RUNTIME_DIR"))
        )

    def staging_folder(self, key: bytes) -> Path:
        """Where spool and journal of an own archive lie."""
        return self.folder / "staging" / key.hex()

    def prepare(self) -> None:
        """Makes the folders, for their owner alone.

        Raises:
            StoreError: One of them cannot be made, or belongs to somebody else.
        """
        for folder in (self.folder, self.state, self.runtime):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
                facts = folder.lstat()
            except OSError as error:
                raise StoreError(f"cannot make {folder}: {error.strerror}") from error
            if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
                raise StoreError(f"{folder} is not a folder of yours; choose another DATFS_HOME")
            if stat.S_IMODE(facts.st_mode) & 0o077:
                folder.chmod(PRIVATE_FOLDER)

    @contextlib.contextmanager
    def lock(self, mountpoint: Path | None = None) -> Iterator[None]:
        """Holds the store while the block runs, and lets others see by whom and for what.

        The lock ends with the process however it dies. A child made by fork alone shares it.

        Args:
            mountpoint: Where the store is about to be mounted.

        Raises:
            StoreInUse: Another process holds it.
        """
        self.prepare()
        where = None if mountpoint is None else os.path.abspath(mountpoint)
        file = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self.holder()
                raise StoreInUse(
                    str(self.folder),
                    holder.pid if holder else None,
                    holder.mountpoint if holder else None,
                ) from None
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps({"pid": os.getpid(), "mountpoint": where}).encode(), 0)
            with self._registered(where) if where else contextlib.nullcontext():
                yield
            os.ftruncate(file, 0)
        finally:
            os.close(file)

    def holder(self) -> Holder | None:
        """Who wrote itself down as holding the store; after a crash that process may be gone.

        None also in the moment between the taking of the lock and the writing of the name.
        """
        try:
            record = json.loads(self._lock_file.read_bytes())
            return Holder(int(record["pid"]), record["mountpoint"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def socket_for(self, mountpoint: Path) -> Path | None:
        """The control socket of whatever store this user has mounted there.

        The path is compared as text, so that a dead mount does not matter; the socket may be stale.
        """
        where = os.path.abspath(mountpoint)
        holder = self.holder()
        if holder is not None and holder.mountpoint == where:
            return self.socket
        try:
            return Path(os.fsdecode(self._registration(where).read_bytes()))
        except FileNotFoundError:
            return None

    @property
    def _lock_file(self) -> Path:
        return self.folder / "lock"

    def _registration(self, mountpoint: str) -> Path:
        name = hashlib.blake2b(os.fsencode(mountpoint), digest_size=16).hexdigest()
        return self.state / "mounts" / name

    @contextlib.contextmanager
    def _registered(self, mountpoint: str) -> Iterator[None]:
        """Lets `socket_for` of this user's other stores find the mount."""
        registration = self._registration(mountpoint)
        registration.parent.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
        replace_file(registration, os.fsencode(self.socket))
        try:
            yield
        finally:
            registration.unlink(missing_ok=True)


def _runtime_folder(folder: Path, user_runtime: str | None) -> Path:
    """In the store, unless a socket's path there would be too long for the kernel."""
    inside = folder / "run"
    if len(os.fsencode(inside / "control")) <= MAX_SOCKET_PATH_BYTES:
        return inside
    name = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    if user_runtime:
        return Path(user_runtime) / f"datfs-{name}"
    return Path("/tmp") / f"datfs-{os.geteuid()}-{name}"
