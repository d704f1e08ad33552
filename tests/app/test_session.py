"""profile.json and session.json in real mounts: completed, kept fresh, ended, gone on with."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.app.people import (
    LOOPBACK,
    asked_at,
    events,
    hosted,
    identity,
    kill,
    session,
    status,
)
from tests.support.eventually import eventually
from tests.support.mounts import is_mounted, mounted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.mounts import Mount

FIELDS = ["name", "url", "last_update", "peers", "max_peers", "protected"]
PAST_RESUMPTION = """
import time

really = time.time_ns
time.time_ns = lambda: really() + 12 * 60 * 10**9
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mount, Mount]]:
    """A person, and another who sees their archive."""
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(mounted(tmp_path_factory.mktemp("host"), *LOOPBACK))
        guest = stack.enter_context(mounted(tmp_path_factory.mktemp("guest"), *asked_at(host)))
        yield host, guest


@pytest.fixture
def host(pair: tuple[Mount, Mount]) -> Iterator[Mount]:
    yield pair[0]
    (pair[0].path / "me/session.json").unlink(missing_ok=True)
    eventually(lambda: status(pair[0])["session"] is None)


def seen(pair: tuple[Mount, Mount]) -> Path:
    """The host's archive as the guest has it."""
    return pair[1].path / "dat" / identity(pair[0])


def test_first_mount_makes_a_profile_that_others_can_read(pair: tuple[Mount, Mount]) -> None:
    profile = json.loads((pair[0].path / "me/profile.json").read_text())
    assert abs(profile["created"] - time.time() * 1000) < 3_600_000
    assert profile["name"]
    assert json.loads((seen(pair) / "profile.json").read_text()) == profile


def test_session_is_complete_when_close_returns_whoever_writes_it(
    host: Mount, tmp_path: Path
) -> None:
    file = host.path / "me/session.json"
    asked = tmp_path / "asked.json"
    asked.write_text('{"name": "Foobar", "max_peers": 3}')

    def by_editor() -> None:
        (host.path / "me/.session.json.new").write_text(asked.read_text())
        (host.path / "me/.session.json.new").rename(file)

    def by_command() -> None:
        printed = json.loads(host.datfs("host", "Foobar", "--max-peers", "3", "--json").stdout)
        assert printed == session(file.parent)

    ways = [
        lambda: host.run("sh", "-c", f"cat {asked} > {file}"),
        lambda: shutil.copy(asked, file),
        by_editor,
        by_command,
    ]
    urls = set()
    for write in ways:
        write()
        complete = session(file.parent)
        assert list(complete) == FIELDS
        assert (complete["name"], complete["max_peers"]) == ("Foobar", 3)
        assert (complete["peers"], complete["protected"]) == (0, False)
        assert abs(complete["last_update"] - time.time() * 1000) < 60_000
        urls.add(complete["url"])
        file.unlink()
        eventually(lambda: status(host)["session"] is None)
    assert len(urls) == len(ways), "each session has a lobby of its own"


def test_rewriting_a_session_keeps_its_lobby_and_others_see_it(
    host: Mount, pair: tuple[Mount, Mount]
) -> None:
    hosted(host, "before", 2)
    first = session(host.path / "me")
    (host.path / "me/session.json").write_text('{"name": "after", "peers": 77, "url": "x"}')
    again = session(host.path / "me")
    assert (again["url"], again["name"], again["peers"]) == (first["url"], "after", 0)
    eventually(lambda: session(seen(pair))["name"] == "after")
    (host.path / "me/session.json").unlink()
    eventually(lambda: not (seen(pair) / "session.json").exists())
    assert [event["reason"] for event in events(host, "session-ended")][-1:] == [
        "session.json is gone"
    ]


@pytest.mark.parametrize(
    ("name", "content", "mistake"),
    [
        ("session.json", '{"name": "Foobar', "line 1, column"),
        ("session.json", '["Foobar"]', "must be a JSON object"),
        ("session.json", '{"name": 5}', "field name"),
        ("session.json", '{"name": "x", "max_peers": "many"}', "field max_peers"),
        ("profile.json", '{"name": "x", "created": "today"}', "field created"),
        ("profile.json", '{"name": "x", "friends": ["dat://nobody"]}', "friends"),
    ],
)
def test_mistakes_stay_as_written_and_are_told(
    host: Mount, name: str, content: str, mistake: str
) -> None:
    file = host.path / "me" / name
    before = file.read_text() if file.exists() else None
    told = len(events(host, "mistake"))
    file.write_text(content)
    assert file.read_text() == content
    event = eventually(lambda: events(host, "mistake")[told:])[0]
    assert mistake in event["reason"]
    assert event["path"] == f"me/{name}"
    assert event["reason"] in host.log.read_text()
    assert status(host)["session"] is None
    if before is not None:
        file.write_text(before)


def test_a_mistake_ends_what_was_hosted(host: Mount) -> None:
    folder = hosted(host)
    assert (folder / "host.offer.bin").exists()
    (host.path / "me/session.json").write_text("{")
    eventually(lambda: status(host)["session"] is None)
    assert events(host, "session-ended")[-1]["reason"] == "session.json has a mistake"


def test_without_a_heartbeat_due_no_version_is_made(host: Mount) -> None:
    hosted(host)
    key = identity(host)
    before = status(host)["archives"][key]["version"]
    time.sleep(1.5)
    assert status(host)["archives"][key]["version"] == before


def test_heartbeat_moves_last_update_by_one_version_each(tmp_path: Path) -> None:
    with mounted(tmp_path, *LOOPBACK, "--heartbeat", "0.5") as mount:
        key = identity(mount)
        hosted(mount)
        first, version = session(mount.path / "me"), status(mount)["archives"][key]["version"]
        eventually(lambda: status(mount)["archives"][key]["version"] >= version + 3)
        later = session(mount.path / "me")
        assert later["last_update"] >= first["last_update"] + 1_000
        assert {**later, "last_update": 0} == {**first, "last_update": 0}
        editing = (mount.path / "me/session.json").open("r+")  # nothing is written under an editor
        with editing:
            held = status(mount)["archives"][key]["version"]
            time.sleep(1.2)
            assert status(mount)["archives"][key]["version"] <= held + 1


@pytest.mark.parametrize("ending", ["SIGTERM", "umount"])
def test_ending_the_mount_ends_the_session_for_those_who_see_it(
    tmp_path: Path, ending: str
) -> None:
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(mounted(tmp_path / "host", *LOOPBACK))
        guest = stack.enter_context(mounted(tmp_path / "guest", *asked_at(host)))
        hosted(host)
        archive = guest.path / "dat" / identity(host)
        eventually(lambda: session(archive))
        if ending == "SIGTERM":
            host.process.terminate()
        else:
            host.datfs("umount", host.path)
        assert host.process.wait(15) == 0
        assert not is_mounted(host.path)
        eventually(lambda: not (archive / "session.json").exists())


def test_a_kept_or_crashed_session_goes_on_with_a_new_beacon(tmp_path: Path) -> None:
    def beacon(folder: Path) -> str:
        return str(json.loads((folder / "host.offer.bin").read_text())["id"])

    with mounted(tmp_path, *LOOPBACK, "--keep-session") as mount:
        folder = hosted(mount)
        eventually(lambda: beacon(folder))
        first, url = beacon(folder), session(mount.path / "me")["url"]
    with mounted(tmp_path, *LOOPBACK) as mount:
        assert session(mount.path / "me")["url"] == url
        second = eventually(lambda: beacon(folder))
        kill(mount)
    with mounted(tmp_path, *LOOPBACK) as mount:
        assert session(mount.path / "me")["url"] == url
        third = eventually(lambda: beacon(folder))
        assert len({first, second, third}) == 3
        kill(mount)
    later = tmp_path / "later"
    later.mkdir()
    (later / "sitecustomize.py").write_text(PAST_RESUMPTION)
    with mounted(tmp_path, *LOOPBACK, environment={"PYTHONPATH": str(later)}) as mount:
        assert not (mount.path / "me/session.json").exists()
        assert "left over" in events(mount, "session-ended")[-1]["reason"]
