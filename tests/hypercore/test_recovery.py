from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datfs.crypto.keys import KeyPair
from datfs.errors import DatfsError, HypercoreError, ReadOnlyFeed, StorageDamaged
from datfs.hypercore.feed import Feed
from datfs.hypercore.merkle import Frontier
from datfs.hypercore.sleep import node_place, page_place, signature_place
from datfs.hypercore.storage import DirectoryStorage, FileName, MemoryFile, MemoryStorage
from tests import vectors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = KeyPair.from_seed(b"\x07" * 32)
BLOCKS = [vectors.filler(f"block{i}", 3 + 7 * (i % 4)) for i in range(40)]
FILES: tuple[FileName, ...] = ("key", "secret_key", "tree", "signatures", "bitfield", "data")


class Recorder(MemoryStorage):
    """A storage that notes every write, so that a crash after any of them can be staged."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[FileName, int, bytes]] = []

    def open(self, name: FileName) -> MemoryFile:
        if name not in self.files:
            self.files[name] = RecordedFile(name, self.writes)
        return self.files[name]


class RecordedFile(MemoryFile):
    def __init__(self, name: FileName, writes: list[tuple[FileName, int, bytes]]) -> None:
        super().__init__()
        self.name = name
        self.writes = writes

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.writes.append((self.name, offset, bytes(data)))
        super().write(offset, data)


def contents(storage: MemoryStorage) -> dict[FileName, bytes]:
    return {name: bytes(file.content) for name, file in storage.files.items() if file.content}


def stored(files: dict[FileName, bytes]) -> MemoryStorage:
    storage = MemoryStorage()
    for name, content in files.items():
        storage.open(name).write(0, content)
    return storage


def feed_with(*batches: int) -> MemoryStorage:
    storage = MemoryStorage()
    feed = Feed.create(storage, KEYS, store_secret_key=True)
    for size in batches:
        feed.append(BLOCKS[feed.length : feed.length + size])
    return storage


def crashes(
    before: dict[FileName, bytes], writes: list[tuple[FileName, int, bytes]]
) -> Iterator[tuple[int, dict[FileName, bytes], FileName | None]]:
    """Every state that a death between or within the writes leaves: (writes done, files, torn)."""
    storage = stored(before)
    for done, (name, offset, data) in enumerate(writes):
        yield done, contents(storage), None
        for size in {1, len(data) // 2, len(data) - 1} - {0, len(data)}:
            torn = stored(contents(storage))
            torn.open(name).write(offset, data[:size])
            yield done, contents(torn), name
        storage.open(name).write(offset, data)
    yield len(writes), contents(storage), None


@pytest.mark.parametrize(
    ("batches", "appended"),
    [
        ((), 1),
        ((), 5),
        ((1,), 1),
        ((3,), 1),
        ((2, 3), 3),
        ((7,), 9),
        ((4, 4), 8),
        ((31,), 2),
        ((5,), 11),
    ],
)
def test_a_crash_leaves_an_append_whole_or_undone(batches: tuple[int, ...], appended: int) -> None:
    recorder = Recorder()
    feed = Feed.create(recorder, KEYS, store_secret_key=True)
    for size in batches:
        feed.append(BLOCKS[feed.length : feed.length + size])
    before = contents(recorder)
    old = feed.length
    recorder.writes.clear()
    feed.append(BLOCKS[old : old + appended])
    after = contents(recorder)
    signed_after = 1 + max(i for i, w in enumerate(recorder.writes) if w[0] == "signatures")
    outcomes = set()
    for done, files, torn in crashes(before, recorder.writes):
        storage = stored(files)
        opened = Feed.open(storage)
        assert opened.writable
        outcomes.add(opened.length)
        whole = done >= signed_after
        assert opened.length == old + (appended if whole else 0), (done, torn)
        assert contents(storage) == (after if whole else before), (done, torn)
        if files != contents(storage):
            assert opened.repairs
            assert all(repair.file in str(repair) for repair in opened.repairs)
        assert Feed.open(storage).repairs == ()
        # Whatever comes next is signed once for each length.
        opened.append([b"something else"])
        again = Feed.open(storage)
        assert again.repairs == ()
        assert [again.get(i) for i in range(opened.length)] == [
            *BLOCKS[: opened.length - 1],
            b"something else",
        ]
    assert outcomes == {old, old + appended}


def test_a_crash_in_an_append_over_several_pages() -> None:
    recorder = Recorder()
    feed = Feed.create(recorder, KEYS, store_secret_key=True)
    feed.append([b"x"] * 8190)
    before = contents(recorder)
    recorder.writes.clear()
    feed.append([b"y"] * (3 * 8192))
    after = contents(recorder)
    pages = [write for write in recorder.writes if write[0] == "bitfield"]
    assert len(pages) == 1
    # The kernel may have written any of the pages of one write.
    for kept in (0, 1, 6, 8, 14, 15):
        files = dict(after)
        bits = bytearray(before["bitfield"].ljust(len(after["bitfield"]), b"\0"))
        for number in range(4):
            if kept >> number & 1:
                place = slice(page_place(number, 3584), page_place(number + 1, 3584))
                bits[place] = after["bitfield"][place]
        files["bitfield"] = bytes(bits)
        storage = stored(files)
        opened = Feed.open(storage)
        assert (opened.length, opened.held_count()) == (8190 + 3 * 8192,) * 2, kept
        assert contents(storage)["bitfield"] == after["bitfield"], kept
        assert bool(opened.repairs) == (kept != 15)


def test_a_crash_while_receiving_costs_at_most_the_block() -> None:
    source = Feed.open(feed_with(3, 8, 2))
    for order in ([0, 12, 5], [12, 11, 10], [6, 7, 1]):
        recorder = Recorder()
        target = Feed.create_remote(recorder, KEYS.public_key)
        for block_index in order[:-1]:
            proof = source.proof(block_index, digest=target.digest(block_index))
            target.put(block_index, source.get(block_index), proof)
        before = contents(recorder)
        recorder.writes.clear()
        last = order[-1]
        target.put(last, source.get(last), source.proof(last, digest=target.digest(last)))
        after = contents(recorder)
        for _, files, _torn in crashes(before, recorder.writes):
            storage = stored(files)
            opened = Feed.open(storage)
            assert opened.length == 13
            for block_index in order[:-1]:
                assert opened.get(block_index) == BLOCKS[block_index]
            proof = source.proof(last, digest=opened.digest(last))
            opened.put(last, source.get(last), proof)
            assert contents(storage)["bitfield"] == after["bitfield"]
            assert opened.get(last) == BLOCKS[last]
            assert Feed.open(storage).repairs == ()


def test_a_first_received_block_may_be_rolled_forward() -> None:
    source = Feed.open(feed_with(5))
    storage = MemoryStorage()
    target = Feed.create_remote(storage, KEYS.public_key)
    target.put(4, BLOCKS[4], source.proof(4, digest=0))
    bits = contents(storage)["bitfield"]
    storage.open("bitfield").truncate(32)
    opened = Feed.open(storage)
    assert (opened.length, opened.held_count()) == (5, 1)
    assert contents(storage)["bitfield"] == bits
    assert "rolled forward" in str(opened.repairs[0])


def test_creation_that_was_cut_short_is_completed_or_begun_again() -> None:
    recorder = Recorder()
    Feed.create(recorder, KEYS, store_secret_key=True)
    finished = contents(recorder)
    for _, files, torn in crashes({}, recorder.writes):
        storage = stored(files)
        if files.get("secret_key", b"") == KEYS.secret_key:
            assert Feed.open(storage).key == KEYS.public_key
            assert contents(storage) == finished
        else:
            with pytest.raises(StorageDamaged):
                Feed.open(storage)
        if not files.get("key") and torn != "secret_key":
            storage = stored(files)
            assert Feed.create(storage, KEYS, store_secret_key=True).append([b"x"]) == 0
    half = stored({"secret_key": KEYS.secret_key})
    with pytest.raises(HypercoreError, match="a feed already"):
        Feed.create(half, KeyPair.generate(), store_secret_key=True)


@pytest.mark.parametrize("batches", [(5,), (2, 3), (1, 1, 1, 1, 1)])
def test_bits_that_are_lost_are_made_again_from_tree_and_signature(
    batches: tuple[int, ...],
) -> None:
    storage = feed_with(*batches)
    before = contents(storage)
    for size in (0, 10, 32, 33, 32 + 1024, 32 + 1025, 32 + 3583):
        damaged = stored({**before, "bitfield": before["bitfield"][:size]})
        opened = Feed.open(damaged)
        assert (opened.length, opened.held_count(), opened.writable) == (5, 5, True)
        assert contents(damaged) == before


@pytest.mark.parametrize("batches", [(5,), (2, 3)])
def test_a_signature_that_is_lost_is_made_again_the_same(batches: tuple[int, ...]) -> None:
    storage = feed_with(*batches)
    before = contents(storage)
    for size in (0, 32, signature_place(4), signature_place(4) + 63):
        files = {**before, "signatures": before["signatures"][:size]}
        damaged = stored(files)
        opened = Feed.open(damaged)
        assert opened.length == 5
        assert contents(damaged)["signatures"][-64:] == before["signatures"][-64:]
        assert "made again" in str(opened.repairs[0])


def test_bits_without_signature_whose_blocks_are_gone_are_rolled_back() -> None:
    before = contents(feed_with(3, 2))
    files = {
        **before,
        "signatures": before["signatures"][: signature_place(3)],
        "data": before["data"][:-1],
    }
    storage = stored(files)
    opened = Feed.open(storage)
    assert opened.length == 3
    assert any("rolled back from length 5 to 3" in str(repair) for repair in opened.repairs)
    assert contents(storage) == contents(feed_with(3))


def test_a_signature_that_cannot_be_checked_makes_the_feed_read_only() -> None:
    before, after = contents(feed_with(3)), contents(feed_with(3, 2))
    storage = stored({**before, "signatures": after["signatures"]})
    opened = Feed.open(storage)
    assert opened.length == 3
    assert not opened.writable
    with pytest.raises(ReadOnlyFeed, match="signatures holds a signature for length 5"):
        opened.append([b"fork"])
    assert contents(storage)["signatures"] == after["signatures"]
    assert not Feed.open(storage).writable
    confirmed = Feed.open(storage)
    confirmed.allow_appending()
    confirmed.append([b"at my own risk"])
    assert Feed.open(storage).writable

    forced = Feed.open(stored({**before, "signatures": after["signatures"]}), force=True)
    assert forced.writable
    assert "by force" in str(forced.repairs[0])


def test_a_signed_block_that_is_lost_counts_as_missing_and_is_never_signed_over() -> None:
    before, after = contents(feed_with(3)), contents(feed_with(3, 2))
    files = {**after, "bitfield": before["bitfield"], "data": before["data"]}
    opened = Feed.open(stored(files))
    assert opened.length == 5
    assert list(opened.missing(0, 5)) == [range(3, 5)]
    assert "2 blocks are lost" in str(opened.repairs[0])


def test_a_data_file_cut_short_is_noticed_at_opening() -> None:
    before = contents(feed_with(5))
    storage = stored({**before, "data": before["data"][:-25]})
    opened = Feed.open(storage)
    assert opened.length == 5
    assert list(opened.missing(0, 5)) == [range(3, 5)]
    assert "data: it ends before block 3" in str(opened.repairs[0])
    assert Feed.open(stored({**before, "data": b""})).held_count() == 0
    storage = stored(before)
    Feed.open(storage).append([b"", b"last", b""])
    storage.open("data").truncate(len(before["data"]))
    assert list(Feed.open(storage).missing(0, 8)) == [range(6, 8)]


@pytest.mark.parametrize("name", FILES)
def test_each_file_lost_is_repaired_or_refused_and_never_forked(name: FileName) -> None:
    before = contents(feed_with(2, 3))
    files = {other: content for other, content in before.items() if other != name}
    storage = stored(files)
    if name in ("key", "tree"):
        with pytest.raises(StorageDamaged) as caught:
            Feed.open(storage)
        assert caught.value.file == name
        assert contents(storage) == files
        return
    opened = Feed.open(storage)
    assert opened.key == KEYS.public_key
    assert opened.length == 5
    if name == "secret_key":
        assert not opened.writable
    if name == "data":
        assert opened.held_count() == 0
    if name in ("bitfield", "signatures"):
        assert opened.writable


@pytest.mark.parametrize("name", FILES)
def test_each_file_cut_anywhere_never_gives_two_signatures_for_a_length(name: FileName) -> None:
    before = contents(feed_with(2, 3))
    signatures = before["signatures"]
    for size in range(0, len(before[name]), 1 if name != "bitfield" else 61):
        storage = stored({**before, name: before[name][:size]})
        try:
            opened = Feed.open(storage)
        except DatfsError:
            continue
        if not opened.writable:
            continue
        opened.append([b"new"])
        now = contents(storage)["signatures"]
        for block_index in (1, 4):
            place = slice(signature_place(block_index), signature_place(block_index + 1))
            assert now[place] in (signatures[place], bytes(64)), (name, size)
        assert opened.length == 6


@pytest.mark.parametrize("name", ["tree", "signatures", "bitfield"])
def test_a_file_that_is_something_else_is_refused_by_name(name: FileName) -> None:
    before = contents(feed_with(5))
    for place in (0, 3, 6, 8):
        content = bytearray(before[name])
        content[place] ^= 0x40
        storage = stored({**before, name: bytes(content)})
        files = contents(storage)
        with pytest.raises(StorageDamaged, match=f"{name} is damaged") as caught:
            Feed.open(storage)
        assert caught.value.file == name
        assert contents(storage) == files


def test_a_root_or_signature_that_changed_is_refused() -> None:
    before = contents(feed_with(5))
    places: dict[FileName, int] = {"tree": node_place(3), "signatures": signature_place(4)}
    for name, place in places.items():
        content = bytearray(before[name])
        content[place] ^= 1
        storage = stored({**before, name: bytes(content)})
        with pytest.raises(StorageDamaged, match="signature for length 5 does not hold"):
            Feed.open(storage)


def test_keys_that_do_not_fit_are_refused() -> None:
    before = contents(feed_with(5))
    other = KeyPair.from_seed(b"\x08" * 32)
    wrong: list[tuple[FileName, bytes, str]] = [
        ("key", before["key"][:31], "31 bytes instead of 32"),
        ("key", other.public_key, "does not belong to the feed's key"),
        ("secret_key", other.secret_key, "does not belong to the feed's key"),
        ("secret_key", before["secret_key"][:63], "64 bytes, not 63"),
        ("secret_key", before["secret_key"][:32] + other.public_key, "do not belong together"),
    ]
    for name, content, message in wrong:
        storage = stored({**before, name: content})
        files = contents(storage)
        with pytest.raises(StorageDamaged, match=message):
            Feed.open(storage)
        assert contents(storage) == files
    both = {**before, "key": other.public_key, "secret_key": other.secret_key}
    with pytest.raises(StorageDamaged):
        Feed.open(stored(both))


def test_a_copy_without_its_signatures_starts_again() -> None:
    source = Feed.open(feed_with(2, 3))
    storage = MemoryStorage()
    target = Feed.create_remote(storage, KEYS.public_key)
    for block_index in range(5):
        proof = source.proof(block_index, digest=target.digest(block_index))
        target.put(block_index, source.get(block_index), proof)
    storage.open("signatures").truncate(32)
    opened = Feed.open(storage)
    assert (opened.length, opened.held_count()) == (0, 0)
    assert "rolled back from length 5 to 0" in str(opened.repairs[0])
    opened.put(0, source.get(0), source.proof(0, digest=opened.digest(0)))
    assert (opened.length, opened.held_count()) == (5, 1)


def test_a_feed_that_is_never_signed_is_left_alone() -> None:
    before = contents(feed_with(4))
    frontier = Frontier(0, [])
    for block in BLOCKS[:4]:
        frontier.append(block, [])
    files: dict[FileName, bytes] = {
        **before,
        "key": frontier.root_hash(),
        "signatures": before["signatures"][:32],
    }
    del files["secret_key"]
    storage = stored(files)
    with pytest.raises(HypercoreError, match="without signatures"):
        Feed.open(storage)
    assert contents(storage) == files


class FailingFile(MemoryFile):
    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["tree", "data", "signatures", "bitfield"])
def test_a_full_disk_never_leads_to_two_signatures(name: FileName) -> None:
    storage = feed_with(3)
    feed = Feed.open(storage)
    # The feed holds the file: have its next write fail there.
    file = storage.files[name]
    file.write = FailingFile(file.content).write  # type: ignore[method-assign]
    with pytest.raises(OSError, match="No space left"):
        feed.append(BLOCKS[3:5])
    del file.write
    if name in ("tree", "data"):
        assert feed.append([b"room again"]) == 3
        assert Feed.open(storage).length == 4
        return
    with pytest.raises(ReadOnlyFeed, match="not written to its end"):
        feed.append([b"room again"])
    opened = Feed.open(storage)
    assert opened.length == (3 if name == "signatures" else 5)
    assert opened.writable


def test_damage_in_a_folder_is_told_with_its_path(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path / "metadata")
    Feed.create(storage, KEYS, store_secret_key=True).append(BLOCKS[:2])
    (tmp_path / "metadata" / "key").unlink()
    with pytest.raises(StorageDamaged) as caught:
        Feed.open(storage)
    assert str(tmp_path / "metadata" / "key") in str(caught.value)
