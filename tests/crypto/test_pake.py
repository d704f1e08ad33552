from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from datfs.crypto.pake import (
    ENTROPY_SIZE,
    PAKE_TABLES,
    PROOF_SIZE,
    REFUSAL,
    SHARE_SIZE,
    PakeInput,
    PakeSide,
    PakeState,
    PasswordExchange,
)
from datfs.errors import CryptoError

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = b"correct horse"
A, B = b"guest" * 20, b"host" * 20
VECTOR = [
    "410c4ce9413f28afbc9d699590f629be4ff9178c1599a7830628967ea1b480c54b",
    "4214bbfedd966d8096e0b7167f393f81bd7b8ce54805d6bbfe5d41f510523b6104",
    "61b59eb24f0b8747b6f3366a71a897c3f24732cd7546a3b2bf406d23aaf16b1680",
    "6266993438e2a8085a85508556be00b4cf5897964b886daafd048114249150abe0",
]
OVER = {PakeState.CONFIRMED, PakeState.REFUSED, PakeState.BROKEN}


def exchange(
    side: PakeSide,
    password: bytes = PASSWORD,
    *,
    a: bytes = A,
    b: bytes = B,
    entropy: bytes | None = None,
) -> PasswordExchange:
    drawn = entropy or (b"\1" if side is PakeSide.A else b"\2") * ENTROPY_SIZE
    return PasswordExchange(side, password, a=a, b=b, entropy=drawn)


def run(a: PasswordExchange, b: PasswordExchange) -> list[bytes]:
    """Carry messages to and fro until nobody has more to say."""
    messages = [a.begin()]
    for receiver in itertools.cycle([b, a]):
        reply = receiver.receive(messages[-1])
        if not reply:
            return messages
        messages.append(reply)
    raise AssertionError


def test_who_knows_the_password_is_confirmed_on_both_sides() -> None:
    a, b = exchange(PakeSide.A), exchange(PakeSide.B)
    messages = run(a, b)
    assert (a.state, b.state) == (PakeState.CONFIRMED, PakeState.CONFIRMED)
    assert [message[:1] for message in messages] == [b"A", b"B", b"a", b"b"]
    assert [len(message) for message in messages] == [SHARE_SIZE] * 2 + [PROOF_SIZE] * 2


def test_messages_as_they_were_when_the_protocol_was_fixed() -> None:
    """Our own vector: entropy 01..., 02..., the password and names above."""
    messages = run(exchange(PakeSide.A), exchange(PakeSide.B))
    assert [message.hex() for message in messages] == VECTOR


def test_a_wrong_password_is_refused_and_the_host_proves_nothing() -> None:
    a, b = exchange(PakeSide.A, b"wrong"), exchange(PakeSide.B)
    messages = run(a, b)
    assert (a.state, b.state) == (PakeState.REFUSED, PakeState.REFUSED)
    assert messages[-1] == REFUSAL
    assert not any(message[:1] == b"b" for message in messages)


@pytest.mark.parametrize(
    "names",
    [
        {"a": A[:-1] + b"!"},
        {"b": B[:-1] + b"!"},
        {"a": B, "b": A},
        {"a": A + B[:1], "b": B[1:]},
    ],
)
def test_other_names_are_another_exchange(names: dict[str, bytes]) -> None:
    a, b = exchange(PakeSide.A), exchange(PakeSide.B, **names)
    run(a, b)
    assert (a.state, b.state) == (PakeState.REFUSED, PakeState.REFUSED)


def test_what_a_guest_once_said_lets_nobody_else_in() -> None:
    heard = run(exchange(PakeSide.A), exchange(PakeSide.B))
    host = exchange(PakeSide.B, entropy=b"\3" * ENTROPY_SIZE)
    host.receive(heard[0])
    assert host.receive(heard[2]) == REFUSAL
    assert host.state is PakeState.REFUSED


def test_what_a_host_once_said_fools_no_guest() -> None:
    heard = run(exchange(PakeSide.A), exchange(PakeSide.B))
    guest = exchange(PakeSide.A, entropy=b"\3" * ENTROPY_SIZE)
    guest.begin()
    guest.receive(heard[1])
    assert guest.receive(heard[3]) == b""
    assert guest.state is PakeState.REFUSED


@pytest.mark.parametrize("relabel", [False, True])
def test_a_share_that_is_sent_back_breaks_the_exchange(relabel: bool) -> None:
    guest = exchange(PakeSide.A)
    share = guest.begin()
    guest.receive(b"B" + share[1:] if relabel else share)
    assert guest.state is PakeState.BROKEN


@pytest.mark.parametrize("relabel", [False, True])
def test_a_proof_that_is_sent_back_proves_nothing(relabel: bool) -> None:
    guest, host = exchange(PakeSide.A), exchange(PakeSide.B)
    proof = guest.receive(host.receive(guest.begin()))
    guest.receive(b"b" + proof[1:] if relabel else proof)
    assert guest.state in {PakeState.REFUSED, PakeState.BROKEN}


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"x",
        b"B",
        b"B" + bytes(31),
        b"B" + bytes(33),
        b"B" + bytes(32),  # of order 4
        b"B\1" + bytes(31),  # the neutral element
        b"B\2" + bytes(31),  # not on the curve
        b"A" + bytes(32),
        b"b" + bytes(32),
        "B" + "0" * 32,
    ],
)
def test_what_is_no_share_breaks_the_exchange(message: str | bytes) -> None:
    guest = exchange(PakeSide.A)
    guest.begin()
    assert guest.receive(message) == b""
    assert guest.state is PakeState.BROKEN
    with pytest.raises(CryptoError):
        guest.receive(message)


def reach(side: PakeSide, state: PakeState) -> tuple[PasswordExchange, PasswordExchange, bytes]:
    """Bring a side into a state; return it, the other side, and the message that follows."""
    a, b = exchange(PakeSide.A), exchange(PakeSide.B)
    ours, other = (a, b) if side is PakeSide.A else (b, a)
    if state is PakeState.READY:
        return ours, other, b"" if side is PakeSide.A else a.begin()
    share = b.receive(a.begin())
    if side is PakeSide.A and state is PakeState.SHARED:
        return ours, other, share
    proof = a.receive(share)
    if side is PakeSide.A:
        return ours, other, b.receive(proof)
    return ours, other, proof


def feed(side: PakeSide, happened: PakeInput, ours: PasswordExchange, following: bytes) -> None:
    kind = side.other.lower().encode()
    inputs: dict[PakeInput, Callable[[], object]] = {
        PakeInput.BEGIN: ours.begin,
        PakeInput.SHARE: lambda: ours.receive(exchange_share(side.other)),
        PakeInput.RIGHT_PROOF: lambda: ours.receive(following),
        PakeInput.WRONG_PROOF: lambda: ours.receive(kind + bytes(32)),
        PakeInput.REFUSAL: lambda: ours.receive(REFUSAL),
        PakeInput.OTHER: lambda: ours.receive(b"hello"),
        PakeInput.GONE: ours.gone,
    }
    inputs[happened]()


def exchange_share(side: PakeSide) -> bytes:
    if side is PakeSide.A:
        return exchange(side).begin()
    return exchange(side).receive(exchange(PakeSide.A).begin())


MESSAGES = {PakeInput.SHARE, PakeInput.RIGHT_PROOF, PakeInput.WRONG_PROOF, PakeInput.REFUSAL}


@pytest.mark.parametrize(
    ("side", "state", "happened"),
    [
        (side, state, happened)
        for side, table in PAKE_TABLES.items()
        for state in table
        for happened in PakeInput
    ],
)
def test_every_state_and_input(side: PakeSide, state: PakeState, happened: PakeInput) -> None:
    ours, _, following = reach(side, state)
    assert ours.state is state
    row = PAKE_TABLES[side][state]
    if happened is PakeInput.RIGHT_PROOF and happened not in row:
        following = following or b"b" + bytes(32)
        happened = PakeInput.WRONG_PROOF  # there is no right one yet
    if happened in row:
        feed(side, happened, ours, following)
        assert ours.state is row[happened][0]
    elif happened in MESSAGES:
        feed(side, happened, ours, following)
        assert ours.state is PakeState.BROKEN, "a message out of its turn"
    else:
        with pytest.raises(CryptoError, match=happened):
            feed(side, happened, ours, following)
        assert ours.state is state


@pytest.mark.parametrize("happened", list(PakeInput))
@pytest.mark.parametrize("side", list(PakeSide))
def test_nothing_follows_the_end(side: PakeSide, happened: PakeInput) -> None:
    ours, _, following = reach(side, PakeState.SHARED)
    ours.gone()
    assert ours.is_over
    with pytest.raises(CryptoError):
        feed(side, happened, ours, following)
    assert ours.state is PakeState.BROKEN


def test_the_tables_lead_to_an_end() -> None:
    for table in PAKE_TABLES.values():
        assert not OVER & table.keys()
        reached = {following for row in table.values() for following, _ in row.values()}
        assert reached - OVER == table.keys() - {PakeState.READY}
        for row in table.values():
            assert row[PakeInput.GONE][0] is row[PakeInput.OTHER][0] is PakeState.BROKEN


def test_entropy_of_another_size_is_refused() -> None:
    with pytest.raises(CryptoError, match="64 random bytes"):
        exchange(PakeSide.A, entropy=b"short")
