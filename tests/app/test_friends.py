"""Friends as `datfs friends` and the directory `friends/` show them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import trio

from datfs.encoding.dat_url import DatUrl
from datfs.identity.profile import Profile
from datfs.identity.session import Session
from tests.hyperdrive.memory_archives import memory_storage
from tests.support.meeting import ALONE, eventually, meeting
from tests.support.mounts import Mount, mounted
from tests.swarm.hosts import host as swarm_host
from tests.swarm.hosts import own_archive, put

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.netns import Host

MINUTE_MS = 60_000


def friends_of(mount: Mount) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(mount.datfs("friends", "--json").stdout)
    return rows


def name_of(mount: Mount) -> str:
    name: str = json.loads((mount.path / "me/profile.json").read_text())["name"]
    return name


def session(*, age_ms: int) -> bytes:
    return Session(
        name="Foobar",
        url=DatUrl(key=b"\7" * 32),
        last_update_ms=time.time_ns() // 1_000_000 - age_ms,
        peers=2,
        max_peers=8,
        protected=False,
    ).encode()


def test_a_friend_is_added_hosts_and_is_removed(two_hosts: list[Host], tmp_path: Path) -> None:
    with meeting(two_hosts, tmp_path) as people:
        guest, profile = people.guest, people.guest.path / "me/profile.json"
        written = json.loads(profile.read_text()) | {"motto": "festina lente"}
        profile.write_text(json.dumps(written))
        guest.datfs("friends", "add", people.host_key)
        guest.datfs("friends", "add", f"dat://{people.host_key}")
        assert json.loads(profile.read_text()) == written | {
            "friends": [f"dat://{people.host_key}"]
        }
        idle = {"name": name_of(people.host), "key": people.host_key, "hosting": None}
        eventually(lambda: friends_of(guest) == [idle])
        lobby = people.open_session()
        hosting = {"url": f"dat://{lobby}", "peers": 0, "max_peers": 8, "state": "fresh"}
        eventually(lambda: friends_of(guest) == [idle | {"hosting": "Foobar"} | hosting])
        heading, line = guest.datfs("friends").stdout.splitlines()
        assert heading.split() == ["name", "hosting", "peers", "state", "key"]
        assert line.split()[1:6] == ["Foobar", "0", "of", "8", "fresh"]
        (people.host.path / "me/session.json").unlink()
        eventually(lambda: friends_of(guest) == [idle])
        guest.datfs("friends", "remove", people.host_key)
        assert friends_of(guest) == []
        assert guest.datfs("friends").stdout == "no friends yet\n"
        assert json.loads(profile.read_text())["motto"] == "festina lente"


def test_a_friend_s_profile_is_kept_for_when_the_friend_is_away(
    two_hosts: list[Host], tmp_path: Path
) -> None:
    with meeting(two_hosts, tmp_path) as people:
        people.guest.datfs("friends", "add", people.host_key)
        name, key = name_of(people.host), people.host_key
        eventually(lambda: friends_of(people.guest)[0]["name"] == name)
    with mounted(tmp_path / "guest", "--offline") as guest:
        eventually(lambda: friends_of(guest)[0]["name"] == name)
        profile = guest.path / "friends" / name / "profile.json"
        assert json.loads(profile.read_text())["name"] == name
        assert friends_of(guest)[0]["key"] == key


async def test_a_session_without_a_sign_of_life_is_stale_until_one_is_seen(tmp_path: Path) -> None:
    profile = Profile(name="Ada", created_ms=1).encode()
    files = {"/profile.json": profile, "/session.json": session(age_ms=17 * MINUTE_MS)}
    ada = own_archive(memory_storage(), 40, files)
    async with swarm_host() as elsewhere:
        served = elsewhere.serve(ada)
        states: list[str | None] = []

        def watch() -> None:
            options = (*ALONE, "--peer", str(elsewhere.address), "--listen", "127.0.0.1")
            with mounted(tmp_path / "me", *options) as mount:
                mount.datfs("friends", "add", ada.key.hex())
                eventually(lambda: "state" in friends_of(mount)[0])
                states.append(friends_of(mount)[0]["state"])
                trio.from_thread.run_sync(beat)
                eventually(lambda: friends_of(mount)[0]["state"] == "fresh")

        def beat() -> None:
            # by its own clock this host is still minutes behind: what is seen live counts
            put(ada, "/session.json", session(age_ms=16 * MINUTE_MS))
            served.committed()

        await trio.to_thread.run_sync(watch)
    assert states == ["stale"]
