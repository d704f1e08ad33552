"""Sealed signals among real mounts: text at the two ends, sealed bytes at a third member's."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.app.people import ALONE, events, hosted, identity, kill, lobby, session
from tests.support.eventually import eventually
from tests.support.mounts import mounted
from tests.support.netns import network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.mounts import Mount
    from tests.support.netns import Host

SEALED = b"dfs1"


def asking(host: Host) -> list[str]:
    return [*ALONE, "--peer", f"{host.address}:3282"]


def browsers_offer(folder: Path) -> bytes:
    """Return an offer whose connection is not the engine's, so that it and its answer stay."""
    made = json.loads((folder / "new-offer").read_text())
    made["sdp"] = re.sub(r"a=ice-ufrag:\S+", "a=ice-ufrag:browser", made["sdp"])
    return json.dumps({"type": "offer", "sdp": made["sdp"]}, indent=1).encode()


def browsers_offer_of(mount: Mount) -> bytes:
    """Return an offer that was made elsewhere: in a lobby that nobody hosts."""
    return browsers_offer(mount.path / "lobby" / ("ab" * 32))


def found_by(person: Mount, host_key: str) -> Path:
    """Return the lobby of a host's session as somebody else sees it."""
    return eventually(lambda: lobby(person, session(person.path / "dat" / host_key)))


def equal(file: Path, text: bytes) -> bool:
    """Compare as cmp(1) does, with the size that stat(2) tells."""
    return file.read_bytes() == text and file.stat().st_size == len(text)


def listed(folder: Path, name: str) -> bool:
    return name in os.listdir(folder)


def secrets(mount: Mount, of: Path) -> list[str]:
    folder = mount.home / "secrets"
    found = [file for file in folder.iterdir() if file.name.startswith(of.name)]
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in found)
    return sorted(file.suffix for file in found)


@pytest.fixture(params=["archive", "log"])
def carrier(request: pytest.FixtureRequest) -> str:
    """What the lobby is made of: everything holds over both."""
    return str(request.param)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Host]]:
    with network(3) as hosts:
        yield hosts


def test_the_two_ends_read_what_was_written_and_a_third_member_does_not(
    tmp_path: Path, three: list[Host], carrier: str
) -> None:
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(mounted(tmp_path / "host", *ALONE, host=three[0]))
        guest, third = (
            stack.enter_context(mounted(tmp_path / name, *asking(three[0]), host=at))
            for name, at in (("guest", three[1]), ("third", three[2]))
        )
        here = hosted(host, carrier=carrier)
        host_key = identity(host)
        there, elsewhere = (found_by(person, host_key) for person in (guest, third))
        text = browsers_offer(there)
        offer, answer = (f"{identity(guest)}.{kind}.bin" for kind in ("offer", "answer"))
        (tmp_path / "written").write_bytes(text)
        (there / offer).write_bytes(text)
        assert equal(there / offer, text)
        eventually(lambda: (there / answer).stat())
        subprocess.run(["cmp", tmp_path / "written", there / offer], check=True)
        subprocess.run(["cmp", tmp_path / "written", here / offer], check=True)
        assert equal(here / offer, text)
        answered = (there / answer).read_bytes()
        assert json.loads(answered)["type"] == "answer"
        assert equal(there / answer, answered)
        assert equal(here / answer, answered)
        for name in (offer, answer):
            eventually(partial(listed, elsewhere, name))
            seen = eventually((elsewhere / name).read_bytes)
            assert seen.startswith(SEALED)
            assert b"candidate" not in seen
            assert (elsewhere / name).stat().st_size == len(seen)

        # The host dies and goes on with the session: same seal key, another beacon. What was
        # offered meanwhile is sealed anew.
        seal = json.loads((here / "host.offer.bin").read_text())["seal"]
        kill(host)
        text = text.replace(b"browser", b"another")
        (there / offer).write_bytes(text)
        again = stack.enter_context(mounted(tmp_path / "host", *ALONE, host=three[0]))
        assert json.loads((here / "host.offer.bin").read_text())["seal"] == seal
        eventually(lambda: equal(here / offer, text) and (there / answer).read_bytes() != answered)
        assert equal(there / offer, text)
        assert not events(again, "offer-invalid")


def test_an_offer_written_before_the_beacon_is_here_waits_through_a_crash(
    tmp_path: Path, three: list[Host], carrier: str
) -> None:
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(mounted(tmp_path / "host", *ALONE, host=three[0]))
        here = hosted(host, carrier=carrier)
        text = browsers_offer_of(host)
        with mounted(tmp_path / "guest", *ALONE, host=three[1]) as lonely:
            there = lonely.path / "lobby" / here.name
            file = there / f"{identity(lonely)}.offer.bin"
            file.write_bytes(text)
            assert equal(file, text)
            assert "waiting for host" in eventually(
                lambda: found if "waiting" in (found := (there / "state").read_text()) else None
            )
            kill(lonely)
        guest = stack.enter_context(mounted(tmp_path / "guest", *asking(three[0]), host=three[1]))
        assert equal(file, text)
        eventually(lambda: equal(here / file.name, text))
        eventually(lambda: json.loads((there / f"{identity(guest)}.answer.bin").read_text()))
        assert equal(file, text)


def test_the_keys_are_deleted_with_the_lobby(
    tmp_path: Path, three: list[Host], carrier: str
) -> None:
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(mounted(tmp_path / "host", *ALONE, host=three[0]))
        guest = stack.enter_context(mounted(tmp_path / "guest", *asking(three[0]), host=three[1]))
        host.datfs("host", "Foobar", "--no-plain", *(["--log"] if carrier == "log" else []))
        here = eventually(lambda: lobby(host, session(host.path / "me")))
        there = found_by(guest, identity(host))
        eventually(lambda: (there / "host.offer.bin").read_text())
        (there / f"{identity(guest)}.offer.bin").write_bytes((there / "new-offer").read_bytes())
        eventually(lambda: (there / "state").read_text().startswith("joined"))
        assert secrets(host, here) == [".pem", ".seal", ".sealed-only"]
        assert secrets(guest, there) == [".seal"]
        (host.path / "me/session.json").unlink()
        eventually(lambda: not secrets(host, here))
        eventually(lambda: not secrets(guest, there))
