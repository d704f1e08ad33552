"""Tells whoever waits that something in the tree may look otherwise now."""

from __future__ import annotations

import trio


class Ticker:
    """An event that is set at each change, and is a new one from then on.

    Attributes:
        event: set at the next change.
    """

    def __init__(self) -> None:
        self.event = trio.Event()

    def tick(self) -> None:
        """Something changed."""
        changed, self.event = self.event, trio.Event()
        changed.set()
