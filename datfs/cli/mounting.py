"""Verbs that begin and end the running datfs: init, mount, umount."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import select
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datfs.app.background import run_in_background
from datfs.app.config import Config, mount_options
from datfs.app.control_client import ControlClient
from datfs.cli.options import examples, json_option, timeout_option
from datfs.cli.output import outline, printable, show
from datfs.encoding.dat_url import parse_dat_url
from datfs.errors import InvalidUrl, MountError, NotMounted, Timeout
from datfs.fs.kernel import find_mount
from datfs.store.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable

UNMOUNT_S = 60.0
FILESYSTEM = "fuse.datfs"
EVERYTHING = frozenset({"none", "datfs"})  # fstab needs a source even where there is none
LOG_FORMAT = "%(asctime)s datfs: %(levelname)s %(name)s: %(message)s"


@click.command(epilog=examples("datfs init --name Alice"))
@click.option("--name", metavar="NAME", required=True, help="How others see you.")
@json_option
def init(name: str, as_json: bool) -> None:
    """Make the store and your identity, without mounting anything.

    The first mount does so too.
    """
    from datfs.app.identity_store import create_identity  # heavy, and only this verb needs it

    home = Home.locate()
    with home.lock():
        key = create_identity(home, name)
    answer = {"name": name, "identity": key.hex(), "store": str(home.folder)}
    show(answer, as_json=as_json, lines=outline)


@click.command(
    epilog=examples("datfs mount ~/dat", "datfs mount --peer 192.0.2.7:3282 dat://KEY ~/archive")
)
@click.argument("names", nargs=-1, required=True, metavar="[SOURCE] MOUNTPOINT")
@click.option("--foreground", "-f", is_flag=True, help="Stay; end by Ctrl-C or umount.")
@click.option(
    "--peer", "peers", multiple=True, metavar="HOST:PORT", help="Ask this peer for everything."
)
@click.option("--port", type=int, metavar="N", help="Listen here; 3282 or the next free one.")
@click.option("--listen", metavar="ADDRESS", help="Listen on this address alone.")
@click.option("--no-lan", is_flag=True, help="Do not look for peers on the local network.")
@click.option("--no-dht", is_flag=True, help="Do not look for peers in the DHT.")
@click.option("--offline", is_flag=True, help="Open no socket to the network at all.")
@click.option(
    "--heartbeat",
    "heartbeat_s",
    type=float,
    metavar="SECONDS",
    help="Between signs of life of a hosted session.",
)
@click.option(
    "--allow-unproven", is_flag=True, help="Offer also to hosts whose beacon proves nothing."
)
@click.option("--keep-session", is_flag=True, help="Leave a hosted session open at the end.")
@click.option(
    "--option",
    "-o",
    "options",
    multiple=True,
    metavar="NAME[=VALUE],...",
    help="Any setting of config.toml; options meant for others are passed over.",
)
@click.option("--verbose", "-v", count=True, help="Log more; twice for everything.")
def mount(
    names: tuple[str, ...],
    foreground: bool,
    peers: tuple[str, ...],
    port: int | None,
    listen: str | None,
    no_lan: bool,
    no_dht: bool,
    offline: bool,
    heartbeat_s: float | None,
    allow_unproven: bool,
    keep_session: bool,
    options: tuple[str, ...],
    verbose: int,
) -> None:
    """Mount your whole world, or one archive: a key, a dat URL, or a folder with an archive.

    Goes to the background once the mount serves.
    """
    if len(names) > 2:
        raise click.UsageError("give at most a SOURCE and a MOUNTPOINT")
    given: dict[str, object] = {
        "peers": peers or None,
        "port": port,
        "listen": listen,
        "lan": False if no_lan else None,
        "dht": False if no_dht else None,
        "offline": offline or None,
        "heartbeat_s": heartbeat_s,
        "allow_unproven": allow_unproven or None,
        "keep_session": keep_session or None,
    }
    settings = mount_options(options)
    settings |= {name: value for name, value in given.items() if value is not None}
    home = Home.locate()
    home.prepare()
    config = Config.load(home.config_file, settings)
    mountpoint = Path(os.path.realpath(names[-1]))
    source = _source(names[0]) if len(names) == 2 else None
    serve = functools.partial(_serve, config, home, mountpoint, source, verbose)
    if foreground:
        serve(lambda: click.echo(f"datfs: mounted at {mountpoint}", err=True))
    else:
        run_in_background(serve, home.log_file)


def _serve(
    config: Config,
    home: Home,
    mountpoint: Path,
    source: str | None,
    verbose: int,
    ready: Callable[[], None],
) -> None:
    """Serves until it is told to end; trio and pyfuse3 are imported here, behind the fork."""
    from datfs.app import daemon

    logging.basicConfig(format=LOG_FORMAT, level=logging.WARNING)
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.getLogger("datfs").setLevel(level)
    daemon.run(config, home, mountpoint, source=source, ready=ready)


def _source(text: str) -> str | None:
    """A folder made absolute, or a URL that can be one; None for the whole world.

    Raises:
        InvalidUrl: It is neither.
    """
    if text in EVERYTHING:
        return None
    if Path(text).is_dir():
        return os.path.abspath(text)
    try:
        parse_dat_url(text)
    except InvalidUrl as error:
        raise InvalidUrl(f"{error}, and there is no folder of that name") from None
    return text


@click.command(epilog=examples("datfs umount ~/dat"))
@click.argument("mountpoint", type=click.Path(path_type=Path))
@click.option("--lazy", "-l", is_flag=True, help="Detach a dead mount that is still in use.")
@timeout_option(UNMOUNT_S, "what is not yet saved")
def umount(mountpoint: Path, lazy: bool, timeout_s: float) -> None:
    """End the datfs that serves a mount, once everything written is saved.

    A mount whose datfs has died is taken away.
    """
    home = Home.locate()
    # the mountpoint itself is not asked about its links: a dead mount may hang who does
    spellings = [
        Path(os.path.abspath(mountpoint)),
        Path(os.path.realpath(mountpoint.absolute().parent), mountpoint.name),
    ]
    for spelling in spellings:
        socket = home.socket_for(spelling)
        if socket is not None and _end_served(socket, timeout_s):
            break
    else:
        _take_away_dead(spellings, mountpoint, lazy=lazy)
        return
    for spelling in spellings:  # it could not unmount, such as for want of /etc/mtab
        entry = find_mount(spelling)
        if entry is not None:
            _take_away(spelling, entry.filesystem, lazy=lazy)


def _take_away_dead(spellings: list[Path], mountpoint: Path, *, lazy: bool) -> None:
    for spelling in spellings:
        entry = find_mount(spelling)
        if entry is not None:
            _take_away(spelling, entry.filesystem, lazy=lazy)
            return
    raise NotMounted(f"nothing is mounted at {mountpoint}")


def _end_served(socket: Path, timeout_s: float) -> bool:
    """Asks a datfs to end and waits until it has; False if none serves that socket."""
    client = ControlClient(socket)
    try:
        process = os.pidfd_open(client.server_pid())
    except (NotMounted, ProcessLookupError):
        return False
    try:
        with contextlib.suppress(NotMounted):  # it may be gone before it could say so
            for progress in client.stream("umount", {"wait": True}, timeout_s):
                click.echo(f"datfs: waiting for {printable(progress['waiting_for'])}", err=True)
        ended = select.poll()
        ended.register(process, select.POLLIN)
        if not ended.poll(timeout_s * 1000):
            raise Timeout("datfs has not ended in time; it goes on and ends by itself")
    finally:
        os.close(process)
    return True


def _take_away(mountpoint: Path, filesystem: str, *, lazy: bool) -> None:
    if filesystem != FILESYSTEM:
        raise MountError(f"what is mounted at {mountpoint} is {filesystem}, not datfs")
    flags = "-uz" if lazy else "-u"
    try:
        done = subprocess.run(
            ["fusermount3", flags, str(mountpoint)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise MountError("fusermount3 is missing; install the package fuse3") from None
    if done.returncode:
        raise MountError(
            f"{done.stderr.strip()}; end what uses it (fuser -vm {mountpoint}) or give --lazy"
        )
