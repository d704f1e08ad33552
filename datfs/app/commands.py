"""What the running datfs does for the command line: the verbs of the control socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import trio

from datfs.app.events import GAP
from datfs.app.identity_rules import PROFILE_PATH, SESSION_PATH
from datfs.app.lobbies.policies import PolicyChoice
from datfs.app.own_archive import commit_everything
from datfs.encoding.dat_url import parse_dat_url
from datfs.errors import (
    DatfsError,
    EntryMissing,
    InvalidDocument,
    LobbyEnded,
    LobbyRefused,
    NotAnArchive,
    Timeout,
)
from datfs.fs.node import Directory, Link
from datfs.identity.profile import with_friend, without_friend
from datfs.identity.session import parse_session
from datfs.lobby.password import parse_password

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from datfs.app.archives import Archives
    from datfs.app.control import Params
    from datfs.app.events import EventLog
    from datfs.app.friends import Friends
    from datfs.app.lobbies.policies import Policies
    from datfs.app.own_archive import OwnArchive
    from datfs.app.session_service import SessionService
    from datfs.app.status import Status
    from datfs.app.ticker import Ticker
    from datfs.app.world import Lobbies
    from datfs.fs.node import Node

MAX_LINKS = 8
"""Symbolic links that a path may lead through."""

UMOUNT_REPORT_S = 1.0
"""How often `umount` says what it still waits for."""


class GeneralCommands:
    """Verbs of every mount: status, peers, events, wait, umount."""

    def __init__(
        self,
        *,
        status: Status,
        events: EventLog,
        archives: Archives,
        root: Directory,
        ticker: Ticker,
        end: Callable[[], None],
    ) -> None:
        self._status = status
        self._events = events
        self._archives = archives
        self._root = root
        self._ticker = ticker
        self._end = end

    def handlers(self) -> Mapping[str, Any]:
        """The handlers by verb."""
        return {
            "status": self.status,
            "peers": self.peers,
            "events": self.events,
            "wait": self.wait,
            "umount": self.umount,
        }

    async def status(self, _params: Params) -> dict[str, object]:
        """`status.json`."""
        await trio.lowlevel.checkpoint()
        return self._status.status()

    async def peers(self, _params: Params) -> list[Mapping[str, object]]:
        """`peers.json`."""
        await trio.lowlevel.checkpoint()
        return self._status.peers()

    async def events(self, params: Params) -> AsyncGenerator[dict[str, Any], None]:
        """Events after a number; with `follow` for ever."""
        after: int | None = params.get("after")
        follow = bool(params.get("follow"))
        last = self._events.last_number
        if not follow and (after or 0) >= last:
            return
        async for event in self._events.follow(after if follow else after or 0):
            yield event
            number: int = event["to"] if event["event"] == GAP else event["n"]
            if not follow and number >= last:
                return

    async def wait(self, params: Params) -> dict[str, Any]:
        """Wait until a path of the mount is there, or for the next event of a kind.

        Raises:
            Timeout: it did not come in time.
        """
        timeout_s = float(params.get("timeout_s", 60.0))
        with trio.move_on_after(timeout_s):
            if "event" in params:
                async for event in self._events.follow():
                    if event["event"] == params["event"]:
                        return event
            path = str(params["path"])
            while True:
                changed = self._ticker.event
                if await self._exists(path):
                    return {"path": path}
                await changed.wait()
        what = params.get("path") or f"an event {params.get('event')!r}"
        raise Timeout(f"{what} did not come within {timeout_s:g} s")

    async def umount(self, _params: Params) -> AsyncGenerator[dict[str, Any], None]:
        """Save what is not committed, say for what that waits, and end."""
        waiting = [
            path for own in self._archives.own.values() for path in own.working.uncommitted()
        ]
        if waiting:
            yield {"waiting_for": f"{len(waiting)} files to be saved, such as {waiting[0]}"}
        for failure in await commit_everything(list(self._archives.own.values())):
            yield {"waiting_for": f"an archive that could not be saved, {failure}"}
        self._end()

    async def _exists(self, path: str, links: int = MAX_LINKS) -> bool:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        node: Node | None = self._root
        for position, part in enumerate(parts):
            if not isinstance(node, Directory):
                return False
            try:
                node = await node.lookup(part)
            except (DatfsError, OSError):
                return False
            if isinstance(node, Link) and position < len(parts) - 1:
                if not links or node.target.startswith("/"):
                    return False
                above = parts[:position]
                joined = _resolve([*above, *node.target.split("/"), *parts[position + 1 :]])
                return await self._exists(joined, links - 1)
        return node is not None


def _resolve(parts: list[str]) -> str:
    resolved: list[str] = []
    for part in parts:
        if part == "..":
            del resolved[-1:]
        else:
            resolved.append(part)
    return "/".join(resolved)


def _password(params: Params) -> bytes | None:
    """The password that comes with a command over the store's own socket, never in its argv."""
    text = params.get("password")
    return None if text is None else parse_password(str(text).encode())


class WorldCommands:
    """Verbs of a mounted world: host, join, ban, friends."""

    def __init__(
        self,
        *,
        me: OwnArchive,
        archives: Archives,
        lobbies: Lobbies,
        session: SessionService,
        policies: Policies,
        friends: Friends,
    ) -> None:
        self._me = me
        self._archives = archives
        self._lobbies = lobbies
        self._session = session
        self._policies = policies
        self._friends = friends

    def handlers(self) -> Mapping[str, Any]:
        """The handlers by verb."""
        return {
            "host": self.host,
            "join": self.join,
            "ban": self.ban,
            "friends": self.friends,
            "befriend": self.befriend,
        }

    async def host(self, params: Params) -> dict[str, Any]:
        """Write session.json, complete, and give it back.

        Raises:
            InvalidPassword: the password cannot be one.
        """
        asked = {key: params[key] for key in ("name", "max_peers", "carrier") if key in params}
        password = _password(params)
        asked["protected"] = password is not None
        session = self._session.complete_request(json.dumps(asked).encode())
        if params.get("plain_offers") is False:
            self._session.take_sealed_offers_only(session.url.key)
        if "policy" in params or "allowed_keys" in params:
            choice = PolicyChoice.of(params.get("policy"), params.get("allowed_keys"))
            self._policies.choose(session.url.key, choice)
        await self._me.write(SESSION_PATH, session.encode())
        if password is not None:
            self._session.keep_password(session.url.key, password)
        answer: dict[str, Any] = json.loads(session.encode())
        return answer

    async def join(self, params: Params) -> dict[str, Any]:
        """Join a lobby, or the session that an identity hosts, and wait for the channel.

        Raises:
            LobbyRefused, LobbyEnded: the host does not let us in.
            InvalidPassword: the password cannot be one.
            Timeout: it did not answer in time.
        """
        password = _password(params)
        timeout_s = float(params.get("timeout_s", 60.0))
        with trio.move_on_after(timeout_s):
            key = await self._lobby_key(parse_dat_url(str(params["url"])).key)
            room = self._lobbies.room(key)
            if password is not None:
                await room.take_password(password)
            room.join()
            await room.files.ready()
            before = await room.offer()
            status = await room.wait_status({"joined", "full", "refused", "ended"}, after=before)
            if status is None:
                raise LobbyEnded("the lobby was left")
            match status.word:
                case "full" | "refused":
                    raise LobbyRefused(f"the host did not let us in: {status.reason}")
                case "ended":
                    raise LobbyEnded(f"the session is over: {status.reason}")
            return {"lobby": key.hex(), "state": str(status)}
        raise Timeout(f"the host did not let us in within {timeout_s:g} s; see lobby/KEY/state")

    async def ban(self, params: Params) -> dict[str, Any]:
        """Let an identity into no session of ours any more, or again."""
        identity = parse_dat_url(str(params["url"])).key
        if params.get("lift"):
            self._policies.lift_ban(identity)
        else:
            self._policies.ban(identity)
        await self._policies.apply(self._lobbies)
        return {"identity": identity.hex(), "banned": not params.get("lift")}

    async def friends(self, _params: Params) -> list[dict[str, object]]:
        """Who our friends are, and who of them hosts."""
        await trio.lowlevel.checkpoint()
        return self._friends.rows()

    async def befriend(self, params: Params) -> dict[str, Any]:
        """Write a friend into profile.json, or out of it.

        Raises:
            InvalidDocument: profile.json has a mistake.
        """
        key = parse_dat_url(str(params["url"])).key
        change = without_friend if params.get("remove") else with_friend
        data = self._me.read(PROFILE_PATH)
        if data is None:
            raise EntryMissing("me/profile.json is gone; write one with your name in it")
        changed = change(data, key)
        if changed != data:
            await self._me.write(PROFILE_PATH, changed)
        return {"identity": key.hex(), "friend": not params.get("remove")}

    async def _lobby_key(self, key: bytes) -> bytes:
        """The lobby itself, or that of the session which this identity hosts."""
        try:
            replica = self._archives.replica(key)
            await replica.ready()
        except NotAnArchive:  # then it is a lobby itself, or `join` will tell that it is nothing
            return key
        entry = replica.archive.lookup(SESSION_PATH)
        if entry is None:
            if replica.archive.lookup("/profile.json") is not None:
                raise LobbyEnded(f"{key.hex()} hosts no session now")
            return key
        data = await replica.read(entry.stat, 0, entry.stat.size)
        try:
            return parse_session(data).url.key
        except InvalidDocument as error:
            raise LobbyEnded(f"the session.json of {key.hex()} has a mistake: {error}") from error
