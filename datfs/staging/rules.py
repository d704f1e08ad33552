"""What the owner of an archive says about single files of it: which names, which content.

`me/session.json` is completed and `HASH.offer.bin` is refused when it is not a signal (design
section 9); staging knows neither. It asks these rules at the places where such a decision can still
reach the program that writes: before a name is made, and at FLUSH, whose error close(2) returns.
"""

from __future__ import annotations

from typing import Protocol


class FileRules(Protocol):
    """Checks on the files of one working archive; all methods are synchronous and touch no disk."""

    def may_create(self, path: str) -> None:
        """Be asked before a new file, directory or target of a rename gets this name.

        Raises:
            DatfsError: the name must not be made; the error reaches the caller as it is.
        """

    def max_checked_size(self, path: str) -> int | None:
        """Tell up to how many bytes `check` wants to see, None for a file that is not checked.

        A checked file that is larger fails to close with `FileTooLarge`.
        """

    def check(self, path: str, content: bytes) -> bytes | None:
        """Judge what was written, when it is closed or renamed to this path.

        Never called for a file that was only created or truncated.

        Args:
            path: where the file stands now (or is about to).
            content: all of the file.

        Returns:
            None to take the content as written, or the bytes that replace it.

        Raises:
            DatfsError: closing fails with this error and the content is never committed.
        """


class NoRules:
    """Rules of an archive in which every name and every content is allowed."""

    def may_create(self, path: str) -> None:
        """Allow every name."""

    def max_checked_size(self, path: str) -> int | None:
        """Check no file."""
        return None

    def check(self, path: str, content: bytes) -> bytes | None:
        """Take every content as written."""
        return None
