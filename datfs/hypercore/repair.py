"""What opening a feed reports to have put right."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Repair:
    """Something that opening a feed put right.

    Attributes:
        file: Path of the file that was changed, as the storage names it.
        action: What was wrong and what was done, as the rest of a sentence.
    """

    file: str
    action: str

    def __str__(self) -> str:
        return f"{self.file}: {self.action}"
