from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from datfs.staging.extents import Extents

OFFSETS = st.integers(0, 40)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), OFFSETS, OFFSETS),
        st.tuples(st.just("clip"), OFFSETS, st.just(0)),
    ),
    max_size=30,
)


@given(STEPS, OFFSETS, st.integers(1, 40))
def test_equals_a_plain_set_of_bytes(
    steps: list[tuple[str, int, int]], start: int, size: int
) -> None:
    extents = Extents()
    model: set[int] = set()
    for kind, first, second in steps:
        if kind == "add":
            extents.add(first, second)
            model |= set(range(first, second))
        else:
            extents.clip(first)
            model = {byte for byte in model if byte < first}
    ranges = [*extents]
    assert {byte for low, high in ranges for byte in range(low, high)} == model
    assert all(low < high for low, high in ranges)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ranges))
    window = set(range(start, start + size))
    assert extents.covers(start, start + size) == (window <= model)
    overlap = [*extents.overlap(start, start + size)]
    assert {byte for low, high in overlap for byte in range(low, high)} == window & model
    assert extents.start == (min(model) if model else None)
    assert extents.end == (max(model) + 1 if model else 0)


def test_a_file_written_front_to_back_is_one_range() -> None:
    extents = Extents()
    for offset in range(0, 1000, 10):
        extents.add(offset, offset + 10)
    assert [*extents] == [(0, 1000)]
    assert len(extents) == 1
    extents.clear()
    assert not len(extents)
