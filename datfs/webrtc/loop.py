"""The asyncio loop that aiortc lives in, run by trio: one for the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio_asyncio  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager


def open_loop() -> AbstractAsyncContextManager[object]:
    """Run an asyncio loop for as long as the block lasts; `open_engine` works within it."""
    loop: AbstractAsyncContextManager[object] = trio_asyncio.open_loop()
    return loop
