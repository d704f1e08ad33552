"""Committed versions as readers see them: a file that is kept in another form shows its text.

The owner of an archive may say (`FileRules.form`) that files of some names are kept in another form
than they are written in, such as sealed signals. Their blocks hold that form and everybody else
sees it; handles, sizes and comparisons here are those of the text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from datfs.errors import BlockMissing, DiskFailed
from datfs.staging.content import CommittedContent, ConvertedContent

if TYPE_CHECKING:
    from datfs.hyperdrive.archive import Archive
    from datfs.hyperdrive.stat import Stat
    from datfs.staging.rules import FileRules


class Versions:
    """Reads the versions of one working archive."""

    def __init__(self, archive: Archive, rules: FileRules) -> None:
        self._archive = archive
        self._rules = rules

    def content(self, path: str, stat: Stat) -> CommittedContent:
        """Return the bytes of a version of the file at `path`."""
        version = CommittedContent(self._archive, stat)
        form = self._rules.form(path)
        if form is None or stat.size > form.stored_limit:
            return version
        try:
            stored = version.read(0, stat.size)
        except (BlockMissing, DiskFailed):
            return version  # whoever reads it is told
        text = form.shown(stored)
        return version if text == stored else ConvertedContent(self._archive, stat, text)

    def shown(self, path: str, stat: Stat) -> Stat:
        """Return the Stat of a version with the size that readers see."""
        if stat.is_directory or self._rules.form(path) is None:
            return stat
        return replace(stat, size=self.content(path, stat).size)
