"""The one order in which all members see the entries of a lobby's logs.

An entry comes after those before it in its own log and after its cause with all that stands before
that. Of entries that are free to come next, the one with the smallest log key does. The order
depends on the entries alone, not on when they came.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from datfs.lobby.log_records import Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def causal_order(logs: Mapping[bytes, Sequence[tuple[int, Position | None]]]) -> list[Position]:
    """Put entries in order.

    Args:
        logs: for each log its entries, sequence number and cause, in order. A cause in a log that
            is not here, or behind all of its entries, holds nothing back.

    Returns:
        The order. Entries in a circle of causes, and those after them in their logs, are left out.
    """
    taken = dict.fromkeys(logs, 0)
    waiting: dict[bytes, list[bytes]] = {key: [] for key in logs}
    ready: list[bytes] = []

    def consider(key: bytes) -> None:
        """See whether a log's next entry may come, or for which other log it waits."""
        entries = logs[key]
        if taken[key] == len(entries):
            return
        cause = entries[taken[key]][1]
        if cause is not None and cause.log != key and cause.log in logs:
            others, position = logs[cause.log], taken[cause.log]
            if position < len(others) and others[position][0] <= cause.sequence:
                waiting[cause.log].append(key)
                return
        heapq.heappush(ready, key)

    for key in logs:
        consider(key)
    order: list[Position] = []
    while ready:
        key = heapq.heappop(ready)
        order.append(Position(key, logs[key][taken[key]][0]))
        taken[key] += 1
        woken, waiting[key] = waiting[key], []
        for other in (key, *woken):
            consider(other)
    return order
