from __future__ import annotations

import pytest

from datfs.crypto.keys import KeyPair
from datfs.lobby.admission import (
    Admission,
    AdmissionLimits,
    Admitted,
    AlreadyAdmitted,
    NotAdmitted,
    Verdict,
    WriterUsage,
)
from datfs.lobby.join import make_join
from datfs.lobby.policy import BANNED, FRIENDS_ONLY, FULL, NOT_LISTED, Policy, PolicyKind
from datfs.lobby.writers import WriterRecord, WriterState

LOBBY = b"l" * 32
RECEIVER = b"r" * 32


def person(number: int) -> KeyPair:
    return KeyPair.from_seed(number.to_bytes(32, "big"))


def writer_of(number: int) -> bytes:
    return b"writer" + number.to_bytes(26, "big")


class Door:
    """An admission and how people ask for it."""

    def __init__(
        self, records: dict[bytes, WriterRecord] | None = None, *, max_peers: int = 8
    ) -> None:
        self.admission = Admission(
            lobby_key=LOBBY,
            receiver_id=RECEIVER,
            max_peers=max_peers,
            records=records or {},
            limits=AdmissionLimits(),
        )

    def ask(
        self,
        number: int,
        *,
        writer: bytes | None = None,
        connection_id: str | None = None,
        address: str | None = None,
        busy: frozenset[bytes] = frozenset(),
        now: float = 0,
    ) -> Verdict:
        join = make_join(
            person(number),
            writer=writer or writer_of(number),
            lobby_key=LOBBY,
            receiver_id=RECEIVER,
        )
        return self.admission.consider(
            join.encode(),
            connection_id=connection_id or f"c{number}",
            address=address or f"10.0.0.{number}",
            busy=busy,
            now=now,
        )


def told(verdict: Verdict) -> str | None:
    assert isinstance(verdict, NotAdmitted)
    return verdict.told


def refusal(verdict: Verdict) -> str:
    assert isinstance(verdict, NotAdmitted)
    return verdict.reason


def test_who_asks_is_let_in_once() -> None:
    door = Door()
    guest = person(1).public_key
    assert door.ask(1) == Admitted(guest=guest, record=WriterRecord(writer_of(1)))
    assert door.ask(1) == AlreadyAdmitted(guest)
    assert door.admission.live == {guest: writer_of(1)}


def test_who_comes_back_after_a_restart_is_known() -> None:
    records = {person(1).public_key: WriterRecord(writer_of(1))}
    assert isinstance(Door(records).ask(1), AlreadyAdmitted)


def test_garbage_and_a_join_for_another_receiver_are_refused() -> None:
    admission = Door().admission
    join = make_join(person(1), writer=writer_of(1), lobby_key=LOBBY, receiver_id=LOBBY)
    for payload, reason in ((b"dfj1\x0a\x20", "cut"), (join.encode(), "signature")):
        verdict = admission.consider(
            payload, connection_id="c", address="a", busy=frozenset(), now=0
        )
        assert isinstance(verdict, NotAdmitted)
        assert verdict.guest is None
        assert reason in verdict.reason


def test_one_writer_serves_one_guest_and_one_guest_has_one_writer() -> None:
    door = Door()
    door.ask(1)
    assert "serves another identity" in refusal(door.ask(2, writer=writer_of(1)))
    assert "has another writer" in refusal(door.ask(1, writer=writer_of(9)))


def test_a_connection_brings_one_identity() -> None:
    door = Door()
    door.ask(1, connection_id="c")
    assert "another identity" in refusal(door.ask(2, connection_id="c"))
    door.admission.connection_closed("c")
    assert isinstance(door.ask(2, connection_id="c"), Admitted)


def test_a_replayed_join_with_a_broken_signature_binds_no_connection() -> None:
    door = Door()
    broken = make_join(person(1), writer=writer_of(1), lobby_key=LOBBY, receiver_id=LOBBY)
    door.admission.consider(
        broken.encode(), connection_id="c2", address="a", busy=frozenset(), now=0
    )
    assert isinstance(door.ask(2, connection_id="c2"), Admitted)


def test_a_writer_that_was_struck_off_is_never_let_in_again() -> None:
    door = Door()
    door.ask(1)
    guest = person(1).public_key
    record = door.admission.strike_off(guest)
    assert record == WriterRecord(writer_of(1), WriterState.STRUCK)
    assert "struck off" in refusal(door.ask(1, now=1000))
    assert "has another writer" in refusal(door.ask(1, writer=writer_of(9), now=1000))
    again = Door({guest: record})
    assert "struck off" in refusal(again.ask(1))
    assert "another identity" in refusal(again.ask(2, writer=writer_of(1)))


def test_six_a_minute_from_one_address() -> None:
    door = Door()
    for number in range(6):
        assert isinstance(door.ask(number, address="a", now=number), Admitted)
    assert "this address" in refusal(door.ask(6, address="a", now=59.9))
    assert isinstance(door.ask(7, address="b", now=59.9), Admitted)
    assert isinstance(door.ask(6, address="a", now=60), Admitted)
    assert isinstance(door.ask(0, address="a", now=60), AlreadyAdmitted), "that is no admission"


def test_sixty_a_minute_from_all() -> None:
    door = Door(max_peers=100)
    for number in range(60):
        assert isinstance(door.ask(number), Admitted)
    assert "too many guests" in refusal(door.ask(60, now=59))
    assert isinstance(door.ask(60, now=60), Admitted)


def test_three_writers_for_each_peer_and_then_the_longest_idle_one_makes_room() -> None:
    door = Door(max_peers=1)
    for number in range(3):
        door.ask(number)
    everybody = frozenset(person(number).public_key for number in range(3))
    assert refusal(door.ask(3, busy=everybody)) == "the lobby is full"
    verdict = door.ask(3, busy=everybody - {person(1).public_key})
    assert isinstance(verdict, Admitted)
    retired = WriterRecord(writer_of(1), WriterState.RETIRED)
    assert verdict.retired == (person(1).public_key, retired)
    assert len(door.admission.live) == 3
    back = door.ask(1)
    assert isinstance(back, Admitted)
    assert back.retired is not None
    assert back.retired[0] == person(0).public_key


@pytest.mark.parametrize(
    ("byte_length", "entries", "over"),
    [(1024 * 1024, 1000, False), (1024 * 1024 + 1, 0, True), (0, 1001, True)],
)
def test_a_writer_s_quota(byte_length: int, entries: int, over: bool) -> None:
    usage = WriterUsage(byte_length=byte_length, entries=entries)
    assert Door().admission.is_over_quota(usage) is over


def test_the_policy_decides_and_says_why() -> None:
    one, two, three = (person(number).public_key for number in (1, 2, 3))
    door = Door()
    door.admission.policy = Policy(
        kind=PolicyKind.FRIENDS,
        friends=frozenset([one, three]),
        listed=frozenset([two]),
        banned=frozenset([three]),
    )
    assert isinstance(door.ask(1), Admitted)
    assert isinstance(door.ask(2), Admitted)
    assert told(door.ask(3)) == BANNED
    assert told(door.ask(4)) == FRIENDS_ONLY
    door.admission.policy = Policy(kind=PolicyKind.LISTED, listed=frozenset([two]))
    assert told(door.ask(1)) == NOT_LISTED
    assert door.admission.unwanted == {one: NOT_LISTED}
    door.admission.retire(one)
    assert door.admission.unwanted == {}


def test_a_forged_join_says_nothing_about_the_policy() -> None:
    door = Door()
    door.admission.policy = Policy(banned=frozenset([person(1).public_key]))
    join = make_join(person(1), writer=writer_of(1), lobby_key=b"x" * 32, receiver_id=RECEIVER)
    verdict = door.admission.consider(
        join.encode(), connection_id="c", address="10.0.0.1", busy=(), now=0
    )
    assert (told(verdict), verdict) == (
        None,
        NotAdmitted(guest=None, reason="the signature is not that of the identity"),
    )


def test_no_more_refusals_are_written_than_guests_could_come_in() -> None:
    door = Door()
    door.admission.policy = Policy(kind=PolicyKind.LISTED)
    answers = [told(door.ask(number, address="10.0.0.1")) for number in range(1, 9)]
    assert answers == [NOT_LISTED] * 6 + [None] * 2
    assert told(door.ask(9, address="10.0.0.1", now=61)) == NOT_LISTED


def test_a_full_lobby_says_so() -> None:
    door = Door(max_peers=1)
    for number in (1, 2, 3):
        door.ask(number)
    everybody = frozenset(person(number).public_key for number in (1, 2, 3))
    assert told(door.ask(4, busy=everybody)) == FULL
