"""A feed: an append-only list of blocks, signed by its one writer (DEP-0002).

Everything is synchronous and goes through a `FeedStorage`; nothing here knows of peers. The order
of writes is fixed, for it decides what a crash leaves: nodes and blocks, then the signature, then
the bits. What opening makes of an interrupted write stands in `recovery`.

One thread owns a feed. `sync` alone may run in another one meanwhile: it reads no state of the feed
and only tells each file to reach the disk, which `storage` makes safe against writes and closing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datfs.crypto.keys import (
    PUBLIC_KEY_SIZE,
    SECRET_KEY_SIZE,
    discovery_key,
    sign,
)
from datfs.errors import (
    BlockMissing,
    HypercoreError,
    InvalidKey,
    ReadOnlyFeed,
    StorageDamaged,
)
from datfs.hypercore import flat_tree
from datfs.hypercore import proof as proofs
from datfs.hypercore.feed_files import FeedFiles
from datfs.hypercore.key_files import load_key, load_secret_key
from datfs.hypercore.merkle import Frontier, Node
from datfs.hypercore.recovery import recover

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from datfs.crypto.keys import KeyPair
    from datfs.encoding.buffer import Buffer
    from datfs.hypercore.proof import Proof
    from datfs.hypercore.repair import Repair
    from datfs.hypercore.storage import FeedStorage

_APPEND_CHUNK_BLOCKS: Final = 4096
"""Blocks whose nodes are in memory at a time during one append."""

_NO_SECRET_KEY: Final = "its secret key is not here"


class Feed:
    """One feed in one storage; made by `create`, `create_remote` or `open`.

    Attributes:
        key: Public key, 32 bytes.
        discovery_key: By which peers find each other, 32 bytes.
        length: Blocks that the feed is known to have; signed.
        byte_length: Bytes of all these blocks.
        repairs: What opening had to put right, as sentences that name the file.
        read_only_reason: Why nothing can be appended; None if it can.
    """

    def __init__(self, files: FeedFiles, key: bytes, secret_key: bytes | None, length: int) -> None:
        self.key = key
        self.discovery_key = discovery_key(key)
        self.length = 0
        self.byte_length = 0
        self.repairs: tuple[Repair, ...] = ()
        self.read_only_reason = None if secret_key else _NO_SECRET_KEY
        self._files = files
        self._bits = files.bitfield
        self._nodes = files.nodes
        self._secret_key = secret_key
        self._roots: list[Node] = []
        self._set_length(length)
        # Where a block begins is a sum over the tree; readers mostly ask for the next one.
        self._next_block = 0
        self._next_byte_offset = 0

    # --- making and opening ------------------------------------------------------------------

    @classmethod
    def create(cls, storage: FeedStorage, key_pair: KeyPair, *, store_secret_key: bool) -> Feed:
        """Make a new, empty feed that can be appended to.

        Args:
            storage: Where no feed is yet.
            key_pair: Its keys.
            store_secret_key: Whether the secret key is written there; without it the feed can be
                appended to only if whoever opens it brings the key.

        Raises:
            HypercoreError: A feed, or what is left of one, is there already.
        """
        return cls._create(storage, key_pair.public_key, key_pair.secret_key, store_secret_key)

    @classmethod
    def create_remote(cls, storage: FeedStorage, public_key: bytes) -> Feed:
        """Make an empty copy of somebody's feed, to be filled by `put`.

        Raises:
            HypercoreError: A feed, or what is left of one, is there already.
        """
        return cls._create(storage, public_key, None, store_secret_key=False)

    @classmethod
    def _create(
        cls,
        storage: FeedStorage,
        public_key: bytes,
        secret_key: bytes | None,
        store_secret_key: bool,
    ) -> Feed:
        if len(public_key) != PUBLIC_KEY_SIZE:
            raise InvalidKey(f"a public key has {PUBLIC_KEY_SIZE} bytes, not {len(public_key)}")
        files = FeedFiles(storage)
        stored_secret = files.secret_key.read(0, SECRET_KEY_SIZE + 1)
        if files.key.size() or stored_secret not in (b"", secret_key) or not files.is_blank():
            raise HypercoreError(f"there is a feed already: {files.path('key')}")
        files.write_headers()
        if secret_key is not None and store_secret_key:
            files.secret_key.write(0, secret_key)
        # The key comes last: a feed whose key is not here was never handed out.
        files.key.write(0, public_key)
        return cls(files, public_key, secret_key, 0)

    @classmethod
    def open(
        cls,
        storage: FeedStorage,
        *,
        public_key: bytes | None = None,
        secret_key: bytes | None = None,
        known_length: int = 0,
        force: bool = False,
    ) -> Feed:
        """Open a stored feed and put right what a crash left.

        Args:
            storage: Where it is.
            public_key: The key it must have, if the caller knows.
            secret_key: Its secret key where that is not stored (content feeds).
            known_length: The highest length that was ever signed, as kept outside the store; a
                shorter feed of our own opens read-only.
            force: The user takes the risk of a fork: `known_length`, and signatures that cannot be
                checked, do not make the feed read-only.

        Raises:
            StorageDamaged: A file is missing or contradicts the others; nothing was changed.
        """
        files = FeedFiles(storage)
        key, created = load_key(files, public_key)
        secret_key = load_secret_key(files, key, secret_key)
        recovered = recover(files, key, secret_key, force=force)
        feed = cls(files, key, secret_key, recovered.length)
        feed.repairs = created + recovered.repairs
        if secret_key is not None:
            feed.read_only_reason = recovered.read_only_reason
            if feed.length < known_length and not force:
                feed.read_only_reason = (
                    f"it has {feed.length} blocks here, but {known_length} were signed once: going "
                    "on would fork it"
                )
        return feed

    @property
    def writable(self) -> bool:
        """Whether `append` can be used."""
        return self.read_only_reason is None

    def allow_appending(self) -> None:
        """Make a feed writable that was opened read-only, once its length is confirmed.

        To be called when a peer confirmed that no longer feed is known, or the user takes the risk.

        Raises:
            ReadOnlyFeed: The secret key is not here.
        """
        if self._secret_key is None:
            raise ReadOnlyFeed(f"the feed cannot be written: {_NO_SECRET_KEY}")
        self._files.cut_signatures(self.length)
        self.read_only_reason = None

    def forbid_appending(self, reason: str) -> None:
        """Make the feed read-only until it is opened anew or `allow_appending` is called."""
        self.read_only_reason = reason

    # --- writing -----------------------------------------------------------------------------

    def append(self, blocks: Sequence[Buffer]) -> int:
        """Append blocks with one signature over all of them.

        Returns:
            Index of the first one.

        Raises:
            ReadOnlyFeed: The secret key is not here or must not be used.
            OSError: The disk failed. If that was after the signature may have been written, the
                feed is read-only until it is opened anew, which finds out.
        """
        if self._secret_key is None or self.read_only_reason is not None:
            raise ReadOnlyFeed(f"the feed cannot be written: {self.read_only_reason}")
        start = self.length
        if not blocks:
            return start
        frontier = self._frontier()
        for first in range(0, len(blocks), _APPEND_CHUNK_BLOCKS):
            chunk = list(blocks[first : first + _APPEND_CHUNK_BLOCKS])
            self._append_chunk(frontier, chunk, more=first + len(chunk) < len(blocks))
        try:
            signature = sign(frontier.root_hash(), self._secret_key)
            self._files.write_signature(frontier.length, signature)
            self._bits.set_appended(start, frontier.length)
            self._bits.set_range(start, frontier.length)
            self.length, self.byte_length = frontier.length, frontier.byte_length
            self._roots = frontier.roots
            self._files.write_bitfield()
        except OSError as error:
            self.read_only_reason = f"the last append was not written to its end ({error})"
            raise
        return start

    def _append_chunk(self, frontier: Frontier, blocks: list[Buffer], *, more: bool) -> None:
        start, byte_offset = frontier.length, frontier.byte_length
        made: list[Node] = []
        for block in blocks:
            frontier.append(block, made)
        self._nodes.write_appended(made, start=start, end=frontier.length, more=more)
        self._files.write_blocks(byte_offset, blocks)

    def put(self, block_index: int, value: Buffer | None, proof: Proof) -> None:
        """Verify and store a block that a peer sent.

        Args:
            block_index: Which block.
            value: Its bytes; None stores what the proof shows and no block.
            proof: What came with it.

        Raises:
            ProofInvalid: It does not verify; the feed is as before.
        """
        self.put_many(((block_index, value, proof),))

    def put_many(self, received: Iterable[tuple[int, Buffer | None, Proof]]) -> None:
        """Verify and store several blocks, writing the bits once.

        Args:
            received: What `put` takes, in the order in which it came.

        Raises:
            ProofInvalid: One does not verify; those before it are stored, the others are not. Its
                `block_index` tells which.
        """
        try:
            for block_index, value, proof in received:
                self._accept(block_index, value, proof)
        finally:
            self._files.write_bitfield()

    def _accept(self, block_index: int, value: Buffer | None, proof: Proof) -> None:
        verified = proofs.verify_block(self._nodes, block_index, value, proof, self.key)
        fresh = {node.node_index: node for node in verified.nodes}
        self._nodes.write(verified.nodes)
        if value is not None and not self._bits.has(block_index):
            byte_offset = self._byte_offset(block_index, fresh)
            if len(value):
                self._files.data.write(byte_offset, value)
            self._next_block = block_index + 1
            self._next_byte_offset = byte_offset + len(value)
        if verified.signed_length and proof.signature is not None:
            self._files.write_signature(verified.signed_length, bytes(proof.signature))
        for node_index in fresh:
            self._bits.set_node(node_index)
        self._nodes.remember(verified.nodes)
        if value is not None:
            self._bits.set(block_index)
        if verified.signed_length > self.length:
            self._set_length(verified.signed_length)

    def clear(self, start: int, end: int) -> None:
        """Forget the bytes of the blocks from `start` to before `end`; their hashes stay."""
        cleared = list(self._bits.held(start, min(end, self.length)))
        self._bits.clear_range(start, end)
        self._files.write_bitfield()
        for blocks in cleared:
            first = self.block_extent(blocks.start)
            last = self.block_extent(blocks.stop - 1)
            if first is not None and last is not None:
                self._files.data.punch(first[0], sum(last) - first[0])

    def sync(self) -> None:
        """Return once what was written before the call survives a loss of power.

        May run in another thread than the feed's owner's (see above).
        """
        self._files.sync()

    def close(self) -> None:
        """Give back open descriptors. What was appended is in the files already."""
        self._files.close()

    # --- reading -----------------------------------------------------------------------------

    def has(self, block_index: int) -> bool:
        """Tell whether the bytes of a block are here."""
        return self._bits.has(block_index)

    def has_all(self, start: int, end: int) -> bool:
        """Tell whether all blocks from `start` to before `end` are here."""
        return next(self._bits.missing(start, end), None) is None

    def missing(self, start: int, end: int) -> Iterator[range]:
        """Yield the ranges of blocks from `start` to before `end` that are not here, in order."""
        return self._bits.missing(start, end)

    def held_count(self) -> int:
        """Return how many blocks are here."""
        return self._bits.held_count()

    def have_bits(self, start: int, length: int) -> bytes:
        """Return which blocks are here, a bit each, the first one in the top bit of the first byte.

        Args:
            start: First block, a multiple of 8.
            length: Number of blocks, a multiple of 8; may reach past the feed.
        """
        return self._bits.bits(start, length)

    def get(self, block_index: int) -> bytes:
        """Return a block.

        Raises:
            BlockMissing: It is not here.
            StorageDamaged: It should be here and the data file is too short.
        """
        extent = self.block_extent(block_index) if self._bits.has(block_index) else None
        if extent is None:
            raise BlockMissing(block_index)
        byte_offset, byte_length = extent
        data = self._files.data.read(byte_offset, byte_length)
        if len(data) < byte_length:
            raise StorageDamaged(self._files.path("data"), f"block {block_index} is cut short")
        return data

    def read(self, byte_offset: int, size: int) -> bytes:
        """Return bytes of the data file as they are.

        Args:
            byte_offset: Offset in the feed.
            size: Number of bytes; the caller knows that the blocks they are in are here.
        """
        return self._files.data.read(byte_offset, size)

    def block_extent(self, block_index: int) -> tuple[int, int] | None:
        """Return byte offset and byte length of a block, or None if the tree does not tell yet."""
        leaf = self._nodes.node(2 * block_index)
        if leaf is None:
            return None
        if block_index != self._next_block:
            roots = self._nodes.roots(block_index)
            if roots is None:
                return None
            self._next_byte_offset = sum(node.byte_length for node in roots)
        byte_offset = self._next_byte_offset
        self._next_block = block_index + 1
        self._next_byte_offset += leaf.byte_length
        return byte_offset, leaf.byte_length

    def node(self, node_index: int) -> Node | None:
        """Return a tree node if it is here."""
        return self._nodes.node(node_index)

    def digest(self, block_index: int) -> int:
        """Return what a Request for a block tells of the nodes here (`Request.nodes`)."""
        return proofs.digest(self._bits, block_index)

    def proof(self, block_index: int, *, digest: int, with_hash: bool = False) -> Proof:
        """Return what shows a peer that a block belongs to this feed.

        Args:
            block_index: The block; its hash must be here, its bytes need not.
            digest: What the peer says to have.
            with_hash: Whether the hash of the block goes along, for its bytes do not.

        Raises:
            BlockMissing: What is here does not prove it.
        """
        if not self._bits.has_node(2 * block_index):
            raise BlockMissing(block_index)
        chosen, signed_length = proofs.proof_nodes(
            self._bits, block_index, digest=digest, with_hash=with_hash
        )
        nodes = [self._nodes.node(node_index) for node_index in chosen]
        found = tuple(node for node in nodes if node is not None)
        signature = self._files.signature(signed_length) if signed_length else None
        if len(found) < len(nodes) or (signed_length and signature is None):
            raise BlockMissing(block_index)
        return proofs.Proof(found, signature)

    # --- inside ------------------------------------------------------------------------------

    def _byte_offset(self, block_index: int, fresh: Mapping[int, Node]) -> int:
        """Return where a verified block begins, with the nodes that came with it."""
        if block_index == self._next_block:
            return self._next_byte_offset
        byte_offset = 0
        for node_index in flat_tree.full_roots(block_index):
            node = fresh.get(node_index) or self._nodes.node(node_index)
            if node is None:
                raise StorageDamaged(self._files.path("tree"), f"node {node_index} is missing")
            byte_offset += node.byte_length
        return byte_offset

    def _set_length(self, length: int) -> None:
        roots = self._nodes.roots(length)
        if roots is None:
            raise StorageDamaged(self._files.path("tree"), f"the roots of {length} blocks are gone")
        self.length = length
        self._roots = roots
        self.byte_length = sum(node.byte_length for node in roots)

    def _frontier(self) -> Frontier:
        return Frontier(self.length, self._roots)
