"""Opening a feed whose last writer may have died in the middle.

An append writes nodes and blocks, then the signature over them, then the bits (formats.md section
2, "Order of writes and crashes"; hypercore itself writes the first three in any order). So:

* What has a signature is never given up. If the signature holds for the nodes in the file, the bits
  are set for all that verifies below it ("rolled forward"): another signature for the same length
  would be a fork, for ever.
* What has no signature is rolled back, for nobody can have been told of it.
* A feed of our own whose bits speak of more blocks than its last signature was signed once, since
  the bits come last: if those blocks verify, the signature is made again. Ed25519 is deterministic
  and what it signs is the same, so it is the lost one and no second.
* A signature of our own feed that is there and cannot be checked, because what it signs is gone,
  makes the feed read-only: what it signed may be known to others.

Feeds of others cannot fork here; what does not verify is forgotten and fetched again.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datfs.crypto.hashing import leaf_hash, root_hash
from datfs.crypto.keys import sign, verify
from datfs.errors import HypercoreError, StorageDamaged
from datfs.hypercore import flat_tree, sleep
from datfs.hypercore.bitfield import BLOCKS_A_PAGE
from datfs.hypercore.merkle import Node, parent_node
from datfs.hypercore.repair import Repair

if TYPE_CHECKING:
    from datfs.hypercore.feed_files import FeedFiles
    from datfs.hypercore.storage import FileName


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a feed is after opening.

    Attributes:
        length: Its length in blocks.
        repairs: What was put right.
        read_only_reason: Why nothing may be appended although the secret key is here.
    """

    length: int
    repairs: tuple[Repair, ...]
    read_only_reason: str | None


def recover(
    files: FeedFiles, public_key: bytes, secret_key: bytes | None, *, force: bool
) -> Recovered:
    """Bring the files of a feed to a state that is signed, and write what had to be changed.

    Args:
        files: The files as loaded.
        public_key: The feed's key.
        secret_key: Its secret key if it is ours.
        force: The user takes the risk of a fork: signatures that cannot be checked are erased.

    Raises:
        StorageDamaged: The files contradict each other in a way that no crash explains.
        HypercoreError: It is a feed of the kind that is never signed.
    """
    recovery = _Recovery(files, public_key, secret_key)
    recovery.settle_length(force=force)
    if secret_key is not None:
        recovery.complete_tree()
        if recovery.read_only_reason is None:
            recovery.cut_tails()
    recovery.forget_lost_blocks()
    recovery.complete_pages()
    files.write_headers()
    files.write_bitfield()
    return Recovered(
        length=recovery.length,
        repairs=tuple(recovery.repairs),
        read_only_reason=recovery.read_only_reason,
    )


class _Recovery:
    def __init__(self, files: FeedFiles, public_key: bytes, secret_key: bytes | None) -> None:
        self.files = files
        self.bits = files.bitfield
        self.public_key = public_key
        self.secret_key = secret_key
        self.length = self.bits.length()
        self.repairs: list[Repair] = []
        self.read_only_reason: str | None = None

    def settle_length(self, *, force: bool) -> None:
        """Find the newest signature that holds, and bring the bits to its length."""
        unchecked: list[int] = []
        signed = 0
        for length in self.files.signed_lengths():
            if self._signature_holds(length):
                signed = length
                break
            if length >= self.length:
                unchecked.append(length)
        if signed > self.length:
            self._roll_forward(signed)
        elif signed < self.length:
            self._without_signature(signed, found=self.length in unchecked)
        ahead = [length for length in unchecked if length > self.length]
        if not ahead or self.secret_key is None:
            return
        if force:
            self.files.cut_signatures(self.length)
            self._repaired("signatures", f"what was past block {self.length} was erased by force")
        else:
            self.read_only_reason = (
                f"{self.files.path('signatures')} holds a signature for length {ahead[0]}, but "
                f"past length {self.length} what it signs is not here"
            )

    def complete_tree(self) -> None:
        """Set the bits of signed blocks of our own that a cut page left out."""
        gaps = self.bits.missing_leaves(self.length)
        if not gaps:
            return
        # Leaves may also be missing because a peer proved a longer length than was stored here.
        held, lost = self._check(self.length, gaps, set_bits=True)
        if held:
            self._repaired(
                "bitfield", f"{held} signed blocks were not marked; marked again, {lost} are lost"
            )

    def cut_tails(self) -> None:
        """Remove what an append left behind that did not come to its signature."""
        end = max(sleep.HEADER_SIZE, sleep.node_place(2 * self.length - 1))
        if self.files.tree.size() > end:
            self.files.tree.truncate(end)
            self._repaired("tree", f"rolled back to length {self.length}: the rest was not signed")
            roots = self.files.nodes.roots(self.length) or []
            byte_length = sum(node.byte_length for node in roots)
            if self.files.data.size() > byte_length:
                self.files.data.truncate(byte_length)
                self._repaired("data", f"cut to {byte_length} bytes: the rest was not signed")
            for node_index in flat_tree.nodes_across(self.length):
                is_inside = node_index < 2 * self.length
                if is_inside and self.files.nodes.record(node_index) is not None:
                    self.files.nodes.blank(node_index)
        if self.files.cut_signatures(self.length):
            self._repaired("signatures", "a signature that was cut short was removed")

    def forget_lost_blocks(self) -> None:
        """Clear the bits of blocks that lie past the feed or past the end of the data file."""
        last = self.bits.last_held()
        if last is not None and last >= self.length:
            self.bits.clear_range(self.length, last + 1)
        end = (self.bits.last_held() or 0) + 1
        first_lost = self._first_lost_block(end)
        if first_lost < end:
            self.bits.clear_range(first_lost, end)
            self._repaired(
                "data", f"it ends before block {first_lost}; blocks from there on count as missing"
            )

    def complete_pages(self) -> None:
        """Complete pages of which only a part was written, in case nothing else was wrong."""
        self.bits.mend_index()
        path = self.files.path("bitfield")
        if self.bits.is_changed and not any(repair.file == path for repair in self.repairs):
            self._repaired("bitfield", "a page written in part was completed")

    # --- inside ------------------------------------------------------------------------------

    def _repaired(self, name: FileName, action: str) -> None:
        self.repairs.append(Repair(self.files.path(name), action))

    def _root_records(self, length: int) -> list[Node] | None:
        roots = [self.files.nodes.record(root) for root in flat_tree.full_roots(length)]
        found = [root for root in roots if root is not None]
        return found if len(found) == len(roots) else None

    def _signature_holds(self, length: int) -> bool:
        signature = self.files.signature(length)
        roots = self._root_records(length)
        return (
            signature is not None
            and roots is not None
            and verify(root_hash(roots), signature, self.public_key)
        )

    def _roll_forward(self, signed: int) -> None:
        start = self.length
        held, lost = self._check(signed, [range(start, signed)], set_bits=True)
        self.length = signed
        if self.secret_key is not None or held:
            self._repaired(
                "bitfield",
                f"rolled forward from length {start} to {signed}, which is signed"
                + (f"; {lost} blocks are lost" if lost and self.secret_key else ""),
            )

    def _without_signature(self, signed: int, *, found: bool) -> None:
        """Deal with bits that reach past the newest signature that holds."""
        unsigned = self.length
        if self.secret_key is not None:
            if found:
                name: FileName = "tree" if self._root_records(unsigned) is None else "signatures"
                raise StorageDamaged(
                    self.files.path(name),
                    f"the signature for length {unsigned} does not hold for the tree",
                )
            if self._sign_again(signed):
                return
        roots = self._root_records(unsigned)
        if roots is not None and root_hash(roots) == self.public_key:
            raise HypercoreError(
                f"{self.files.path('key')} names a feed without signatures (live: false in "
                "hypercore), which datfs does not read"
            )
        self.bits.clear_range(signed, max(unsigned, (self.bits.last_held() or 0) + 1))
        self.bits.cut_tree(signed)
        self.length = signed
        self._repaired(
            "bitfield",
            f"rolled back from length {unsigned} to {signed}: there is no signature that holds for "
            "the rest",
        )

    def _sign_again(self, signed: int) -> bool:
        roots = self._root_records(self.length)
        if roots is None or self.secret_key is None:
            return False
        _, lost = self._check(self.length, [range(signed, self.length)], set_bits=False)
        if lost:
            return False
        self.files.cut_short_signature()
        self.files.write_signature(self.length, sign(root_hash(roots), self.secret_key))
        self._repaired(
            "signatures", f"the signature for length {self.length} was missing and made again"
        )
        return True

    def _check(self, length: int, ranges: list[range], *, set_bits: bool) -> tuple[int, int]:
        """Compare blocks and nodes in the files with the full roots of `length`, from the top down.

        Args:
            length: A length whose full roots are in the file and trusted.
            ranges: Blocks that are looked at, in order; subtrees without any are not entered.
            set_bits: Whether to set the bits of nodes and blocks that verify.

        Returns:
            How many of the blocks are here, and how many are not.
        """
        starts = [blocks.start for blocks in ranges]
        held = 0
        byte_offset = 0
        waiting: list[tuple[Node, int]] = []
        for root in self._root_records(length) or []:
            waiting.append((root, byte_offset))
            byte_offset += root.byte_length
        while waiting:
            node, byte_offset = waiting.pop()
            if set_bits:
                self.bits.set_node(node.node_index)
            first = flat_tree.left_span(node.node_index) // 2
            last = flat_tree.right_span(node.node_index) // 2
            place = bisect_right(starts, last) - 1
            if place < 0 or ranges[place].stop <= first:
                continue
            children = flat_tree.children(node.node_index)
            if children is None:
                data = self.files.data.read(byte_offset, node.byte_length)
                if len(data) == node.byte_length and leaf_hash(data) == node.hash:
                    held += 1
                    if set_bits:
                        self.bits.set(first)
                continue
            left, right = (self.files.nodes.record(child) for child in children)
            if left is not None and right is not None and parent_node(left, right) == node:
                waiting.append((left, byte_offset))
                waiting.append((right, byte_offset + left.byte_length))
        return held, sum(map(len, ranges)) - held

    def _first_lost_block(self, end: int) -> int:
        """Return the first block before `end` from which on no stored block is in the data file."""
        first_lost = end
        for page_start in range((end - 1) & -BLOCKS_A_PAGE, -1, -BLOCKS_A_PAGE):
            page_end = min(end, page_start + BLOCKS_A_PAGE)
            for blocks in reversed(list(self.bits.held(page_start, page_end))):
                for block_index in reversed(blocks):
                    last_byte_is_here = self._last_byte_is_here(block_index)
                    if last_byte_is_here:
                        return first_lost
                    if last_byte_is_here is False:
                        first_lost = block_index
        return first_lost

    def _last_byte_is_here(self, block_index: int) -> bool | None:
        """Tell whether the data file reaches to the end of a block; None if it has no bytes."""
        leaf = self.files.nodes.node(2 * block_index)
        before = self.files.nodes.roots(block_index)
        if leaf is None or before is None:
            return False
        if leaf.byte_length == 0:
            return None
        end = sum(node.byte_length for node in before) + leaf.byte_length
        return len(self.files.data.read(end - 1, 1)) == 1
