"""What the owner of an archive says about single files of it: which names, which content.

`me/session.json` is completed and `HASH.offer.bin` is refused when it is not a signal (design
section 9); staging knows neither. It asks these rules at the places where such a decision can still
reach the program that writes: before a name is made, and at FLUSH, whose error close(2) returns.
"""

from __future__ import annotations

from typing import Protocol


class StoredForm(Protocol):
    """How a file is kept in the archive, where that is not as it was written (a sealed signal)."""

    @property
    def stored_limit(self) -> int:
        """The largest stored form, bytes; what is larger is shown as it lies there."""

    def stored(self, text: bytes, /) -> bytes:
        """Return what the archive keeps of a checked content; asked when it is committed.

        Raises:
            NotYet: it cannot be told yet. The file stays dirty, in the journal, until
                `WorkingArchive.commit_closed` or the next release tries again.
            DatfsError: it must not be kept at all, which `FileRules.check` should have said.
        """

    def shown(self, stored: bytes, /) -> bytes:
        """Return the content as it was written; the bytes themselves where that is not known."""


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

    def form(self, path: str) -> StoredForm | None:
        """Tell how a file with this name is kept; None: as it is. Only for files that are checked.

        It is asked at every look at such a file, so it should be quick.
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

    def form(self, path: str) -> StoredForm | None:
        """Keep every file as it is."""
        return None
