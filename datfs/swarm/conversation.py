"""What two peers say to each other about one feed on one connection (DEP-0010).

Synchronous and without I/O of its own: messages go in, messages go out through a callable, blocks
go into the feed. The rules that a JavaScript peer lives by are kept here: a Want is answered by a
Have that repeats its start and length, the last block is told of first, a Request never stays
without an answer (formats.md section 5).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from datfs.encoding import rle
from datfs.errors import (
    BlockMissing,
    EncodingError,
    HypercoreError,
    ProofInvalid,
    RemoteProtocolError,
)
from datfs.hypercore.merkle import Node
from datfs.hypercore.proof import Proof
from datfs.swarm.remote import PAGE_BLOCKS, WANT_LENGTH
from datfs.wire import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datfs.swarm.announcer import Announcer
    from datfs.swarm.feed_replica import FeedReplica
    from datfs.swarm.peer import Peer

MAX_QUEUED_REQUESTS = 4096
"""Requests of a peer that wait for an answer; one that asks for more is flooding us."""

MAX_QUEUED_WANTS = 64
"""The same for Want, whose answer may have 128 KiB; the original keeps 16 open."""

_MAX_BITFIELD_BYTE_LENGTH = WANT_LENGTH // 8

_NO_PROOF = Proof((), None)


class Conversation:
    """One feed on one connection.

    Args:
        peer: the connection.
        replica: the feed.
        announcer: told of every block that came.
        send: queues a message on the feed's channel.
    """

    def __init__(
        self,
        peer: Peer,
        replica: FeedReplica,
        announcer: Announcer,
        send: Callable[[messages.FeedMessage], None],
    ) -> None:
        self.replica = replica
        self.feed = replica.feed
        self._peer = peer
        self._announcer = announcer
        self._send = send
        self._remote = replica.scheduler.add_peer(peer)
        self._requests: deque[messages.Request] = deque()
        self._wants: deque[messages.Want] = deque()
        self._incoming: list[tuple[int, bytes, Proof]] = []
        self._behind = True
        self._wanted = False
        self._told_length = False
        self._proving = False
        self.joined = False
        """Whether the other side has opened the feed too: only then more than Want may be sent."""
        self.ended = False
        """The other side neither sends nor asks any more (Info)."""
        for blocks in self._remote.blocks.widen(self.feed.length):
            self._send(messages.Want(blocks.start, len(blocks)))

    def end(self) -> None:
        """The connection ended: what was asked of it is asked of others."""
        self.replica.detach(self._peer)

    # --- what the peer says --------------------------------------------------------------------

    def handle(self, message: messages.FeedMessage, now: float) -> None:
        """Act on a message.

        Raises:
            RemoteProtocolError: the peer floods us.
        """
        match message:
            case messages.Data():
                self._on_data(message, now)
            case messages.Request():
                if len(self._requests) >= MAX_QUEUED_REQUESTS:
                    raise RemoteProtocolError(
                        f"more than {MAX_QUEUED_REQUESTS} requests wait for an answer"
                    )
                self._requests.append(message)
            case messages.Have():
                self._on_have(message)
            case messages.Want():
                if len(self._wants) >= MAX_QUEUED_WANTS:
                    raise RemoteProtocolError(
                        f"more than {MAX_QUEUED_WANTS} Wants wait for an answer"
                    )
                self._wants.append(message)
                self._wanted = self._wanted or _on_grid(message)
            case messages.Unhave():
                self._remote.blocks.remove(message.start, message.length)
            case messages.Info():
                self.ended = not message.downloading
            case messages.Cancel():
                if message.block_index in {request.block_index for request in self._requests}:
                    self._requests = deque(
                        r for r in self._requests if r.block_index != message.block_index
                    )
            case messages.Unwant():
                pass  # the original ignores it as well: announcements are cheap

    def store(self) -> None:
        """Put the blocks that came since the last call into the feed.

        Raises:
            ProofInvalid: one of them does not verify; those before it are kept.
        """
        if not self._incoming:
            return
        incoming, self._incoming = self._incoming, []
        indexes = [block_index for block_index, _value, _proof in incoming]
        try:
            self.feed.put_many(incoming)
        except ProofInvalid:
            self._stored([index for index in indexes if self.feed.has(index)])
            for block_index in indexes:
                self.replica.scheduler.look_again(block_index)
            raise
        self._stored(indexes)

    def _stored(self, indexes: list[int]) -> None:
        if not indexes:
            return
        self.replica.arrived(indexes)
        for blocks in _ranges(indexes):
            self._announcer.downloaded(self.replica, blocks)
        for blocks in self._remote.blocks.widen(self.feed.length):
            self._send(messages.Want(blocks.start, len(blocks)))
        self._behind = True

    def catch_up(self) -> bool:
        """Take in what blocks that came mean; true if more is to be done after others had a turn.

        It is asked for once when the conversation begins as well: an earlier connection may have
        ended in the middle.
        """
        if self._behind:
            self._behind = self.replica.on_blocks()
        return self._behind

    def _on_data(self, data: messages.Data, now: float) -> None:
        block_index = data.block_index
        nodes = tuple(Node(*node) for node in data.nodes)
        if self.replica.own:
            if self._proving and nodes:  # without any it is a refusal
                self.replica.check_longer(block_index, Proof(nodes, data.signature))
            self._proving = False
            return
        if data.value is None:
            # Also without an Unhave, or we would ask again at once, and so for ever.
            self._remote.blocks.remove(block_index, 1)
            self.replica.scheduler.refused(self._peer, block_index)
            return
        asked = self.replica.scheduler.received(self._peer, block_index, len(data.value), now)
        if self.feed.has(block_index):
            return
        if not asked:
            self._send(messages.Unhave(block_index))
            return
        self._incoming.append((block_index, data.value, Proof(nodes, data.signature)))

    def _on_have(self, have: messages.Have) -> None:
        blocks = self._remote.blocks
        if have.bitfield is None:
            blocks.add(have.start, have.length)
        elif have.start % PAGE_BLOCKS == 0:
            try:
                bits = rle.decode(have.bitfield, limit_byte_length=_MAX_BITFIELD_BYTE_LENGTH)
            except EncodingError as error:
                raise RemoteProtocolError(f"a bitfield that does not decode: {error}") from error
            blocks.replace(have.start, bits)
        self.replica.scheduler.claimed(self._peer, have.start)
        for wanted in blocks.widen(self.feed.length):
            self._send(messages.Want(wanted.start, len(wanted)))
        if self.feed.writable and blocks.claimed_length > self.feed.length and not self._proving:
            self._proving = True
            self._send(messages.Request(blocks.claimed_length - 1, hash_only=True))

    def _answer_want(self, want: messages.Want) -> None:
        if not _on_grid(want):
            return  # the original ignores these too
        told = self.replica.told_length
        if not self._told_length and told and self.feed.has(told - 1):
            self._told_length = True
            self._send(messages.Have(told - 1))
        end = min(want.start + want.length, told)
        bits = b""
        if want.start < end:
            whole = -(-(end - want.start) // 8) * 8
            held = bytearray(self.feed.have_bits(want.start, whole))
            if end % 8 and len(held) == whole // 8:
                held[-1] &= 0xFF << (8 - end % 8) & 0xFF
            bits = rle.encode(bytes(held).rstrip(b"\0"))
        self._send(messages.Have(want.start, want.length, bits))

    # --- what we say ---------------------------------------------------------------------------

    def announce(self, ranges: Sequence[range]) -> None:
        """Tell the peer of blocks that are held and durable, if it wanted to know."""
        if not self._wanted or not self.joined:
            return
        known = self._remote.blocks
        for blocks in ranges:
            if not (known.has(blocks.start) and known.has(blocks.stop - 1)):
                self._send(messages.Have(blocks.start, len(blocks)))

    def withdraw(self, block_index: int) -> None:
        """Tell the peer of a block that is to be had here no more; it may still ask for it."""
        if self.joined:
            self._send(messages.Unhave(block_index))

    def ask(self, now: float) -> None:
        """Send the requests that the scheduler has for this peer now."""
        if not self.joined or self.replica.own:
            return
        for block_index in self.replica.scheduler.next_requests(self._peer, now):
            digest = self.feed.digest(block_index)
            self._send(messages.Request(block_index, digest=digest))

    def answer(self) -> bool:
        """Answer the oldest question that may be answered now: Wants, then Requests.

        Returns:
            Whether one was answered.
        """
        if self._wants:
            self._answer_want(self._wants.popleft())
            return True
        if not self._requests:
            return False
        request = self._requests.popleft()
        block_index = request.block_index
        if request.byte_offset:
            block_index = self._seek(request)
        if self.replica.told_length <= block_index < self.feed.length:
            self._requests.appendleft(request)
            return False  # it is not on disk yet
        hash_only = request.hash_only or request.byte_offset > 0
        value = None if hash_only else self._value(block_index)
        proof = self._proof(block_index, request.digest, with_hash=value is None)
        if proof.signature is not None and self.replica.told_length < self.feed.length:
            self._requests.appendleft(request)
            return False  # it signs what is not on disk yet
        if value is None and not (hash_only and proof.nodes):
            self._send(messages.Unhave(block_index))
        # The hash of a block that is not held goes along with its proof: the original takes that
        # for an answer, and ends a connection for nodes that are missing.
        nodes = tuple(messages.ProofNode(*node) for node in proof.nodes)
        self._send(messages.Data(block_index, value, nodes, proof.signature))
        if value is not None:
            self._remote.given_length = max(self._remote.given_length, block_index + 1)
        return True

    def _value(self, block_index: int) -> bytes | None:
        """A block if it is held and can be read."""
        try:
            return self.feed.get(block_index)
        except BlockMissing:
            return None
        except (HypercoreError, OSError) as error:
            self.replica.unreadable(block_index, error)
            return None

    def _proof(self, block_index: int, digest: int, *, with_hash: bool) -> Proof:
        """A block's proof; an empty one if it is not here."""
        try:
            return self.feed.proof(block_index, digest=digest, with_hash=with_hash)
        except BlockMissing:
            return _NO_PROOF
        except (HypercoreError, OSError) as error:
            self.replica.unreadable(block_index, error)
            return _NO_PROOF

    def _seek(self, request: messages.Request) -> int:
        """The block that holds a byte of the feed, or the one named if the tree does not tell."""
        low, high = 0, self.feed.length
        while low < high:
            middle = (low + high) // 2
            extent = self.feed.block_extent(middle)
            if extent is None:
                break
            start, byte_length = extent
            if request.byte_offset < start:
                high = middle
            elif request.byte_offset >= start + byte_length:
                low = middle + 1
            else:
                return middle
        return request.block_index


def _on_grid(want: messages.Want) -> bool:
    return want.start % PAGE_BLOCKS == 0 and want.length % PAGE_BLOCKS == 0


def _ranges(indexes: list[int]) -> list[range]:
    """Join block indexes that follow each other."""
    ranges: list[range] = []
    for block_index in sorted(set(indexes)):
        if ranges and ranges[-1].stop == block_index:
            ranges[-1] = range(ranges[-1].start, block_index + 1)
        else:
            ranges.append(range(block_index, block_index + 1))
    return ranges
