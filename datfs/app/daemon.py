"""The running datfs: its parts put together, in the order in which they begin and end.

Beginning: lock, event log, swarm, engine, own archives (what an earlier process left is committed),
session, the mount, the control socket. Ending, by umount, SIGTERM or SIGINT: session and lobbies
are left, what is dirty is committed, the mount goes, peers hear of the last commits, all closes.
Nothing stays mounted.

Kinds of events in the log:
- archives: archive-updated, peer, peer-dropped, session-data, repaired, recovered, read-only,
  overtaken, sync-failed;
- sessions: session-waiting, session-started, session-ended, session-failed, heartbeat-failed,
  mistake;
- lobbies: lobby, lobby-end, lobby-failed, join, join-refused, join-failed, writer-record,
  struck-off, offer, offer-invalid, answer, refused, signal-invalid, signal-unreadable,
  signalling-failed, beacon-unproven, not-pinned, connected, closed;
- datfs itself: gap, internal-error.
"""

from __future__ import annotations

import logging
import math
import resource
import signal
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from datfs.app.archives import Archives
from datfs.app.commands import GeneralCommands, WorldCommands
from datfs.app.containment import contained
from datfs.app.control import ControlServer
from datfs.app.events import EventLog
from datfs.app.friends import Friends
from datfs.app.identity_rules import IdentityRules
from datfs.app.identity_store import create_identity, default_name, load_identity
from datfs.app.lobbies.lobby_room import LobbyParts
from datfs.app.lobbies.lobby_secrets import LobbySecrets
from datfs.app.lobbies.policies import Policies
from datfs.app.logs import Logs
from datfs.app.own_archive import commit_everything
from datfs.app.own_keys import own_key_pair
from datfs.app.session_service import SessionService
from datfs.app.status import Status
from datfs.app.ticker import Ticker
from datfs.app.world import Lobbies, World
from datfs.encoding.dat_url import parse_dat_url
from datfs.errors import DatfsError
from datfs.fs.archive_view import Deadlines
from datfs.fs.dat_directory import archive_top
from datfs.fs.mount import MountOptions, Tree, check_mountpoint, serve
from datfs.fs.root import ME_TOP, archive_tree, working_tree, world_tree
from datfs.fs.waiting import WaitingRoom
from datfs.swarm.announcer import Announcer
from datfs.swarm.swarm import Swarm, SwarmOptions
from datfs.swarm.transport import Address
from datfs.webrtc.configuration import EngineConfig, IceServer
from datfs.webrtc.engine import open_engine
from datfs.webrtc.loop import open_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from datfs.app.config import Config
    from datfs.fs.invalidation import Invalidator
    from datfs.fs.mount import Mounted
    from datfs.fs.node import Directory
    from datfs.hyperdrive.entry import Change
    from datfs.store.home import Home
    from datfs.swarm.ended import Ended
    from datfs.swarm.feed_replica import FeedReplica
    from datfs.swarm.peer import Peer

DEADLINE_MARGIN_S = 5.0
"""Handlers wait a little longer than what they wait for allows itself."""

LAST_WORDS_S = 2.0
"""How long the end waits for peers to fetch the last commits: that the session is over."""

LAST_WORDS_POLL_S = 0.01
SENDING_S = 0.05
"""How long what was given to peers takes at most, on a good line, to leave this machine."""

SESSION_END_S = 10.0
"""How long the end waits for sessions and lobbies to be left."""

REMEMBERED_S = 86400.0
"""A lobby that was joined longer ago than this is not taken up again at the next mount."""

log = logging.getLogger(__name__)


def run(
    config: Config,
    home: Home,
    mountpoint: Path,
    *,
    source: str | None,
    ready: Callable[[], None],
) -> None:
    """Serve a mount until it is ended; blocks.

    Args:
        config: settings.
        home: the store.
        mountpoint: where, absolute.
        source: None for the user's whole world, else a folder with an archive, or a key or URL.
        ready: called when the mount serves.

    Raises:
        DatfsError: something that the user can mend, in one sentence.
    """
    path = check_mountpoint(mountpoint)
    folder = Path(source) if source is not None and source.startswith("/") else None
    if folder is not None:
        home = home.for_folder(folder)
    _raise_descriptor_limit()
    with home.lock(path):
        if source is None and load_identity(home) is None:
            create_identity(home, default_name())
        try:
            trio.run(_Daemon(config, home, path, source, ready).run)
        except BaseExceptionGroup as group:
            raise _only_error(group) from group


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _only_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error of the user in a nursery's group, or the group itself."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found


class _Daemon:
    """One mount from beginning to end."""

    def __init__(
        self,
        config: Config,
        home: Home,
        mountpoint: Path,
        source: str | None,
        ready: Callable[[], None],
    ) -> None:
        self._config = config
        self._home = home
        self._mountpoint = mountpoint
        self._source = source
        self._ready = ready
        self._ending = trio.Event()
        self._ticker = Ticker()
        self._marks = home.marks
        self._invalidator: Invalidator | None = None
        self._lengths_at_end: dict[bytes, int] = {}
        self._on_archive_change: list[Callable[[bytes, Sequence[Change]], None]] = []
        self._events = EventLog(home.events_file, config.events_bytes)
        self._announcer = Announcer(
            record_length=self._marks.raise_to, on_sync_failed=self._sync_failed
        )
        self._swarm = Swarm(_swarm_options(config), self._announcer, on_ended=self._ended)
        self._archives = Archives(
            home,
            config,
            self._swarm,
            self._announcer,
            self._events,
            on_change=self._archive_changed,
        )
        self._logs = Logs(home, self._archives, self._announcer)

    async def run(self) -> None:
        """Serve until told to end."""
        try:
            async with trio.open_nursery() as swarming:
                await swarming.start(self._swarm.run)
                swarming.start_soon(self._archives.leave_idle)
                await self._serve_source()
                with trio.move_on_after(LAST_WORDS_S, shield=True):
                    await self._say_last_words()
                swarming.cancel_scope.cancel()
        finally:
            self._logs.close()
            self._archives.close()
            self._events.close()

    async def _say_last_words(self) -> None:
        """Let peers have what was committed since the end began."""
        await self._announcer.flush()
        grown = [
            replica
            for replica in self._own_feeds()
            if replica.feed.length > self._lengths_at_end.get(replica.feed.key, math.inf)
        ]
        if any(feed.scheduler.remotes for feed in grown):
            while not all(feed.is_given for feed in grown):  # noqa: ASYNC110 - of many feeds
                await trio.sleep(LAST_WORDS_POLL_S)
            await trio.sleep(SENDING_S)

    def _own_feeds(self) -> list[FeedReplica]:
        """The feeds in which the newest of our own is told."""
        archives = [own.replica.metadata for own in self._archives.own.values()]
        return [*archives, *(log.replica for log in self._logs.own.values())]

    async def _serve_source(self) -> None:
        if self._source is None:
            await self._serve_world()
        else:
            await self._serve_archive(self._source)

    # --- the whole world -----------------------------------------------------------------------

    async def _serve_world(self) -> None:
        home, events = self._home, self._events
        self._archives.forget_empty()
        key = load_identity(home)
        assert key is not None
        policies = Policies(home, self._config, events, lambda: friends.keys)
        session = SessionService(
            home,
            self._archives,
            self._logs,
            lambda key: lobbies.room(key),
            policies,
            events,
            heartbeat_s=self._config.heartbeat_s,
            plain_offers=self._config.plain_offers,
        )
        me = await self._archives.open_own(key, rules=IdentityRules(session.complete, events))
        me.on_service_commit.append(self._my_files_changed)
        me.on_commit.append(lambda _changes: self._ticker.tick())
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(open_loop())
            engine = await stack.enter_async_context(open_engine(_engine_config(self._config)))
            nursery = await stack.enter_async_context(trio.open_nursery())
            parts = LobbyParts(
                home=home,
                identity=own_key_pair(home, key),
                archives=self._archives,
                logs=self._logs,
                engine=engine,
                events=events,
                nursery=nursery,
                is_friend=lambda key: key in friends.keys,
                on_change=self._ticker.tick,
                allow_unproven=self._config.allow_unproven,
            )
            lobbies = Lobbies(parts)
            friends = Friends(me, self._archives, self._ticker.tick)
            self._on_archive_change += [friends.archive_changed, lobbies.archive_changed]
            await session.begin(me)
            nursery.start_soon(contained, events, "the session", session.run, me)
            nursery.start_soon(contained, events, "friends", friends.run)
            nursery.start_soon(contained, events, "policies", policies.run, lobbies)
            nursery.start_soon(contained, events, "clearing", self._archives.clearing.run)
            await self._return_to_lobbies(lobbies)
            status = self._status(key, session)
            world = World(me, self._archives, friends, lobbies, status)
            room = WaitingRoom()
            root = world_tree(world, room=room, deadlines=self._deadlines())
            commands = WorldCommands(
                me=me,
                archives=self._archives,
                lobbies=lobbies,
                session=session,
                policies=policies,
                friends=friends,
            )
            await self._serve_tree(
                root, room, status, commands.handlers(), lambda: self._part(session, lobbies)
            )
            nursery.cancel_scope.cancel()

    async def _part(self, session: SessionService, lobbies: Lobbies) -> None:
        """Leave sessions and lobbies in order, as far as that goes in a short time."""
        with trio.move_on_after(SESSION_END_S, shield=True):
            await session.end(remove=not self._config.keep_session)
            await lobbies.leave_all()

    async def _return_to_lobbies(self, lobbies: Lobbies) -> None:
        folder = self._home.joined_lobbies_folder
        if not folder.is_dir():
            return
        for file in folder.iterdir():
            if time.time() - file.stat().st_mtime > REMEMBERED_S:
                self._forget_lobby(file)
                continue
            try:
                lobby, writer = bytes.fromhex(file.name), bytes.fromhex(file.read_text())
                await lobbies.room(lobby).return_as(writer)
            except (DatfsError, ValueError) as error:
                log.info("the lobby %s is forgotten: %s", file.name, error)
                self._forget_lobby(file)

    def _forget_lobby(self, file: Path) -> None:
        file.unlink()
        with suppress(ValueError):
            LobbySecrets(self._home, bytes.fromhex(file.name)).delete()

    def _my_files_changed(self, changes: Sequence[Change]) -> None:
        if self._invalidator is not None:
            self._invalidator.archive_changed(ME_TOP, changes)

    # --- one archive ---------------------------------------------------------------------------

    async def _serve_archive(self, source: str) -> None:
        room = WaitingRoom()
        if source.startswith("/"):
            root = await self._folder_tree(Path(source), room)
        else:
            url = parse_dat_url(source)
            replica = self._archives.replica(url.key)
            self._archives.pin(url.key)
            root = archive_tree(
                replica, room=room, deadlines=self._deadlines(), version=url.version
            )
        status = self._status(None, None)
        await self._serve_tree(root, room, status, {}, trio.lowlevel.checkpoint)

    async def _folder_tree(self, folder: Path, room: WaitingRoom) -> Directory:
        archive = self._archives.open_folder(folder)
        if archive.writable and not self._config.ro:
            own = await self._archives.adopt_folder(archive)
            own.on_service_commit.append(self._my_files_changed)
            return working_tree(own.working)
        replica = self._archives.serve_folder(archive)
        return archive_tree(replica, room=room, deadlines=self._deadlines())

    # --- what both have ------------------------------------------------------------------------

    async def _serve_tree(
        self,
        root: Directory,
        room: WaitingRoom,
        status: Status,
        handlers: Mapping[str, Any],
        part: Callable[[], Awaitable[None]],
    ) -> None:
        general = GeneralCommands(
            status=status,
            events=self._events,
            archives=self._archives,
            root=root,
            ticker=self._ticker,
            end=self._ending.set,
        )
        server = ControlServer({**general.handlers(), **handlers})
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, self._home.socket)
            await nursery.start(self._watch_signals)
            mounted: Mounted = await nursery.start(self._mount, root, room)
            self._invalidator = mounted.invalidator
            self._ready()
            await self._ending.wait()
            self._lengths_at_end = {
                replica.feed.key: replica.feed.length for replica in self._own_feeds()
            }
            await part()
            for failure in await commit_everything(list(self._archives.own.values())):
                log.error("not everything could be saved: %s", failure)
            nursery.cancel_scope.cancel()
        self._invalidator = None
        await commit_everything(list(self._archives.own.values()))

    async def _mount(
        self, root: Directory, room: WaitingRoom, *, task_status: trio.TaskStatus[Mounted]
    ) -> None:
        tree = Tree(root=root, store=self._home.folder, waiting=room)
        options = MountOptions(
            source=self._source or "datfs",
            read_only=self._config.ro,
            allow_other=self._config.allow_other,
        )
        try:
            await serve(tree, self._mountpoint, options, task_status=task_status)
        finally:
            self._ending.set()

    async def _watch_signals(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for _ in signals:
                self._ending.set()

    def _archive_changed(self, key: bytes, changes: Sequence[Change]) -> None:
        if self._invalidator is not None:
            self._invalidator.archive_changed(archive_top(key), changes)
        for listener in self._on_archive_change:
            listener(key, changes)
        self._ticker.tick()

    def _ended(self, peer: Peer, ended: Ended) -> None:
        log.info("the connection with %s ended: %s", peer.address, ended.words)
        if ended.lied:
            self._events.append("peer-dropped", address=str(peer.address), reason=ended.words)

    def _sync_failed(self, key: bytes, reason: str) -> None:
        log.error("the feed %s cannot be synced, peers are not told of it: %s", key.hex(), reason)
        self._events.append("sync-failed", feed=key.hex(), reason=reason)

    def _status(self, identity: bytes | None, session: SessionService | None) -> Status:
        return Status(
            self._home,
            self._mountpoint,
            identity=identity,
            archives=self._archives,
            logs=self._logs,
            swarm=self._swarm,
            session=session,
        )

    def _deadlines(self) -> Deadlines:
        return Deadlines(
            metadata_s=self._config.metadata_deadline_s + DEADLINE_MARGIN_S,
            data_s=self._config.data_deadline_s + DEADLINE_MARGIN_S,
        )


def _swarm_options(config: Config) -> SwarmOptions:
    return SwarmOptions(
        listen=() if config.listen is None else (config.listen,),
        port=config.port,
        fixed_peers=tuple(Address(peer.host, peer.port) for peer in config.peers),
        offline=config.offline,
        max_connections=config.max_connections,
    )


def _engine_config(config: Config) -> EngineConfig:
    return EngineConfig(ice_servers=tuple(IceServer(url) for url in (*config.stun, *config.turn)))
