"""The union and its carrier, over real archives in memory."""

from __future__ import annotations

from datfs.crypto.keys import KeyPair
from datfs.hyperdrive.archive import Archive, Delete, Put
from datfs.hyperdrive.stat import DEFAULT_DIRECTORY_MODE, Stat
from datfs.lobby.archive_carrier import ArchiveCarrier
from datfs.lobby.names import BEACON_NAME, answer_name, offer_name, writer_name
from datfs.lobby.signal import Beacon, encode_offer
from datfs.lobby.writers import WriterRecord, WriterState
from tests.hyperdrive.memory_archives import fetch, memory_storage, replicate_metadata, write_file
from tests.lobby.sdp import description

A, B = b"a" * 32, b"b" * 32
SDP = description("abcd")


class Lobby:
    """A host's archive and two writers', as somebody sees them who has all of them."""

    def __init__(self, *, own: bytes | None = None) -> None:
        self.host, self.a, self.b = (
            Archive.create(memory_storage(), KeyPair.from_seed(bytes([number]) * 32))
            for number in range(3)
        )
        self.here = {self.a.key: self.a, self.b.key: self.b}
        self.carrier = ArchiveCarrier(
            self.host,
            open_writer=self.here.get,
            own=None if own is None else (own, self.a),
        )

    def admit(self, guest: bytes, writer: Archive, state: WriterState = WriterState.LIVE) -> None:
        write_file(self.host, f"/{writer_name(guest)}", WriterRecord(writer.key, state).encode())

    def show_beacon(self, beacon_id: bytes) -> None:
        beacon = Beacon(sdp=SDP, host=b"h" * 32, id=beacon_id)
        write_file(self.host, f"/{BEACON_NAME}", beacon.encode())

    def names(self, folder: str = "") -> set[str]:
        return {name for name, _ in self.carrier.union.list_directory(folder)}

    def read(self, path: str) -> bytes | None:
        found = self.carrier.union.locate(path)
        if found is None:
            return None
        return found.archive.read(found.entry.stat, 0, found.entry.stat.size)


def test_an_admitted_guest_s_names_appear_and_nobody_else_s() -> None:
    lobby = Lobby()
    lobby.show_beacon(b"1" * 16)
    write_file(lobby.a, f"/{offer_name(A)}", b"from a")
    assert lobby.names() == {BEACON_NAME}
    lobby.admit(A, lobby.a)
    assert lobby.names() == {BEACON_NAME, ".writers", offer_name(A)}
    assert lobby.read(offer_name(A)) == b"from a"
    assert lobby.carrier.writers() == {A: lobby.a.key}


def test_a_writer_cannot_forge_what_is_not_its_own() -> None:
    lobby = Lobby()
    lobby.show_beacon(b"1" * 16)
    lobby.admit(A, lobby.a)
    lobby.admit(B, lobby.b)
    write_file(lobby.b, f"/{offer_name(B)}", b"from b")
    for name in (
        BEACON_NAME,
        offer_name(B),
        answer_name(A),
        answer_name(B),
        "readme",
        writer_name(B),
        "state",
        A.hex(),
    ):
        write_file(lobby.a, f"/{name}", b"forged")
    assert lobby.names() == {BEACON_NAME, ".writers", offer_name(B)}
    assert lobby.read(offer_name(B)) == b"from b"
    assert lobby.read(answer_name(A)) is None
    assert lobby.read("readme") is None
    assert lobby.read("state") is None
    assert lobby.read(A.hex()) is None
    assert lobby.carrier.writers() == {A: lobby.a.key, B: lobby.b.key}


def test_not_even_the_host_writes_a_guest_s_names_or_the_daemon_s() -> None:
    lobby = Lobby()
    for name in (offer_name(A), f"{A.hex()}/notes", "new-offer", "peers/x"):
        write_file(lobby.host, f"/{name}", b"by the host")
    assert lobby.names() == set()
    assert lobby.read(offer_name(A)) is None
    assert lobby.read("peers/x") is None


def test_a_guest_has_a_directory_of_its_own() -> None:
    lobby = Lobby()
    lobby.admit(A, lobby.a)
    write_file(lobby.a, f"/{A.hex()}/notes/today", b"hello")
    lobby.a.commit([Put(f"/{B.hex()}", Stat(mode=DEFAULT_DIRECTORY_MODE))])
    assert lobby.names() == {".writers", A.hex()}
    assert lobby.names(A.hex()) == {"notes"}
    assert lobby.names(f"{A.hex()}/notes") == {"today"}
    assert lobby.read(f"{A.hex()}/notes/today") == b"hello"
    assert lobby.names(B.hex()) == set()


def test_whoever_is_struck_off_or_retired_is_not_heard() -> None:
    lobby = Lobby()
    write_file(lobby.a, f"/{offer_name(A)}", b"from a")
    for state in WriterState:
        lobby.admit(A, lobby.a, state)
        assert (offer_name(A) in lobby.names()) is (state is WriterState.LIVE)


def test_one_writer_serves_the_guest_that_had_it_first() -> None:
    lobby = Lobby()
    lobby.admit(B, lobby.a)
    lobby.admit(A, lobby.a)
    assert lobby.carrier.writers() == {B: lobby.a.key}


def test_a_broken_record_lets_nobody_in() -> None:
    lobby = Lobby()
    write_file(lobby.host, f"/{writer_name(A)}", b"nonsense")
    write_file(lobby.host, "/.writers/readme", b"nonsense")
    assert lobby.carrier.writers() == {}
    assert lobby.carrier.unread_records() == []


def test_a_guest_sees_its_own_files_before_it_is_let_in() -> None:
    lobby = Lobby(own=A)
    write_file(lobby.a, f"/{offer_name(A)}", b"mine")
    assert lobby.names() == {offer_name(A)}
    assert lobby.read(offer_name(A)) == b"mine"


def test_offers_for_an_older_beacon_are_hidden() -> None:
    lobby = Lobby()
    lobby.admit(A, lobby.a)
    lobby.admit(B, lobby.b)
    write_file(lobby.a, f"/{offer_name(A)}", encode_offer(SDP, b"1" * 16))
    write_file(lobby.b, f"/{offer_name(B)}", encode_offer(SDP))
    assert offer_name(A) in lobby.names(), "no beacon is here to tell"
    lobby.show_beacon(b"1" * 16)
    assert offer_name(A) in lobby.names()
    lobby.show_beacon(b"2" * 16)
    assert offer_name(A) not in lobby.names()
    assert lobby.read(offer_name(A)) is None
    assert offer_name(B) in lobby.names(), "it names no beacon"
    write_file(lobby.a, f"/{offer_name(A)}", encode_offer(SDP, b"2" * 16))
    assert offer_name(A) in lobby.names()


def test_what_is_not_here_is_listed_where_its_metadata_is_and_fetched_by_name() -> None:
    lobby = Lobby()
    lobby.show_beacon(b"2" * 16)
    lobby.admit(A, lobby.a)
    write_file(lobby.a, f"/{offer_name(A)}", encode_offer(SDP, b"1" * 16))
    host = Archive.create_remote(memory_storage(), lobby.host.key)
    writer = Archive.create_remote(memory_storage(), lobby.a.key)
    carrier = ArchiveCarrier(host, open_writer={writer.key: writer}.get)
    assert list(carrier.union.list_directory("")) == []
    replicate_metadata(lobby.host, host)
    assert carrier.unread_records() == [writer_name(A)]
    assert carrier.writers() == {}
    assert host.content is not None
    assert lobby.host.content is not None
    fetch(lobby.host.content, host.content, range(lobby.host.content.length))
    assert carrier.unread_records() == []
    assert carrier.union.locate(offer_name(A)) is None
    replicate_metadata(lobby.a, writer)
    assert carrier.union.locate(offer_name(A)) is not None, "its blocks are not here to tell"


def test_changes_of_archives_become_names_of_the_lobby() -> None:
    lobby = Lobby()
    lobby.admit(A, lobby.a)

    def changed(archive: Archive, path: str, data: bytes) -> list[str]:
        return lobby.carrier.changed_names(archive.key, write_file(archive, f"/{path}", data))

    assert changed(lobby.a, offer_name(A), b"x") == [offer_name(A)]
    assert changed(lobby.a, offer_name(B), b"x") == []
    assert changed(lobby.a, "readme", b"x") == []
    assert changed(lobby.b, offer_name(B), b"x") == [], "nobody let this writer in"
    assert changed(lobby.host, answer_name(A), b"x") == [answer_name(A)]
    assert changed(lobby.host, offer_name(A), b"x") == []
    assert changed(lobby.host, BEACON_NAME, b"x") == [BEACON_NAME, offer_name(A)]
    record = WriterRecord(lobby.b.key).encode()
    assert offer_name(B) in changed(lobby.host, writer_name(B), record)
    gone = lobby.host.commit([Delete(f"/{answer_name(A)}")])
    assert lobby.carrier.changed_names(lobby.host.key, gone) == [answer_name(A)]
