"""Logs read together: the names they make, their one order, and logs of people who lie."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.lobby.log_carrier import LogCarrier
from datfs.lobby.log_order import causal_order
from datfs.lobby.log_reading import GUEST_LIMITS
from datfs.lobby.log_records import RECORD_LIMIT_BYTES, Position, Record, RecordKind
from datfs.lobby.names import BEACON_NAME, answer_name, offer_name, writer_name
from datfs.lobby.writers import WriterRecord, WriterState
from tests.lobby.memory_log import MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datfs.lobby.log_reading import Entry

HOST = b"\x55" * 32
GUESTS = {b"A" * 32: b"\x11" * 32, b"B" * 32: b"\xee" * 32}
(A, LOG_A), (B, LOG_B) = GUESTS.items()


class Lobby:
    """A host's log and two guests', as somebody sees them who has all of them."""

    def __init__(self, *, own: bytes | None = None) -> None:
        self.host, self.a, self.b = (MemoryLog(key) for key in (HOST, LOG_A, LOG_B))
        logs = {LOG_A: self.a, LOG_B: self.b}
        self.carrier = LogCarrier(
            self.host, open_log=logs.get, own=None if own is None else (own, self.a)
        )

    def admit(
        self, guest: bytes, state: WriterState = WriterState.LIVE, log: bytes | None = None
    ) -> int:
        line = WriterRecord(log or GUESTS[guest], state).encode()
        return self.host.append(Record(kind=RecordKind.WRITER, guest=guest, signal=line))

    def beacon(self, text: bytes = b"beacon") -> int:
        return self.host.append(Record(kind=RecordKind.HOST, signal=text))

    def names(self) -> set[str]:
        self.carrier.update()
        return set(self.carrier.names(""))

    def read(self, name: str) -> bytes | None:
        self.carrier.update()
        entry = self.carrier.find(name)
        return None if entry is None else entry.record.signal


def offer(
    text: bytes = b"offer", cause: int | None = None, *, guest: bytes = A, log: bytes = HOST
) -> Record:
    position = None if cause is None else Position(log, cause)
    return Record(kind=RecordKind.OFFER, guest=guest, signal=text, cause=position)


def answer(cause: int, *, guest: bytes = A, text: bytes = b"answer") -> Record:
    position = Position(GUESTS[guest], cause)
    return Record(kind=RecordKind.ANSWER, guest=guest, signal=text, cause=position)


def gone(log: bytes, sequence: int, guest: bytes = A) -> Record:
    return Record(kind=RecordKind.GONE, guest=guest, cause=Position(log, sequence))


def test_the_names_are_those_of_the_other_carrier() -> None:
    lobby = Lobby()
    beacon = lobby.beacon()
    lobby.a.append(offer(cause=beacon))
    assert lobby.names() == {BEACON_NAME}, "nobody has let this guest in"
    lobby.admit(A)
    lobby.host.append(answer(1))
    assert lobby.names() == {BEACON_NAME, ".writers", offer_name(A), answer_name(A)}
    assert lobby.carrier.names(".writers") == [writer_name(A)]
    assert lobby.read(BEACON_NAME) == b"beacon"
    assert lobby.read(offer_name(A)) == b"offer"
    assert lobby.read(answer_name(A)) == b"answer"
    assert lobby.read(writer_name(A)) == WriterRecord(LOG_A).encode()
    assert lobby.carrier.writers() == {A: LOG_A}


def test_what_is_gone_is_gone_and_its_block_can_be_cleared() -> None:
    lobby = Lobby()
    lobby.admit(A)
    beacon = lobby.beacon()
    first, second = (lobby.a.append(offer(b"%d" % number)) for number in range(2))
    answered = lobby.host.append(answer(second))
    assert lobby.read(offer_name(A)) == b"1"
    assert lobby.carrier.to_clear() == [(LOG_A, first)]
    lobby.a.append(gone(LOG_A, second))
    lobby.host.append(gone(HOST, answered))
    lobby.host.append(gone(HOST, beacon, guest=b""))
    assert lobby.names() == {".writers"}
    assert set(lobby.carrier.to_clear()) == {(LOG_A, second), (HOST, answered), (HOST, beacon)}
    assert lobby.carrier.to_clear() == []
    lobby.a.append(offer(b"again"))
    assert lobby.read(offer_name(A)) == b"again"


def test_an_offer_for_an_older_beacon_is_hidden_and_can_be_taken_back() -> None:
    lobby = Lobby(own=A)
    lobby.a.append(offer(cause=lobby.beacon()))
    assert lobby.read(offer_name(A)) == b"offer"
    lobby.beacon(b"another")
    assert lobby.names() == {BEACON_NAME}
    latest = lobby.carrier.latest(offer_name(A))
    assert latest is not None
    assert latest.record.signal == b"offer"
    assert lobby.carrier.removal_of(offer_name(A)) == gone(LOG_A, 1)
    lobby.a.append(gone(LOG_A, 1))
    lobby.carrier.update()
    assert lobby.carrier.latest(offer_name(A)) is None
    assert (LOG_A, 1) in lobby.carrier.to_clear()


def test_a_hole_shows_nothing_older_than_what_is_gone() -> None:
    lobby = Lobby()
    lobby.admit(A)
    lobby.a.append(offer(b"old"))
    cleared = lobby.a.append(offer(b"new"))
    lobby.a.append(gone(LOG_A, cleared))
    del lobby.a.blocks[cleared]
    assert lobby.read(offer_name(A)) is None
    lobby.host.append(answer(cleared))
    assert lobby.read(answer_name(A)) == b"answer", "its cause was there"


def test_changed_names_are_told_once() -> None:
    lobby = Lobby()
    lobby.a.append(offer())
    assert lobby.carrier.update() == []
    lobby.admit(A)
    assert set(lobby.carrier.update()) == {writer_name(A), offer_name(A)}
    assert lobby.carrier.update() == []
    lobby.admit(A, WriterState.RETIRED)
    assert set(lobby.carrier.update()) == {writer_name(A), offer_name(A)}
    assert lobby.names() == {".writers"}
    lobby.admit(A)
    lobby.beacon()
    assert offer_name(A) in lobby.names()


def test_offers_for_an_older_beacon_are_hidden() -> None:
    lobby = Lobby()
    lobby.admit(A)
    lobby.admit(B)
    first = lobby.beacon()
    lobby.a.append(offer(cause=first))
    lobby.b.append(offer(guest=B))
    assert {offer_name(A), offer_name(B)} < lobby.names()
    second = lobby.beacon()
    assert offer_name(A) in lobby.carrier.update()
    assert offer_name(A) not in lobby.names()
    assert offer_name(B) in lobby.names(), "it names no beacon"
    lobby.a.append(offer(cause=second))
    assert offer_name(A) in lobby.names()


def test_a_guest_sees_its_own_log_before_it_is_let_in() -> None:
    lobby = Lobby(own=A)
    lobby.a.append(offer())
    assert lobby.names() == {offer_name(A)}


def test_one_log_serves_the_guest_that_had_it_first() -> None:
    lobby = Lobby()
    lobby.admit(B, log=LOG_A)
    lobby.admit(A)
    lobby.a.append(offer())
    lobby.a.append(offer(guest=B))
    assert lobby.names() == {".writers", offer_name(B)}
    assert lobby.carrier.writers() == {B: LOG_A}


@pytest.mark.parametrize(
    "forged",
    [
        offer(guest=B),
        answer(1),
        Record(kind=RecordKind.HOST, signal=b"forged"),
        Record(kind=RecordKind.WRITER, guest=A, signal=WriterRecord(LOG_B).encode()),
        offer(guest=b""),
        offer(cause=1, log=LOG_B),
        offer(cause=1, log=b"f" * 32),
        offer(cause=99),
        offer(cause=1, log=LOG_A),
        gone(LOG_A, 99),
        gone(LOG_B, 1),
        Record(kind=RecordKind.GONE, guest=A),
        b"",
        b"\xff" * 40,
        offer(b"x" * RECORD_LIMIT_BYTES).encode(),
    ],
)
def test_a_guest_s_false_entries_are_ignored_one_by_one(forged: Record | bytes) -> None:
    lobby = Lobby()
    lobby.beacon()
    lobby.admit(A)
    lobby.admit(B)
    lobby.b.append(offer(b"from b", guest=B))
    lobby.a.append(offer(b"true"))
    lobby.a.append(forged)
    assert lobby.names() == {BEACON_NAME, ".writers", offer_name(A), offer_name(B)}
    assert lobby.read(BEACON_NAME) == b"beacon"
    assert lobby.read(offer_name(A)) == b"true"
    assert lobby.read(offer_name(B)) == b"from b"
    lobby.a.append(offer(b"later"))
    assert lobby.read(offer_name(A)) == b"later"
    assert len(lobby.carrier.entries()) == 6


@pytest.mark.parametrize(
    "forged",
    [
        offer(),
        answer(99),
        answer(1, guest=B),
        Record(kind=RecordKind.ANSWER, signal=b"for nobody"),
        Record(kind=RecordKind.ANSWER, guest=A, cause=Position(LOG_B, 1)),
        Record(kind=RecordKind.WRITER, guest=B, signal=b"nonsense"),
        Record(kind=RecordKind.HOST, guest=A, signal=b"x"),
        Record(kind=RecordKind.HOST, cause=Position(LOG_A, 1), signal=b"x"),
    ],
)
def test_so_are_a_host_s(forged: Record) -> None:
    lobby = Lobby()
    lobby.beacon()
    lobby.admit(A)
    lobby.a.append(offer(b"true"))
    lobby.host.append(forged)
    assert lobby.names() == {BEACON_NAME, ".writers", offer_name(A)}
    assert lobby.carrier.names(".writers") == [writer_name(A)]
    assert lobby.read(BEACON_NAME) == b"beacon"


def test_a_reference_into_the_future_counts_when_the_future_is_here() -> None:
    lobby = Lobby()
    lobby.admit(A)
    lobby.a.append(offer(cause=2))
    lobby.host.append(answer(2))
    assert lobby.names() == {".writers"}
    lobby.a.append(offer(b"second"))
    assert lobby.names() == {".writers", answer_name(A), offer_name(A)}


def test_what_would_follow_from_itself_never_counts() -> None:
    lobby = Lobby()
    lobby.admit(A)
    lobby.a.append(offer(b"loop", cause=2))
    lobby.host.append(answer(1))
    lobby.beacon()
    assert lobby.names() == {".writers", answer_name(A), BEACON_NAME}
    assert len(lobby.carrier.entries()) == 3


def test_a_log_that_is_too_long_is_read_no_further() -> None:
    lobby = Lobby()
    lobby.admit(A)
    lobby.a.length = 2**50
    assert lobby.names() == {".writers"}
    lobby.a.put(1, offer(b"first").encode())
    lobby.a.put(GUEST_LIMITS.entries, offer(b"behind the end").encode())
    assert lobby.read(offer_name(A)) == b"first"
    many = Lobby()
    many.admit(B)
    for number in range(20):
        many.b.append(offer(b"%02d" % number * 30_000, guest=B))
    signal = many.read(offer_name(B))
    assert signal is not None
    assert signal[:2] == b"16", "a megabyte and no more is looked at"


def test_a_host_that_names_its_own_log_for_a_guest_gains_nothing() -> None:
    lobby = Lobby()
    lobby.admit(A, log=HOST)
    lobby.beacon()
    assert lobby.names() == {".writers", BEACON_NAME}


# --- the order -----------------------------------------------------------------------------------


def test_ties_go_by_the_key_of_the_log() -> None:
    lobby = Lobby()
    lobby.admit(A)
    lobby.admit(B)
    lobby.b.append(offer(guest=B))
    lobby.a.append(offer(cause=2))
    lobby.carrier.update()
    order = [entry.position for entry in lobby.carrier.entries()]
    assert order == [(HOST, 1), (HOST, 2), (LOG_A, 1), (LOG_B, 1)]


def test_circles_are_left_out_of_an_order() -> None:
    one, two = b"1" * 32, b"2" * 32
    logs: dict[bytes, Sequence[tuple[int, Position | None]]] = {
        one: [(1, None), (2, Position(two, 1)), (3, None)],
        two: [(1, Position(one, 2))],
    }
    assert causal_order(logs) == [(one, 1)]


KINDS = st.sampled_from(["beacon", "offer", "answer", "gone", "answer gone", "wild", "admit"])
STORY = st.lists(st.tuples(KINDS, st.booleans(), st.integers(1, 12)), max_size=40)


def tell(story: Sequence[tuple[str, bool, int]]) -> dict[bytes, MemoryLog]:
    """Let host and guests write; `wild` entries refer to whatever they like."""
    logs = {key: MemoryLog(key) for key in (HOST, LOG_A, LOG_B)}
    for guest, key in GUESTS.items():
        line = WriterRecord(key).encode()
        logs[HOST].append(Record(kind=RecordKind.WRITER, guest=guest, signal=line))
    for kind, first, number in story:
        guest = A if first else B
        log = logs[GUESTS[guest]]
        match kind:
            case "beacon":
                logs[HOST].append(Record(kind=RecordKind.HOST, signal=b"b"))
            case "offer":
                log.append(offer(guest=guest, cause=logs[HOST].length - 1))
            case "answer":
                logs[HOST].append(answer(max(1, log.length - 1), guest=guest))
            case "gone":
                log.append(gone(log.key, number, guest))
            case "answer gone":
                logs[HOST].append(gone(HOST, number, guest))
            case "wild":
                log.append(offer(guest=guest, cause=number))
                logs[HOST].append(answer(number, guest=guest))
            case "admit":
                line = WriterRecord(GUESTS[guest]).encode()
                logs[HOST].append(Record(kind=RecordKind.WRITER, guest=guest, signal=line))
    return logs


def receive(logs: dict[bytes, MemoryLog], seed: int) -> LogCarrier:
    """Read the logs as somebody to whom their blocks come in some order, a few at a time."""
    here = {key: MemoryLog(key) for key in logs}
    carrier = LogCarrier(here[HOST], open_log=lambda key: here[key] if key != HOST else None)
    blocks = [(key, index) for key, log in logs.items() for index in log.blocks if index]
    chance = random.Random(seed)
    chance.shuffle(blocks)
    for key, index in blocks:
        here[key].put(index, logs[key].get(index))
        if chance.random() < 0.5:
            carrier.update()
    carrier.update()
    return carrier


def follows(entries: list[Entry]) -> bool:
    """Tell whether each entry comes after its log's earlier ones and after its cause."""
    place = {entry.position: index for index, entry in enumerate(entries)}
    for (log, sequence), record in entries:
        here = place[Position(log, sequence)]
        for other in place:
            if other.log == log and other.sequence < sequence and place[other] > here:
                return False
            cause = record.cause
            reached = cause is not None and other.log == cause.log != log
            if reached and cause and other.sequence <= cause.sequence and place[other] > here:
                return False
    return True


@given(STORY, st.lists(st.integers(), min_size=2, max_size=4, unique=True))
def test_every_member_sees_the_same_however_it_came(
    story: list[tuple[str, bool, int]], seeds: list[int]
) -> None:
    logs = tell(story)
    members = [receive(logs, seed) for seed in seeds]
    for one, other in itertools.pairwise(members):
        assert one.entries() == other.entries()
        for folder in ("", ".writers"):
            assert set(one.names(folder)) == set(other.names(folder))
            for name in one.names(folder):
                assert one.find(name) == other.find(name)
    assert follows(members[0].entries())


@given(STORY, st.integers())
def test_no_entry_that_counts_is_left_out_of_the_order(
    story: list[tuple[str, bool, int]], seed: int
) -> None:
    carrier = receive(tell(story), seed)
    shown = {entry.position for entry in carrier.entries()}
    for name in (*carrier.names(""), *carrier.names(".writers")):
        entry = carrier.find(name)
        assert name == ".writers" or (entry is not None and entry.position in shown)


@given(st.lists(st.tuples(st.sampled_from([HOST, LOG_A]), st.binary(max_size=120)), max_size=30))
def test_garbage_does_no_harm(blocks: list[tuple[bytes, bytes]]) -> None:
    lobby = Lobby()
    lobby.admit(A)
    for log, block in blocks:
        (lobby.host if log == HOST else lobby.a).append(block)
    lobby.carrier.update()
    lobby.carrier.entries()
    lobby.a.append(offer(b"at last"))
    assert lobby.read(offer_name(A)) == b"at last"
