"""Somebody else's file in a lobby: a signal that is sealed to us shows its text.

What is no such signal is an ordinary file of a read-only archive. Whether it is one may change
while the kernel holds the node (a lobby is looked at, then joined), so it is asked each time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from datfs.errors import BlockMissing
from datfs.fs.archive_view import ArchiveFile
from datfs.fs.node import OpenFile

if TYPE_CHECKING:
    from datfs.fs.archive_view import ArchiveView
    from datfs.fs.node import Attributes, Identity
    from datfs.fs.ports import LobbyView
    from datfs.hyperdrive.entry import Entry
    from datfs.staging.rules import StoredForm


class SealedFile(ArchiveFile):
    """A file of the union that lies in an archive of somebody else's."""

    __slots__ = ("_lobby",)

    def __init__(
        self, view: ArchiveView, identity: Identity, entry: Entry, lobby: LobbyView
    ) -> None:
        super().__init__(view, identity, entry)
        self._lobby = lobby

    def attributes(self) -> Attributes:
        """Those of the entry, with the size of the text as soon as its blocks are here."""
        attributes = super().attributes()
        form = self._form()
        if form is None:
            return attributes
        try:
            stored = self._view.source.archive.read(self.stat(), 0, form.stored_limit)
        except BlockMissing:
            return attributes
        return replace(attributes, size=len(form.shown(stored)))

    async def open(self, flags: int) -> OpenFile:
        """Opens it for reading."""
        opened = await super().open(flags)
        form = self._form()
        return opened if form is None else _Reading(opened, self, form)

    def _form(self) -> StoredForm | None:
        form = self._lobby.form(self.identity.path)
        return None if form is None or self.stat().size > form.stored_limit else form


class _Reading(OpenFile):
    """One open(2) of a signal; the text is known once all of it has come."""

    __slots__ = ("_file", "_form", "_opened")

    direct_io = True

    def __init__(self, opened: OpenFile, file: SealedFile, form: StoredForm) -> None:
        self._opened = opened
        self._file = file
        self._form = form

    async def read(self, offset: int, size: int) -> bytes:
        stored = await self._opened.read(0, self._file.stat().size)
        return self._form.shown(stored)[offset : offset + size]
