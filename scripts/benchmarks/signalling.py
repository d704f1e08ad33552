"""What people wait for: an offer that becomes a channel, a change that is seen elsewhere.

Two real mounts in two network namespaces; aiortc alone runs in the same namespaces, its
descriptions passed over pipes.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.child import Child
from benchmarks.figures import Figure
from tests.support.mounts import mounted
from tests.support.netns import network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.mounts import Mount
    from tests.support.netns import Host

OFFERS = 50
CHANGES = 200
AIORTC_END = "benchmarks.aiortc_end"
LIMIT_S = 30.0
POLL_S = 0.0002
PAUSE_S = 0.02
SETTLE_S = 0.3
"""Between two offers, for what the one before leaves behind."""


def offer(folder: Path, repeat: int | None) -> Iterator[Figure]:
    """From close(2) of the offer file to the open channel; beside aiortc alone."""
    count = repeat or OFFERS
    alone: list[float] = []
    ours: list[float] = []
    with (
        network() as (host_network, guest_network),
        _two_mounts(folder, host_network, guest_network) as (host, guest),
        _aiortc(host_network, guest_network) as aiortc_ms,
    ):
        _first_offer(host, guest, 0)
        aiortc_ms()  # what is loaded once is not what is measured
        for number in range(1, count + 1):
            alone.append(aiortc_ms())
            ours.append(_first_offer(host, guest, number))
    beside = Figure(what="offer: aiortc alone, createOffer to open", unit="ms", values=alone)
    yield beside
    yield Figure(
        what="offer: close(2) to connected",
        unit="ms",
        values=ours,
        beside=beside,
        note="each in a new session: with asking to be let in",
    )


def live(folder: Path, repeat: int | None) -> Iterator[Figure]:
    """From close(2) of a 1 KiB file to its content on another mount."""
    with (
        network() as (host_network, guest_network),
        _two_mounts(folder, host_network, guest_network) as (host, guest),
    ):
        source = host.path / "me" / "live.txt"
        seen = guest.path / "dat" / _identity(host) / "live.txt"
        took = []
        mtime_ns = 0
        for number in range((repeat or CHANGES) + 1):
            content = f"{number:08}".encode() * 128
            with source.open("wb", buffering=0) as target:
                target.write(content)
                began = time.perf_counter()
            mtime_ns = _until_read(seen, content, mtime_ns)
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE_S)
    yield Figure(
        what="live: close(2) to read elsewhere, 1 KiB",
        unit="ms",
        values=took[1:],
        percentile=99,
    )


def _until_read(file: Path, content: bytes, mtime_ns: int) -> int:
    """Waits until a file has this content, and gives its time.

    Looks at the time, which the kernel caches until it is told of a change, so that looking does
    not keep the server busy.
    """

    def has_come() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return file.stat().st_mtime_ns != mtime_ns and file.read_bytes() == content
        return False

    _until(has_come)
    return file.stat().st_mtime_ns


@contextlib.contextmanager
def _two_mounts(
    folder: Path, host_network: Host, guest_network: Host
) -> Iterator[tuple[Mount, Mount]]:
    quiet = ("--no-lan", "--no-dht")
    peer = f"{host_network.address}:3282"
    with (
        mounted(folder / "host", *quiet, host=host_network, limit_s=60) as host,
        mounted(folder / "guest", *quiet, "--peer", peer, host=guest_network, limit_s=60) as guest,
    ):
        yield host, guest


def _identity(mount: Mount) -> str:
    return (mount.path / ".datfs" / "identity").read_text().strip()


def _first_offer(host: Mount, guest: Mount, number: int) -> float:
    """Opens a session, has the guest make its first offer there; milliseconds until connected."""
    session = host.path / "me" / "session.json"
    session.write_text(json.dumps({"name": f"session {number}", "max_peers": 8}))
    found = re.search("[0-9a-f]{64}", json.loads(session.read_text())["url"])
    assert found is not None
    lobby = guest.path / "lobby" / found[0]
    _until(lambda: (lobby / "host.offer.bin").exists())
    time.sleep(SETTLE_S)
    log = guest.home / "events"
    passed = log.stat().st_size
    mine = lobby / f"{_identity(guest)}.offer.bin"
    with mine.open("wb", buffering=0) as target:  # as the shell does for `cat new-offer > mine`
        target.write((lobby / "new-offer").read_bytes())
        began = time.perf_counter()
    with log.open("rb") as events:
        events.seek(passed)
        read = bytearray()

        def connected() -> bool:
            read.extend(events.read())
            return b'"event":"connected","lobby":"' + found[0].encode() in read

        _until(connected)
    took = (time.perf_counter() - began) * 1000
    session.unlink()
    time.sleep(SETTLE_S)
    return took


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it was not so within {LIMIT_S:g} s")
        time.sleep(POLL_S)


@contextlib.contextmanager
def _aiortc(host: Host, guest: Host) -> Iterator[Callable[[], float]]:
    """Gives a function that connects two fresh ends and tells the milliseconds."""
    with contextlib.ExitStack() as ends:
        answerer, offerer = (
            ends.enter_context(Child([*where.prefix, sys.executable, "-m", AIORTC_END, what]))
            for where, what in ((host, "answer"), (guest, "offer"))
        )

        def connect() -> float:
            offerer.tell({"go": True})
            answerer.tell(offerer.hear())
            offerer.tell(answerer.hear())
            took: float = offerer.hear()["open_ms"]
            return took

        yield connect
