"""Verbs that ask the running datfs: status, host, join, wait, events, peers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datfs.app.control_client import ANSWER_S, ControlClient
from datfs.cli.options import examples, json_option, timeout_option
from datfs.cli.output import outline, show, show_event, table
from datfs.store.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 60.0
MARGIN_S = 5.0  # the daemon's own deadline comes first, for it says what is missing


@click.command(epilog=examples("datfs status --json"))
@json_option
def status(as_json: bool) -> None:
    """Tell what the running datfs does: archives, peers, session."""
    show(_client().call("status"), as_json=as_json, lines=outline)


@click.command(epilog=examples("datfs host Foobar --max-peers 8"))
@click.argument("name")
@click.option(
    "--max-peers", type=click.IntRange(min=1), metavar="N", help="How many may be connected."
)
@click.option("--log", "as_log", is_flag=True, help="Make the lobby a log, not an archive.")
@json_option
def host(name: str, max_peers: int | None, as_log: bool, as_json: bool) -> None:
    """Host a session: writes me/session.json and opens its lobby.

    Removing me/session.json ends it.
    """
    params: dict[str, Any] = {"name": name}
    if max_peers is not None:
        params["max_peers"] = max_peers
    if as_log:
        params["carrier"] = "log"
    show(_client().call("host", params), as_json=as_json, lines=outline)


@click.command(epilog=examples("datfs join dat://LOBBY"))
@click.argument("url")
@timeout_option(WAIT_S, "the host")
@json_option
def join(url: str, timeout_s: float, as_json: bool) -> None:
    """Join the session whose lobby has this URL: its host learns your identity."""
    params = {"url": url, "timeout_s": timeout_s}
    answer = _client().call("join", params, timeout_s + MARGIN_S)
    show(answer, as_json=as_json, lines=outline)


@click.command(
    epilog=examples(
        "datfs wait lobby/KEY/HASH.answer.bin", "datfs wait --event connected --timeout 30"
    )
)
@click.argument("path", required=False)
@click.option("--event", "kind", metavar="KIND", help="Wait for the next event of this kind.")
@timeout_option(WAIT_S, "it")
@json_option
def wait(path: str | None, kind: str | None, timeout_s: float, as_json: bool) -> None:
    """Wait until a file is there, or until something happens.

    PATH is a file in the mount: absolute, relative to the working directory in the mount, or from
    elsewhere relative to the mountpoint.
    """
    if (path is None) == (kind is None):
        raise click.UsageError("wait for a PATH or for an --event")
    params: dict[str, Any] = {"timeout_s": timeout_s}
    if path is not None:
        params["path"] = _path_in_mount(path)
    else:
        params["event"] = kind
    answer = _client().call("wait", params, timeout_s + MARGIN_S)
    if kind is not None:
        show_event(answer, as_json=as_json)
    elif as_json:
        show(answer, as_json=True, lines=outline)


@click.command(epilog=examples("datfs events --follow --json"))
@click.option("--follow", "-f", is_flag=True, help="Go on with events as they happen.")
@click.option(
    "--after", type=click.IntRange(min=0), metavar="N", help="Only events with higher numbers."
)
@json_option
def events(follow: bool, after: int | None, as_json: bool) -> None:
    """Print what happened, an event a line.

    Without --follow all that the log still has; with it new ones, or those after N.
    """
    if after is None and not follow:
        after = 0
    params = {"after": after, "follow": follow}
    for event in _client().stream("events", params, None if follow else ANSWER_S):
        show_event(event, as_json=as_json)


@click.command(epilog=examples("datfs peers"))
@json_option
def peers(as_json: bool) -> None:
    """List the connections to peers."""

    def lines(rows: list[dict[str, Any]]) -> Iterator[str]:
        return table(rows) if rows else iter(["no peer is connected; `datfs status` tells why"])

    show(_client().call("peers"), as_json=as_json, lines=lines)


def _client() -> ControlClient:
    return ControlClient(Home.locate().socket)


def _path_in_mount(path: str) -> str:
    """From the root of the mount, beginning with a slash; worked out without touching the mount."""
    holder = Home.locate().holder()
    here = Path(os.path.abspath(path))
    if holder is not None and holder.mountpoint is not None:
        mountpoint = Path(holder.mountpoint)
        if here.is_relative_to(mountpoint):
            return os.path.normpath(f"/{here.relative_to(mountpoint)}")
        if Path(path).is_absolute():
            raise click.UsageError(f"{path} is not below {mountpoint}")
    return os.path.normpath(f"/{path.lstrip('/')}")
