"""What removed signals said is gone from the stores of both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.lobby import seal
from tests.support.meeting import eventually, meeting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.mounts import Mount
    from tests.support.netns import Host

SEALED = seal.MAGIC
SIGNAL = b'"sdp"'


def content_of(mount: Mount) -> bytes:
    """The bytes of all content that a store holds, its own and that of others."""
    archives = (mount.home / "archives").iterdir()
    files = (folder / "content" / "data" for folder in archives)
    return b"".join(file.read_bytes() for file in files if file.exists())


def test_the_addresses_in_offer_and_answer_are_cleared_and_other_files_stay(
    two_hosts: list[Host], tmp_path: Path
) -> None:
    with meeting(two_hosts, tmp_path) as people:
        lobby = people.open_session()
        people.join()
        assert SEALED in content_of(people.host)
        assert SEALED in content_of(people.guest)
        notes = people.guest.path / "lobby" / lobby / f"{people.guest_key}.notes"
        notes.write_text("kept for ever")
        there = people.host.path / "lobby" / lobby / notes.name
        eventually(there.exists)
        assert there.read_text() == "kept for ever"
    for mount in (people.host, people.guest):
        assert SEALED not in content_of(mount)
        assert b"kept for ever" in content_of(mount)
    assert SIGNAL not in content_of(people.host), "the beacon went with the session"
    with meeting(two_hosts, tmp_path) as people:
        lobby = people.open_session()
        session = people.guest.path / "dat" / people.host_key / "session.json"
        eventually(lambda: lobby in session.read_text())
        people.join()


def test_a_signal_that_was_renamed_keeps_its_blocks(two_hosts: list[Host], tmp_path: Path) -> None:
    with meeting(two_hosts, tmp_path) as people:
        lobby = people.open_session()
        here = people.guest.path / "lobby" / lobby
        eventually(lambda: (here / "host.offer.bin").exists())
        offer = here / f"{people.guest_key}.offer.bin"
        text = (here / "new-offer").read_bytes()
        offer.write_bytes(text)
        offer.rename(here / f"{people.guest_key}.kept")
    with meeting(two_hosts, tmp_path) as people:
        kept = people.guest.path / "lobby" / lobby / f"{people.guest_key}.kept"
        eventually(kept.exists)
        assert kept.read_bytes() == text
