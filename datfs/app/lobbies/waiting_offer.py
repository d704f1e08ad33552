"""Our offer to a lobby as long as it cannot be stored there: nothing proves yet to whom it may go.

An archive keeps such a file in its journal; a log, and a lobby of which nothing is known, keep it
here. It tells addresses, so it lies among the store's secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.errors import DiskFailed
from datfs.store.secrets import delete_secret, read_secret, write_secret

if TYPE_CHECKING:
    from pathlib import Path


class WaitingOffer:
    """The text of the offer that waits; it survives the process.

    Args:
        file: where it is kept.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._text = read_secret(file)

    @property
    def text(self) -> bytes | None:
        """The offer as it was written; None if none waits."""
        return self._text

    def put(self, text: bytes) -> None:
        """Let an offer wait, in place of an earlier one; raises DiskFailed."""
        try:
            write_secret(self._file, text)
        except OSError as error:
            raise DiskFailed(f"the offer cannot be kept: {error.strerror}") from error
        self._text = text

    def clear(self) -> None:
        """Let none wait any more."""
        if self._text is not None:
            self._text = None
            delete_secret(self._file)
