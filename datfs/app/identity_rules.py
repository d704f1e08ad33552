"""What is checked in `me/`: session.json is completed, mistakes in it and profile.json are told.

A file with a mistake stays as it was written; nothing is hosted by it and friends keep their last
good state (design section 7).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from datfs.errors import InvalidDocument
from datfs.identity.profile import PROFILE_NAME, parse_profile
from datfs.identity.session import SESSION_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.app.events import EventLog

PROFILE_PATH = f"/{PROFILE_NAME}"
SESSION_PATH = f"/{SESSION_NAME}"

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The largest profile.json or session.json; a profile with ten thousand friends fits."""

log = logging.getLogger(__name__)


class IdentityRules:
    """`FileRules` of the identity archive.

    Args:
        complete_session: makes the whole session.json of what was written; raises InvalidDocument.
        events: told of mistakes.
    """

    def __init__(self, complete_session: Callable[[bytes], bytes], events: EventLog) -> None:
        self._complete_session = complete_session
        self._events = events

    def may_create(self, path: str) -> None:
        """Allow every name."""

    def max_checked_size(self, path: str) -> int | None:
        """Check the two documents."""
        return MAX_DOCUMENT_BYTES if path in (PROFILE_PATH, SESSION_PATH) else None

    def check(self, path: str, content: bytes) -> bytes | None:
        """Complete session.json; tell of mistakes and leave what has them as it is."""
        try:
            if path == SESSION_PATH:
                return self._complete_session(content)
            parse_profile(content)
        except InvalidDocument as error:
            log.warning("me%s: %s", path, error)
            self._events.append("mistake", path=f"me{path}", reason=str(error))
        return None

    def form(self, path: str) -> None:
        """Keep every file as it is."""
