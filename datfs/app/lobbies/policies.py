"""Whom our lobbies let in: settings, what `datfs host` chose for a session, friends, files of keys.

The bans of a store hold for all its sessions. They, and lists of allowed keys, are files that a
person may edit; what they say takes effect within a second.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import trio

from datfs.encoding.dat_url import parse_dat_url
from datfs.errors import InvalidUrl, StoreError
from datfs.lobby.policy import Policy, PolicyKind
from datfs.store.atomic import PRIVATE_FOLDER, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from datfs.app.config import Config
    from datfs.app.events import EventLog
    from datfs.app.world import Lobbies
    from datfs.store.home import Home

LOOK_INTERVAL_S: Final = 1.0
"""How often it is looked whether files or friends have changed."""


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """What was chosen for one session, or for all by the settings.

    Attributes:
        kind: who may come in besides those of the file.
        allowed_keys: a file of keys, absolute; None for none.
    """

    kind: PolicyKind
    allowed_keys: str | None

    @classmethod
    def of(cls, policy: str | None, allowed_keys: str | None) -> PolicyChoice:
        """Fill in what is not said: a file of keys alone means that nobody else comes in."""
        if policy is None:
            policy = "anyone" if allowed_keys is None else "listed"
        return cls(PolicyKind(policy), allowed_keys)


class Policies:
    """Gives each hosted lobby its policy, and keeps it up to date.

    Args:
        home: the store.
        config: settings.
        events: told of mistakes in the files.
        friends: tells who our friends are now.
    """

    def __init__(
        self,
        home: Home,
        config: Config,
        events: EventLog,
        friends: Callable[[], Collection[bytes]],
    ) -> None:
        self._home = home
        self._default = PolicyChoice.of(config.policy, config.allowed_keys)
        self._events = events
        self._friends = friends
        self._files: dict[Path, tuple[object, frozenset[bytes]]] = {}

    def policy(self, lobby_key: bytes) -> Policy:
        """Whom a lobby of ours lets in as things are."""
        choice = self._chosen(lobby_key)
        listed: frozenset[bytes] = frozenset()
        if choice.allowed_keys is not None:
            listed = self._keys(self._home.folder / choice.allowed_keys)
        return Policy(
            kind=choice.kind,
            friends=frozenset(self._friends()),
            listed=listed,
            banned=self._keys(self._home.banned_file),
        )

    def choose(self, lobby_key: bytes, choice: PolicyChoice) -> None:
        """Give one session a policy of its own, which outlives a crash as the session does."""
        self._home.policies_folder.mkdir(exist_ok=True, mode=PRIVATE_FOLDER)
        fields = {"policy": choice.kind.value, "allowed_keys": choice.allowed_keys}
        replace_file(self._choice_file(lobby_key), json.dumps(fields).encode())

    def forget(self, lobby_key: bytes) -> None:
        """Drop what was chosen for a session that is over."""
        self._choice_file(lobby_key).unlink(missing_ok=True)

    def ban(self, identity: bytes) -> None:
        """Let an identity into no session any more."""
        if identity not in self._keys(self._home.banned_file):
            self._write_banned([*self._banned_lines(), identity.hex()])

    def lift_ban(self, identity: bytes) -> None:
        """Take a ban back; nothing happens if there is none."""
        lines = self._banned_lines()
        kept = [line for line in lines if _key_of(line) != identity]
        if kept != lines:
            self._write_banned(kept)

    async def apply(self, lobbies: Lobbies) -> None:
        """Give the lobbies that are hosted their policies."""
        for room in lobbies.hosted():
            await room.set_policy(self.policy(room.key))

    async def run(self, lobbies: Lobbies) -> None:
        """Follow files and friends until cancelled."""
        while True:
            await trio.sleep(LOOK_INTERVAL_S)
            await self.apply(lobbies)

    # --- files ---------------------------------------------------------------------------------

    def _chosen(self, lobby_key: bytes) -> PolicyChoice:
        try:
            fields: dict[str, Any] = json.loads(self._choice_file(lobby_key).read_bytes())
        except FileNotFoundError:
            return self._default
        try:
            return PolicyChoice.of(fields["policy"], fields["allowed_keys"])
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{self._choice_file(lobby_key)} is damaged") from None

    def _choice_file(self, lobby_key: bytes) -> Path:
        return self._home.policies_folder / lobby_key.hex()

    def _keys(self, file: Path) -> frozenset[bytes]:
        """The keys in a file, read anew when it has changed; a line with a mistake is told once."""
        try:
            facts = file.stat()
            version: object = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
        except OSError as error:
            version = error.errno
        known = self._files.get(file)
        if known is None or known[0] != version:
            self._files[file] = known = (version, self._read_keys(file))
        return known[1]

    def _read_keys(self, file: Path) -> frozenset[bytes]:
        try:
            lines = file.read_text(errors="replace").splitlines()
        except OSError as error:
            if file != self._home.banned_file:  # there is none as long as nobody is banned
                self._mistake(file, error.strerror or str(error))
            return frozenset()
        keys = set()
        for number, line in enumerate(lines, 1):
            key = _key_of(line)
            if key is not None:
                keys.add(key)
            elif _said(line):
                self._mistake(file, f"line {number} is no key: {_said(line)[:80]}")
        return frozenset(keys)

    def _mistake(self, file: Path, reason: str) -> None:
        self._events.append("mistake", path=str(file), reason=reason)

    def _banned_lines(self) -> list[str]:
        try:
            return self._home.banned_file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _write_banned(self, lines: Collection[str]) -> None:
        replace_file(self._home.banned_file, "".join(f"{line}\n" for line in lines).encode())


def _said(line: str) -> str:
    """What a line says besides its comment."""
    return line.partition("#")[0].strip()


def _key_of(line: str) -> bytes | None:
    try:
        return parse_dat_url(_said(line)).key
    except InvalidUrl:
        return None
