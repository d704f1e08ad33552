"""What a peer claims, held against a plain set of block indexes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datfs.swarm.remote import MAX_WANTS, PAGE_BLOCKS, WANT_LENGTH, RemoteBlocks, RemoteFeed

SMALL = st.integers(0, 3 * PAGE_BLOCKS)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), SMALL, SMALL),
            st.tuples(st.just("remove"), SMALL, SMALL),
            st.tuples(st.just("bits"), st.integers(0, 2), st.binary(max_size=40)),
        ),
        max_size=12,
    ),
    SMALL,
)
def test_claims_match_a_plain_set(steps: list[tuple[str, int, int | bytes]], probe: int) -> None:
    blocks = RemoteBlocks()
    list(blocks.widen(1))
    model: set[int] = set()
    for what, start, arg in steps:
        if isinstance(arg, bytes):
            first = start * PAGE_BLOCKS
            blocks.replace(first, arg)
            for i in range(len(arg) * 8):
                model.discard(first + i)
                if arg[i // 8] >> (7 - i % 8) & 1:
                    model.add(first + i)
        elif what == "add":
            blocks.add(start, arg)
            model.update(range(start, start + arg))
        else:
            blocks.remove(start, arg)
            model.difference_update(range(start, start + arg))
    assert blocks.has(probe) == (probe in model)
    assert blocks.next(probe) == min((i for i in model if i >= probe), default=None)


def test_a_claim_of_2_to_the_53_blocks_costs_what_the_wanted_range_costs() -> None:
    blocks = RemoteBlocks()
    list(blocks.widen(0))
    blocks.add(0, 2**53)
    assert blocks.claimed_length == 2**53
    assert blocks.has(WANT_LENGTH - 1)
    assert not blocks.has(WANT_LENGTH)
    assert blocks.next(WANT_LENGTH) is None


def test_wants_grow_with_the_feed_and_are_bounded() -> None:
    blocks = RemoteBlocks()
    assert list(blocks.widen(0)) == [range(WANT_LENGTH)]
    assert list(blocks.widen(5)) == []
    assert list(blocks.widen(WANT_LENGTH)) == [range(WANT_LENGTH, 2 * WANT_LENGTH)]
    assert len(list(blocks.widen(2**53))) == MAX_WANTS - 2


def test_an_unhave_of_everything_resets_the_claim() -> None:
    blocks = RemoteBlocks()
    list(blocks.widen(0))
    blocks.add(0, 100)
    blocks.remove(0, 2**40)
    assert blocks.claimed_length == 0
    assert blocks.next(0) is None


def test_small_blocks_widen_the_window_and_slowness_narrows_it() -> None:
    remote = RemoteFeed()
    assert remote.room() == 64
    for block_index in range(200):
        remote.in_flight[block_index] = 0.0
        assert remote.answered(block_index, 100, 1.0)
    assert remote.room() > 64
    for _ in range(10):
        remote.slowed()
    assert remote.room() == 4
    assert not remote.answered(5, 100, 2.0)
