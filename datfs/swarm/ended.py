"""How a connection ended, for its dialler and for people to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datfs.swarm.peer import Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a connection ended."""

    words: str
    is_self: bool = False
    """The other end is this process."""
    lied: bool = False
    """The peer sent what does not verify."""
    duplicate_of: Peer | None = None
    """The connection to the same peer that was kept."""
