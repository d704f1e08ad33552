"""Who is let into a session, as host and guest see it: two mounts on two networks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.meeting import Meeting, eventually, meeting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.netns import Host


@pytest.fixture
def people(two_hosts: list[Host], tmp_path: Path) -> Iterator[Meeting]:
    with meeting(two_hosts, tmp_path) as both:
        yield both


def test_only_friends_and_then_the_guest_becomes_one(people: Meeting) -> None:
    lobby = people.open_session("--friends-only")
    assert "did not let us in: the host lets only friends in" in people.join(expect=77)
    assert people.state(lobby) == "refused: the host lets only friends in"
    profile = people.host.path / "me/profile.json"
    befriended = json.loads(profile.read_text()) | {"friends": [f"dat://{people.guest_key}"]}
    profile.write_text(json.dumps(befriended))
    eventually(lambda: not (people.host.path / "lobby" / lobby / people.answer_name).exists())
    people.join()
    assert people.state(lobby).startswith("joined")


def test_a_file_of_keys_is_followed_as_it_is_edited(people: Meeting, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.write_text(f"{people.guest_key}  # a guest\n")
    lobby = people.open_session("--allow", allowed)
    people.join()
    allowed.write_text("# nobody\n")
    eventually(lambda: "not on its list" in people.state(lobby))
    assert people.peers(people.guest, lobby) in ([], [people.host_key])
    state = people.host.path / "lobby" / lobby / "state"
    assert state.read_text().startswith("hosting: 0 connected")


def test_rm_r_kicks_a_guest(people: Meeting) -> None:
    lobby = people.open_session()
    people.join()
    eventually(lambda: people.peers(people.host, lobby) == [people.guest_key])
    peers = people.host.path / "lobby" / lobby / "peers"
    people.host.run("rm", "-r", peers / people.guest_key)
    assert people.peers(people.host, lobby) == []
    eventually(lambda: people.state(lobby).startswith("refused: the host has closed our"))
    assert people.peers(people.host, lobby) == []


def test_a_guest_hangs_up_by_rm_r(people: Meeting) -> None:
    lobby = people.open_session()
    people.join()
    peers = people.guest.path / "lobby" / lobby / "peers"
    people.guest.run("rm", "-r", peers / people.host_key)
    assert people.peers(people.guest, lobby) == []
    state = people.host.path / "lobby" / lobby / "state"
    eventually(lambda: state.read_text().startswith("hosting: 0 connected"))
    assert people.state(lobby).startswith("looking")
    people.join()


def test_a_ban_ends_the_connection_and_survives_a_restart(
    two_hosts: list[Host], tmp_path: Path
) -> None:
    with meeting(two_hosts, tmp_path, host_options=["--keep-session"]) as people:
        lobby = people.open_session()
        people.join()
        people.host.datfs("ban", people.guest_key)
        eventually(lambda: people.state(lobby) == "refused: the host has banned us")
    with meeting(two_hosts, tmp_path) as people:
        assert "the host has banned us" in people.join(expect=77)
        people.host.datfs("ban", "--lift", people.guest_key)
        eventually(lambda: not (people.host.path / "lobby" / lobby / people.answer_name).exists())
        people.join()


def test_a_line_in_the_file_of_bans_is_enough(people: Meeting) -> None:
    lobby = people.open_session()
    (people.host.home / "banned").write_text(f"# a nuisance\ndat://{people.guest_key}\nnonsense\n")
    eventually(lambda: "no key: nonsense" in people.host.datfs("events").stdout)
    assert "the host has banned us" in people.join(expect=77)
    assert people.peers(people.host, lobby) == []


def test_a_guest_that_writes_too_much_is_struck_off(people: Meeting) -> None:
    lobby = people.open_session()
    people.join()
    own = people.guest.path / "lobby" / lobby / people.guest_key
    own.mkdir()
    (own / "large").write_bytes(bytes(2 << 20))
    eventually(lambda: people.state(lobby) == "refused: the host has struck us off")
    state = people.host.path / "lobby" / lobby / "state"
    assert state.read_text().startswith("hosting: 0 connected")
    assert "the host has struck us off" in people.join(expect=77)
