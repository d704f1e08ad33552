"""A clock that leaps while nothing happens."""

from __future__ import annotations

import pytest
from trio.testing import MockClock


@pytest.fixture
def autojump_clock() -> MockClock:
    """Waits a moment before it leaps, for the announcer's syncs run in a thread."""
    return MockClock(autojump_threshold=0.01)
