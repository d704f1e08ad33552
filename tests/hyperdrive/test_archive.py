from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.crypto.keys import KeyPair, content_key_pair
from datfs.errors import (
    BlockMissing,
    EncodingError,
    InvalidExtent,
    InvalidPath,
    NotAnArchive,
    ReadOnlyArchive,
)
from datfs.hypercore.feed import Feed
from datfs.hyperdrive.append_tree import Node, encode_node
from datfs.hyperdrive.archive import Archive, ArchiveStorage, ChangeKind, Delete, Put
from datfs.hyperdrive.header import Header, encode_header
from datfs.hyperdrive.stat import Stat, encode_stat
from tests.hyperdrive.memory_archives import (
    KEY_PAIR,
    fetch,
    hostile_archive,
    memory_storage,
    new_archive,
    paths,
    read_file,
    replicate_metadata,
    write_file,
)

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer
    from datfs.hypercore.storage import MemoryFile

CREATED, CHANGED, REMOVED = ChangeKind.CREATED, ChangeKind.CHANGED, ChangeKind.REMOVED
FILE = Stat(mode=0o100644)
DIRECTORY = Stat(mode=0o040755)


def put_entry(name: bytes | str, stat: Stat = FILE) -> bytes:
    value = encode_stat(stat)
    raw = name.encode() if isinstance(name, str) else name
    return b"\x0a" + bytes([len(raw)]) + raw + b"\x12" + bytes([len(value)]) + value


# --- versions and batches -------------------------------------------------------------------------


def test_a_new_archive_is_empty_and_writable() -> None:
    archive = new_archive()
    assert archive.version == 0
    assert archive.writable
    assert archive.lookup("/") is not None
    assert list(archive.list_directory("/")) == []
    assert archive.content is not None
    assert archive.content.key == content_key_pair(KEY_PAIR.secret_key).public_key


def test_a_commit_is_one_version_batch_with_one_signature() -> None:
    archive = new_archive()
    changes = archive.commit([Put("/d", DIRECTORY), Put("/d/f", FILE), Put("/g", FILE)])
    assert [(change.path, change.kind, change.seq) for change in changes] == [
        ("/d", CREATED, 1),
        ("/d/f", CREATED, 2),
        ("/g", CREATED, 3),
    ]
    assert archive.version == 3
    storage = archive.metadata.proof(3, digest=0).signature
    assert storage is not None
    with pytest.raises(BlockMissing):
        _ = archive.metadata.get(4)


def test_versions_stay_as_they_were() -> None:
    archive = new_archive()
    write_file(archive, "/a", b"one")
    write_file(archive, "/a", b"two, longer")
    archive.commit([Delete("/a")])
    first, second, third = (archive.checkout(version) for version in (1, 2, 3))
    for version, content in ((first, b"one"), (second, b"two, longer")):
        entry = version.lookup("/a")
        assert entry is not None
        assert archive.read(entry.stat, 0, 100) == content
    assert third.lookup("/a") is None
    assert archive.checkout(0).lookup("/a") is None
    for absent in (-1, 4):
        with pytest.raises(ValueError, match="version"):
            archive.checkout(absent)


def test_nothing_to_commit_makes_no_version() -> None:
    archive = new_archive()
    assert archive.commit([]) == []
    assert archive.version == 0


@pytest.mark.parametrize("path", ["/", "a", "/../a", "/a/", "/a\0", "/\udcff", "/deep" * 900])
def test_a_bad_path_commits_nothing_at_all(path: str) -> None:
    archive = new_archive()
    with pytest.raises(InvalidPath):
        archive.commit([Put("/good", FILE), Put(path, FILE)])
    assert archive.version == 0
    assert paths(archive) == set()


@pytest.mark.parametrize("mtime_ms", [-1, 2**53])
def test_a_stat_that_nobody_could_read_commits_nothing(mtime_ms: int) -> None:
    archive = new_archive()
    with pytest.raises(EncodingError):
        archive.commit([Put("/good", FILE), Put("/bad", Stat(mode=0o100644, mtime_ms=mtime_ms))])
    assert (archive.version, paths(archive)) == (0, set())


def test_an_append_that_fails_leaves_the_tree_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = new_archive()
    write_file(archive, "/a", b"one")

    def full(blocks: list[Buffer]) -> int:
        raise OSError(28, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(archive.metadata, "append", full)
        with pytest.raises(OSError, match="no space"):
            archive.commit([Delete("/a"), Put("/b", FILE)])
    assert paths(archive) == {"/a"}
    assert read_file(archive, "/a") == b"one"
    archive.commit([Put("/c", FILE)])
    assert paths(archive) == {"/a", "/c"}


# --- rename ---------------------------------------------------------------------------------------


def test_renaming_a_file_keeps_its_blocks_and_puts_before_it_deletes() -> None:
    archive = new_archive()
    write_file(archive, "/old", b"content")
    write_file(archive, "/new", b"overwritten")
    before = archive.lookup("/old")
    assert before is not None
    operations = archive.rename_operations("/old", "/new")
    assert operations == [Put("/new", before.stat), Delete("/old")]
    changes = archive.commit(operations)
    assert {change.path: change.kind for change in changes} == {"/new": CHANGED, "/old": REMOVED}
    assert paths(archive) == {"/new"}
    assert read_file(archive, "/new") == b"content"


def test_renaming_a_directory_takes_everything_along() -> None:
    archive = new_archive()
    archive.commit([Put("/d", Stat(mode=0o040700)), Put("/d/empty", DIRECTORY)])
    write_file(archive, "/d/a/b", b"deep")
    write_file(archive, "/keep", b"")
    operations = archive.rename_operations("/d", "/e/f")
    kinds = [type(operation) for operation in operations]
    assert kinds == sorted(kinds, key=lambda kind: kind is Delete)
    archive.commit(operations)
    assert paths(archive) == {"/keep", "/e", "/e/f", "/e/f/a", "/e/f/a/b", "/e/f/empty"}
    moved = archive.lookup("/e/f")
    assert moved is not None
    assert moved.stat.mode == 0o040700
    assert read_file(archive, "/e/f/a/b") == b"deep"


def test_a_directory_does_not_go_into_itself() -> None:
    archive = new_archive()
    archive.commit([Put("/d", DIRECTORY)])
    assert archive.rename_operations("/d", "/d") == []
    with pytest.raises(InvalidPath):
        archive.rename_operations("/d", "/d/e")
    assert archive.rename_operations("/d", "/de") == [Put("/de", DIRECTORY), Delete("/d")]


# --- content --------------------------------------------------------------------------------------


def test_a_file_at_the_tail_grows_in_place() -> None:
    archive = new_archive()
    assert archive.content is not None
    write_file(archive, "/other", b"other")
    write_file(archive, "/log", b"first\n")
    for line in (b"second\n", b"third\n"):
        entry = archive.lookup("/log")
        assert entry is not None
        assert archive.is_at_tail(entry.stat)
        writer = archive.content_writer(entry)
        writer.write(line)
        archive.commit([Put("/log", Stat(mode=0o100644, **writer.finish()._asdict()))])
    entry = archive.lookup("/log")
    assert entry is not None
    assert (entry.stat.offset, entry.stat.blocks) == (1, 3)
    assert read_file(archive, "/log") == b"first\nsecond\nthird\n"
    assert archive.content.length == 4
    other = archive.lookup("/other")
    assert other is not None
    assert not archive.is_at_tail(other.stat)
    with pytest.raises(InvalidExtent):
        archive.content_writer(other)


def test_an_empty_file_starts_a_run_wherever_it_was() -> None:
    archive = new_archive()
    write_file(archive, "/empty", b"")
    write_file(archive, "/other", b"other")
    writer = archive.content_writer(archive.lookup("/empty"))
    writer.write(b"now")
    assert writer.finish() == (3, 1, 1, 5)


def test_blocks_of_64_kib_signed_once_a_mebibyte() -> None:
    archive = new_archive()
    assert archive.content is not None
    batches: list[list[int]] = []
    append = archive.content.append

    def counted(blocks: list[Buffer]) -> int:
        batches.append([len(block) for block in blocks])
        return append(blocks)

    archive.content.append = counted  # type: ignore[method-assign,assignment]
    data = bytes(range(256)) * 4096 * 2 + b"tail"
    writer = archive.content_writer()
    for start in range(0, len(data), 300_000):
        writer.write(data[start : start + 300_000])
    run = writer.finish()
    assert run == (len(data), 33, 0, 0)
    assert batches == [[65536] * 16, [65536] * 16, [4]]
    assert archive.read(Stat(mode=0o100644, **run._asdict()), 0, len(data)) == data


def test_two_writers_at_once_do_not_mix() -> None:
    archive = new_archive()
    first, second = archive.content_writer(), archive.content_writer()
    first.write(b"a")
    second.write(b"b")
    first.finish()
    with pytest.raises(Exception, match="same time"):
        second.finish()


def test_reading_parts() -> None:
    archive = new_archive()
    data = bytes(i * 7 % 251 for i in range(200_000))
    write_file(archive, "/before", b"xyz")
    write_file(archive, "/f", data)
    entry = archive.lookup("/f")
    assert entry is not None
    for offset, size in ((0, 1), (65535, 2), (131072, 65536), (199_999, 10), (200_000, 5)):
        assert archive.read(entry.stat, offset, size) == data[offset : offset + size]


# --- opening --------------------------------------------------------------------------------------


def test_reopening_shows_the_same_and_goes_on() -> None:
    storage = memory_storage()
    archive = Archive.create(storage, KEY_PAIR)
    write_file(archive, "/a", b"one")
    again = Archive.open(storage, key=KEY_PAIR.public_key)
    assert read_file(again, "/a") == b"one"
    write_file(again, "/b", b"two")
    assert paths(Archive.open(storage)) == {"/a", "/b"}


def test_an_archive_whose_header_was_not_signed_yet_is_completed() -> None:
    storage = memory_storage()
    Feed.create(storage.metadata, KEY_PAIR, store_secret_key=True)
    archive = Archive.open(storage)
    assert archive.writable
    write_file(archive, "/a", b"one")
    assert read_file(Archive.open(storage), "/a") == b"one"


def test_lost_content_is_not_begun_anew() -> None:
    storage = memory_storage()
    archive = Archive.create(storage, KEY_PAIR)
    write_file(archive, "/a", b"one")
    again = Archive.open(ArchiveStorage(storage.metadata, memory_storage().content))
    assert not again.writable
    assert "content" in str(again.read_only_reason)
    with pytest.raises(ReadOnlyArchive, match="missing"):
        again.content_writer()
    assert paths(again) == {"/a"}


@pytest.mark.parametrize("feed", ["metadata", "content"])
def test_a_store_shorter_than_what_was_signed_opens_read_only(feed: str) -> None:
    storage = memory_storage()
    write_file(Archive.create(storage, KEY_PAIR), "/a", b"one")
    metadata_length = 3 if feed == "metadata" else 2
    content_length = 2 if feed == "content" else 1

    def opened(*, force: bool) -> Archive:
        return Archive.open(
            storage,
            known_metadata_length=metadata_length,
            known_content_length=content_length,
            force=force,
        )

    again = opened(force=False)
    assert not again.writable
    assert again.is_own
    assert read_file(again, "/a") == b"one"
    assert opened(force=True).writable


def test_a_feed_that_is_no_hyperdrive_says_so() -> None:
    storage = memory_storage()
    feed = Feed.create(storage.metadata, KEY_PAIR, store_secret_key=True)
    feed.append([b"just a log"])
    with pytest.raises(NotAnArchive):
        Archive.open(storage)


def test_a_remote_feed_that_is_no_hyperdrive_stays_empty() -> None:
    pair = KeyPair.from_seed(b"\x44" * 32)
    feed = Feed.create(memory_storage().metadata, pair, store_secret_key=False)
    feed.append([b"just a log", put_entry("/a")])
    copy = Archive.create_remote(memory_storage(), pair.public_key)
    fetch(feed, copy.metadata, range(2))
    assert copy.update() == []
    assert copy.update() == []
    assert copy.not_an_archive is not None
    assert copy.content is None
    assert copy.oddity_count == 1


def test_a_header_with_a_strange_content_key_is_not_written_to() -> None:
    storage = memory_storage()
    feed = Feed.create(storage.metadata, KEY_PAIR, store_secret_key=True)
    feed.append([encode_header(Header(KeyPair.from_seed(b"\x55" * 32).public_key))])
    archive = Archive.open(storage)
    assert not archive.writable
    assert "secret key" in str(archive.read_only_reason)


# --- a copy of somebody else's --------------------------------------------------------------------


def test_a_copy_shows_what_has_come_without_a_gap() -> None:
    own = new_archive()
    for name in ("/a", "/b", "/c"):
        write_file(own, name, name.encode())
    copy = Archive.create_remote(memory_storage(), own.key)
    assert (copy.update(), copy.content) == ([], None)
    entry = own.lookup("/a")
    assert entry is not None
    assert copy.missing_blocks(entry.stat, 0, 10) == range(1)
    fetch(own.metadata, copy.metadata, [3, 1])
    assert copy.update() == []
    fetch(own.metadata, copy.metadata, [0])
    assert [change.path for change in copy.update()] == ["/a"]
    assert (copy.version, paths(copy)) == (1, {"/a"})
    assert copy.content is not None
    fetch(own.metadata, copy.metadata, [2])
    assert [change.path for change in copy.update(1)] == ["/b"]
    assert [change.path for change in copy.update(1)] == ["/c"]
    assert not copy.writable


def test_a_copy_reads_once_the_blocks_are_here() -> None:
    own = new_archive()
    data = bytes(range(256)) * 1024
    write_file(own, "/f", data)
    copy = Archive.create_remote(memory_storage(), own.key)
    replicate_metadata(own, copy)
    entry = copy.lookup("/f")
    assert entry is not None
    with pytest.raises(BlockMissing):
        read_file(copy, "/f")
    assert own.content is not None
    assert copy.content is not None
    while (missing := copy.missing_blocks(entry.stat, 70_000, 100)) is not None:
        fetch(own.content, copy.content, missing)
    assert copy.content.held_count() == 1
    assert copy.read(entry.stat, 70_000, 100) == data[70_000:70_100]
    fetch(own.content, copy.content, [0, 2, 3])
    assert read_file(copy, "/f") == data


def test_a_copy_in_its_storage_is_opened_again() -> None:
    own = new_archive()
    write_file(own, "/f", b"data")
    storage = memory_storage()
    copy = Archive.create_remote(storage, own.key)
    replicate_metadata(own, copy)
    again = Archive.open(storage, key=own.key)
    assert paths(again) == {"/f"}
    assert again.content is not None
    assert own.content is not None
    fetch(own.content, again.content, [0])
    assert read_file(again, "/f") == b"data"


# --- hostile metadata -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "/../../etc/passwd",
        "/..",
        "/.",
        "/a/../b",
        "/a//b",
        "//",
        "/a\0b",
        "/" + "x" * 256,
        "/a//",
        "..",
        "",
        "/",
    ],
)
def test_names_that_are_no_paths_are_not_shown(name: str) -> None:
    value = encode_stat(FILE)
    archive = hostile_archive([encode_node(Node(name=name, value=value, paths=b"\x01\x00\x00"))])
    shown = paths(archive)
    assert all(".." not in path and "\0" not in path and "//" not in path for path in shown)
    for path in (name, "/..", "/.", "/a/..", "/a//b"):
        entry = archive.lookup(path)
        assert entry is None or entry.path == "/"
    root = archive.lookup("/")
    assert root is not None
    assert root.stat.is_directory
    assert archive.oddity_count == (0 if name in ("", "/") else 1)


def test_a_directory_of_hidden_names_is_not_empty() -> None:
    archive = new_archive()
    archive.commit([Put("/d", DIRECTORY)])
    assert not archive.has_children("/d")
    archive.metadata.append([put_entry("/d/..")])
    archive.update()
    assert list(archive.list_directory("/d")) == []
    assert archive.has_children("/d")


def test_changes_name_only_what_is_shown() -> None:
    own = new_archive()
    own.metadata.append([put_entry("/d/.."), put_entry("/d/ok"), put_entry("/d//x")])
    assert {change.path for change in own.update()} == {"/d", "/d/ok"}
    assert paths(own) == {"/d", "/d/ok"}


def test_entries_that_are_garbage_are_skipped_and_noted() -> None:
    archive = hostile_archive(
        [
            put_entry("/a"),
            b"",
            b"\xff\xff\xff",
            put_entry(b"/\xff\xfe"),
            put_entry("/b")[:-3],
            b"\x0a\x02/c\x12\x00",
            b"\x0a\x02/a\x1a\x01\x00\x00",
            put_entry("/z"),
        ]
    )
    assert paths(archive) == {"/a", "/z"}
    assert archive.version == 8
    assert archive.oddity_count == 6
    assert all(oddity.startswith("entry ") for oddity in archive.oddities)
    assert archive.oddities[0].startswith("entry 2 ")


def test_oddities_are_bounded() -> None:
    archive = hostile_archive([b"\xff" * 5000] * 300 + [put_entry("/" + "x" * 100 + "\0")] * 10)
    assert archive.oddity_count == 310
    assert sum(map(len, archive.oddities)) < 50_000


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_no_metadata_makes_update_or_a_checkout_fail(entries: list[bytes]) -> None:
    archive = hostile_archive([put_entry("/a/b"), *entries, put_entry("/c")])
    assert archive.lookup("/c") is not None
    paths(archive)
    for version in range(archive.version + 1):
        checkout = archive.checkout(version)
        for name, _ in checkout.list_directory("/"):
            checkout.lookup("/" + name)


@given(
    st.lists(
        st.builds(
            Node,
            name=st.sampled_from(["/a", "/a/b", "/a/b/c", "/d", "", "/..", "/a//b"]),
            value=st.sampled_from([None, encode_stat(FILE), encode_stat(DIRECTORY)]),
            paths=st.binary(max_size=8),
        ),
        max_size=12,
    )
)
def test_no_paths_make_update_or_a_checkout_fail(nodes: list[Node]) -> None:
    archive = hostile_archive(map(encode_node, nodes))
    shown = paths(archive)
    assert all(archive.lookup(path) for path in shown)
    checkout = archive.checkout(archive.version)
    waiting = ["/"]
    while waiting:
        waiting += [entry.path for _, entry in checkout.list_directory(waiting.pop())]


def test_absurd_stats_are_tamed_and_cost_nothing() -> None:
    huge = 2**53 - 1
    absurd = Stat(
        mode=0o066777,
        uid=huge,
        gid=huge,
        size=huge,
        blocks=huge,
        offset=huge,
        byte_offset=huge,
        mtime_ms=huge,
        ctime_ms=huge,
    )
    archive = hostile_archive([put_entry("/absurd", absurd)])
    entry = archive.lookup("/absurd")
    assert entry is not None
    assert entry.stat.mode == 0o100777
    assert entry.stat.mtime_ms * 1_000_000 < 2**63
    assert archive.missing_blocks(entry.stat, 0, 4096) is not None
    with pytest.raises(BlockMissing):
        archive.read(entry.stat, huge // 2, 131072)


def test_a_file_that_claims_others_blocks_gives_no_more_than_the_archive_has() -> None:
    own = new_archive()
    write_file(own, "/f", b"12345")
    for stat in (
        Stat(mode=0o100644, size=6, blocks=1),
        Stat(mode=0o100644, size=5, blocks=1, byte_offset=1),
        Stat(mode=0o100644, size=5),
    ):
        own.commit([Put("/lie", stat)])
        entry = own.lookup("/lie")
        assert entry is not None
        with pytest.raises(InvalidExtent):
            own.read(entry.stat, 4, 2)


def test_file_and_directory_at_once_is_named() -> None:
    archive = new_archive()
    archive.commit([Put("/same", FILE), Put("/same/child", FILE)])
    entry = archive.lookup("/same")
    assert entry is not None
    assert entry.stat.is_directory
    assert list(archive.conflicts()) == ["/same"]
    assert archive.checkout(2).lookup("/same") == entry


def test_storage_holds_no_content_secret() -> None:
    storage = memory_storage()
    Archive.create(storage, KEY_PAIR)
    files: dict[str, MemoryFile] = {**storage.content.files}  # type: ignore[attr-defined]
    assert files["key"].size() == 32
    assert files.get("secret_key") is None or files["secret_key"].size() == 0
