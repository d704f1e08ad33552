"""Hosting by session.json: while the file is in `me/`, its lobby is open (design section 7).

The file is completed when it is written, hosted when that version is committed, kept fresh by the
heartbeat, and removed when the mount ends in order. After a crash the next mount goes on with a
session that is young enough.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import os
from typing import TYPE_CHECKING

import trio

from datfs.app.identity_rules import SESSION_PATH
from datfs.app.lobbies.lobby_secrets import LobbySecrets
from datfs.app.lobbies.rules import LobbyRules
from datfs.app.own_archive import wall_clock_ms
from datfs.crypto.keys import KeyPair
from datfs.errors import Busy, DatfsError, InvalidDocument, ReadOnlyArchive
from datfs.identity.heartbeat import Heartbeat, HeartbeatOptions, may_resume
from datfs.identity.session import Carrier, Session, parse_request, parse_session
from datfs.lobby.host_sealing import HostSealing
from datfs.store.secrets import delete_secret, read_secret, write_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from datfs.app.archives import Archives
    from datfs.app.events import EventLog
    from datfs.app.lobbies.lobby_room import LobbyRoom
    from datfs.app.lobbies.policies import Policies
    from datfs.app.logs import Logs
    from datfs.app.own_archive import OwnArchive
    from datfs.hyperdrive.entry import Change
    from datfs.store.home import Home

BUSY_PAUSE_S = 1.0
"""How long an update waits for somebody who has session.json open for writing."""

log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class _Hosting:
    session: Session
    room: LobbyRoom
    heartbeat: Heartbeat


class SessionService:
    """Hosts what session.json says.

    Args:
        home: the store, for the session's secrets.
        archives: makes and opens lobby archives.
        logs: makes and opens the logs that are lobbies.
        room: gives the lobby of a key.
        policies: whom sessions let in.
        events: the log.
        heartbeat_s: seconds between two updates of session.json.
        plain_offers: whether offers of software that does not seal are taken.
    """

    def __init__(
        self,
        home: Home,
        archives: Archives,
        logs: Logs,
        room: Callable[[bytes], LobbyRoom],
        policies: Policies,
        events: EventLog,
        *,
        heartbeat_s: float,
        plain_offers: bool = True,
    ) -> None:
        self._home = home
        self._archives = archives
        self._logs = logs
        self._room = room
        self._policies = policies
        self._events = events
        interval_s = min(heartbeat_s, HeartbeatOptions().peers_interval_s)
        self._options = HeartbeatOptions(interval_s=heartbeat_s, peers_interval_s=interval_s)
        self._plain_offers = plain_offers
        self._sealing: HostSealing | None = None
        self._me: OwnArchive | None = None
        self._hosting: _Hosting | None = None
        self._awaiting_password: LobbyRoom | None = None
        self._next_pair: KeyPair | None = None
        self._next_carrier = Carrier.ARCHIVE
        self._peers = 0
        self._wake = trio.Event()

    @property
    def session(self) -> Session | None:
        """What is hosted now, with the number of peers as it is."""
        if self._hosting is None:
            return None
        return dataclasses.replace(self._hosting.session, peers=self._peers)

    def complete(self, written: bytes) -> bytes:
        """The whole session.json for what somebody wrote there; never waits.

        Raises:
            InvalidDocument: it has a mistake.
        """
        return self.complete_request(written).encode()

    def complete_request(self, written: bytes) -> Session:
        """As `complete`, as a value."""
        request = parse_request(written)
        if request.ignored:
            log.info("session.json has no fields %s", ", ".join(request.ignored))
        if self._hosting is not None:
            lobby_key = self._hosting.room.key
        elif self._awaiting_password is not None:
            lobby_key = self._awaiting_password.key
        else:
            self._next_pair = self._next_pair or KeyPair.generate()
            self._next_carrier = request.carrier
            lobby_key = self._next_pair.public_key
        return request.complete(
            lobby_key=lobby_key, last_update_ms=wall_clock_ms(), peers=self._peers
        )

    def take_sealed_offers_only(self, lobby_key: bytes) -> None:
        """Refuse plain offers in a session from now on, also after a crash.

        Args:
            lobby_key: of the session that is hosted or about to be.
        """
        LobbySecrets(self._home, lobby_key).set_sealed_only()
        if self._sealing is not None and self._sealing.lobby_key == lobby_key:
            self._sealing.plain_offers = False

    def keep_password(self, lobby_key: bytes, password: bytes) -> None:
        """Keep the password of a session that is hosted, or will be, until that session ends.

        It lies in the store's secrets, so that the session goes on protected after a crash; whoever
        is connected stays so, and exchanges that start from now on are about the new one.

        Args:
            lobby_key: of the session's lobby.
            password: as `lobby.password.parse_password` gives it.
        """
        write_secret(self._password_file(lobby_key), password)
        if self._hosting is not None and self._hosting.room.key == lobby_key:
            self._hosting.room.set_password(password)
        self._wake.set()

    async def begin(self, me: OwnArchive) -> None:
        """Deal with a session that an earlier mount left: go on with it, or end it."""
        self._me = me
        me.on_commit.append(self._committed)
        await self._end_what_is_old(me)
        await self._follow(me)

    async def run(self, me: OwnArchive) -> None:
        """Follow session.json until cancelled."""
        while True:
            due = math.inf if self._hosting is None else self._hosting.heartbeat.next_write_s
            with trio.move_on_at(due):
                await self._wake.wait()
            self._wake = trio.Event()
            await self._follow(me)
            await self._beat(me)

    async def end(self, *, remove: bool) -> None:
        """End the session with the mount.

        Args:
            remove: whether session.json goes with it; else the next mount goes on.
        """
        if self._me is None or not remove:
            return
        if self._hosting is not None or self._awaiting_password is not None:
            self._remove_file(self._me)
            await self._end_hosting("the mount ends")

    # --- within --------------------------------------------------------------------------------

    def _committed(self, changes: Sequence[Change]) -> None:
        if any(change.path == SESSION_PATH for change in changes):
            self._wake.set()

    def _peers_changed(self, peers: int) -> None:
        self._peers = peers
        if self._hosting is not None:
            self._hosting.heartbeat.peers_changed(peers)
            self._wake.set()

    async def _end_what_is_old(self, me: OwnArchive) -> None:
        session = self._written(me)
        if session is not None and not may_resume(
            session.last_update_ms, wall_clock_ms=wall_clock_ms()
        ):
            self._remove_file(me)
            self._forget_secrets(session.url.key)
            self._events.append("session-ended", reason="it was left over from an earlier mount")

    @staticmethod
    def _remove_file(me: OwnArchive) -> None:
        try:
            me.remove(SESSION_PATH)
        except DatfsError as error:
            log.warning("session.json cannot be removed: %s", error)

    def _written(self, me: OwnArchive) -> Session | None:
        """The complete session.json that is committed; None if there is none, or with a mistake."""
        data = me.read(SESSION_PATH)
        try:
            return None if data is None else parse_session(data)
        except InvalidDocument:
            return None

    async def _follow(self, me: OwnArchive) -> None:
        session = self._written(me)
        room = self._awaiting_password if self._hosting is None else self._hosting.room
        if room is not None and (session is None or session.url.key != room.key):
            gone = me.read(SESSION_PATH) is None
            await self._end_hosting(f"session.json {'is gone' if gone else 'has a mistake'}")
        if session is None:
            return
        if self._hosting is not None and session.protected != self._hosting.session.protected:
            await self._hosting.room.end()  # nobody stays who would not be let in now
            self._hosting, self._peers = None, 0
        if self._hosting is None:
            try:
                if me.archive.read_only_reason is not None:
                    raise ReadOnlyArchive(me.archive.read_only_reason)
                await self._start(session)
            except DatfsError as error:
                log.warning("the session %r cannot be hosted: %s", session.name, error)
                self._events.append("session-failed", reason=str(error))
        elif session != self._hosting.session:
            self._hosting.room.set_max_peers(session.max_peers)
            self._hosting.session = session

    async def _start(self, session: Session) -> None:
        key = session.url.key
        secrets = LobbySecrets(self._home, key)
        if self._sealing is None or self._sealing.lobby_key != key:
            self._sealing = HostSealing(
                secrets.seal_keys(),
                lobby_key=key,
                random=os.urandom,
                plain_offers=self._plain_offers and not secrets.sealed_only,
            )
        await self._open_lobby(key, self._sealing)
        room = self._room(key)
        password = read_secret(self._password_file(key)) if session.protected else None
        awaited = session.protected and password is None
        room.accept_password(functools.partial(self.keep_password, key), awaited=awaited)
        if awaited:
            if self._awaiting_password is None:
                self._events.append("session-waiting", reason="its password is not given yet")
            self._awaiting_password = room
            return
        self._awaiting_password = None
        await room.host(
            max_peers=session.max_peers,
            policy=self._policies.policy(key),
            certificate=secrets.certificate(),
            sealing=self._sealing,
            peers_changed=self._peers_changed,
            password=password,
        )
        now = trio.current_time()
        self._hosting = _Hosting(
            session, room, Heartbeat(self._options, peers=session.peers, now=now)
        )
        self._hosting.heartbeat.peers_changed(self._peers)
        self._events.append("session-started", name=session.name, url=str(session.url))

    async def _open_lobby(self, key: bytes, sealing: HostSealing) -> None:
        rules = LobbyRules(sealing, lambda _name: None)
        pair = self._next_pair
        if pair is not None and pair.public_key == key:
            if self._next_carrier is Carrier.LOG:
                self._logs.create(pair, lobby_key=key)
            else:
                self._archives.create_own(pair, rules=rules)
            self._next_pair = None
        elif self._logs.is_stored(key, lobby_key=key):
            if key not in self._logs.own:
                self._logs.open_own(key, lobby_key=key)
        elif key not in self._archives.own:
            await self._archives.open_own(key, rules=rules)

    async def _end_hosting(self, reason: str) -> None:
        room = self._awaiting_password if self._hosting is None else self._hosting.room
        self._hosting = self._awaiting_password = None
        if room is None:
            return
        room.accept_password(None, awaited=False)
        await room.end()
        self._peers = 0
        self._forget_secrets(room.key)
        self._policies.forget(room.key)
        self._events.append("session-ended", reason=reason)

    async def _beat(self, me: OwnArchive) -> None:
        hosting = self._hosting
        if hosting is None or not hosting.heartbeat.is_due(trio.current_time()):
            return
        session = dataclasses.replace(
            hosting.session, last_update_ms=wall_clock_ms(), peers=self._peers
        )
        try:
            await me.write(SESSION_PATH, session.encode())
        except Busy:
            await trio.sleep(BUSY_PAUSE_S)
            self._wake.set()
            return
        except DatfsError as error:
            log.warning("session.json cannot be updated: %s", error)
            self._events.append("heartbeat-failed", reason=str(error))
        else:
            hosting.session = session
        hosting.heartbeat.written(session.peers, trio.current_time())

    def _forget_secrets(self, lobby_key: bytes) -> None:
        LobbySecrets(self._home, lobby_key).delete()
        delete_secret(self._password_file(lobby_key))

    def _password_file(self, lobby_key: bytes) -> Path:
        return self._home.secrets_folder / f"{lobby_key.hex()}.password"
