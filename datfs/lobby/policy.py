"""Whom a host lets into its lobby (design section 8): anyone, friends, a list; never the banned.

Pure: a policy is a value; where friends, lists and bans come from is the application's business. A
refusal is one of a few fixed phrases, for it is written into the lobby for the guest to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

BANNED: Final = "banned"
FRIENDS_ONLY: Final = "friends only"
NOT_LISTED: Final = "not on the list"
KICKED: Final = "kicked"
FULL: Final = "full"


class PolicyKind(Enum):
    """Who may come in besides those on the list."""

    ANYONE = "anyone"
    FRIENDS = "friends"
    LISTED = "listed"  # nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Whom a host lets in.

    Attributes:
        kind: who may come in besides those on the list.
        friends: identity keys of the host's friends.
        listed: identity keys that may come in though they are no friends.
        banned: identity keys that may not come in, whoever they are.
    """

    kind: PolicyKind = PolicyKind.ANYONE
    friends: frozenset[bytes] = frozenset()
    listed: frozenset[bytes] = frozenset()
    banned: frozenset[bytes] = frozenset()

    def refusal(self, identity: bytes) -> str | None:
        """Return why an identity may not come in; None if it may."""
        if identity in self.banned:
            return BANNED
        if self.kind is PolicyKind.ANYONE or identity in self.listed:
            return None
        if self.kind is PolicyKind.FRIENDS:
            return None if identity in self.friends else FRIENDS_ONLY
        return NOT_LISTED
