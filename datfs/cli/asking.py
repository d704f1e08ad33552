"""Verbs that ask the running datfs: status, host, join, ban, friends, wait, events, peers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datfs.app.control_client import ANSWER_S, ControlClient
from datfs.cli.options import examples, json_option, password_options, timeout_option
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


@click.command(
    epilog=examples(
        "datfs host Foobar --max-peers 8",
        "datfs host Foobar --friends-only",
        "datfs host Foobar --password-file ~/foobar.password",
    )
)
@click.argument("name")
@click.option(
    "--max-peers", type=click.IntRange(min=1), metavar="N", help="How many may be connected."
)
@click.option("--log", "as_log", is_flag=True, help="Make the lobby a log, not an archive.")
@click.option("--no-plain", is_flag=True, help="Refuse offers that are not sealed.")
@click.option("--friends-only", is_flag=True, help="Let only friends in, and those of --allow.")
@click.option(
    "--allow",
    "allowed_keys",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    metavar="FILE",
    help="Let those in whose keys stand in this file, a line each.",
)
@password_options(confirm=True)
@json_option
def host(
    name: str,
    max_peers: int | None,
    as_log: bool,
    no_plain: bool,
    friends_only: bool,
    allowed_keys: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """Host a session: writes me/session.json and opens its lobby.

    Removing me/session.json ends it. Anyone may join unless the options or the settings say
    otherwise; with a password guests must know it.
    """
    params: dict[str, Any] = {"name": name}
    if password is not None:
        params["password"] = password
    if max_peers is not None:
        params["max_peers"] = max_peers
    if as_log:
        params["carrier"] = "log"
    if no_plain:
        params["plain_offers"] = False
    if friends_only:
        params["policy"] = "friends"
    if allowed_keys is not None:
        params["allowed_keys"] = allowed_keys
    show(_client().call("host", params), as_json=as_json, lines=outline)


@click.command(epilog=examples("datfs join dat://LOBBY", "datfs join dat://LOBBY --password"))
@click.argument("url")
@password_options(confirm=False)
@timeout_option(WAIT_S, "the host")
@json_option
def join(url: str, password: str | None, timeout_s: float, as_json: bool) -> None:
    """Join the session whose lobby has this URL: its host learns your identity.

    Your password, where one is needed, is proven and never sent.
    """
    params: dict[str, Any] = {"url": url, "timeout_s": timeout_s}
    if password is not None:
        params["password"] = password
    answer = _client().call("join", params, timeout_s + MARGIN_S)
    show(answer, as_json=as_json, lines=outline)


@click.command(epilog=examples("datfs ban dat://KEY", "datfs ban --lift dat://KEY"))
@click.argument("url")
@click.option("--lift", is_flag=True, help="Take the ban back.")
@json_option
def ban(url: str, lift: bool, as_json: bool) -> None:
    """Keep an identity out of your sessions; if it is connected, that ends.

    The bans are lines of the file `banned` in the store.
    """
    answer = _client().call("ban", {"url": url, "lift": lift})
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


@click.group(
    invoke_without_command=True,
    epilog=examples(
        "datfs friends", "datfs friends add dat://KEY", "datfs friends remove dat://KEY"
    ),
)
@json_option
@click.pass_context
def friends(context: click.Context, as_json: bool) -> None:
    """List your friends, and who of them hosts a session.

    A session whose host gave no sign of life for long is stale.
    """
    if context.invoked_subcommand is not None:
        return

    def lines(rows: list[dict[str, Any]]) -> Iterator[str]:
        return table([_friend(row) for row in rows]) if rows else iter(["no friends yet"])

    show(_client().call("friends"), as_json=as_json, lines=lines)


@friends.command(epilog=examples("datfs friends add dat://KEY"))
@click.argument("url")
@json_option
def add(url: str, as_json: bool) -> None:
    """Write a friend into me/profile.json, for all who know you to see."""
    show(_client().call("befriend", {"url": url}), as_json=as_json, lines=outline)


@friends.command(epilog=examples("datfs friends remove dat://KEY"))
@click.argument("url")
@json_option
def remove(url: str, as_json: bool) -> None:
    """Take a friend out of me/profile.json."""
    answer = _client().call("befriend", {"url": url, "remove": True})
    show(answer, as_json=as_json, lines=outline)


def _friend(row: dict[str, Any]) -> dict[str, Any]:
    """A friend as a line of the table shows them."""
    peers = f"{row['peers']} of {row['max_peers']}" if row["hosting"] is not None else None
    shown = {"name": row["name"], "hosting": row["hosting"], "peers": peers}
    return {**shown, "state": row.get("state"), "key": row["key"]}


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
