"""Services of the daemon must not take the mount with them when they fail."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from datfs.app.events import EventLog

log = logging.getLogger(__name__)


async def contained(
    events: EventLog, what: str, service: Callable[..., Awaitable[None]], *arguments: object
) -> None:
    """Run a service; an error ends it, is logged with its traceback, and goes no further.

    Args:
        events: told that the service has ended.
        what: the service, as people know it.
        service: an async function.
        arguments: its arguments.
    """
    try:
        await service(*arguments)
    except Exception as error:
        log.exception("%s has ended by an error of datfs itself", what)
        events.append("internal-error", service=what, reason=str(error) or type(error).__name__)
