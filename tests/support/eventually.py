"""Waiting for what another process brings about: looked for often, with a limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_S = 15.0
POLL_S = 0.05

Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], limit_s: float = LIMIT_S) -> Found:
    """Looks until there is something true; errors of files and of JSON mean not yet.

    Raises:
        AssertionError: It did not come in time; carries the last error.
    """
    deadline = time.monotonic() + limit_s
    last: Exception | None = None
    while True:
        try:
            found = look()
        except (OSError, ValueError, KeyError) as error:
            last = error
        else:
            if found:
                return found
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing came within {limit_s:g} s ({last!r})")
        time.sleep(POLL_S)
