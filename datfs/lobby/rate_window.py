"""How often something may happen within a minute: for one network address, and in all."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 60.0


class RateWindow:
    """What happened within the last minute. Times are monotonic seconds."""

    def __init__(self, *, per_address: int, in_all: int) -> None:
        """Begin with nothing.

        Args:
            per_address: how often within a minute for one address.
            in_all: how often for all of them together.
        """
        self._per_address = per_address
        self._in_all = in_all
        self._happened: deque[tuple[float, str]] = deque()

    def excess(self, address: str, now: float) -> str | None:
        """Return which limit one time more would break, None if it may happen."""
        while self._happened and self._happened[0][0] <= now - WINDOW_S:
            self._happened.popleft()
        if len(self._happened) >= self._in_all:
            return "within a minute"
        if sum(of == address for _, of in self._happened) >= self._per_address:
            return "from this address within a minute"
        return None

    def add(self, address: str, now: float) -> None:
        """Take note that it happened."""
        self._happened.append((now, address))
