"""Names for the links in friends/ (design section 1): by profile name, by key until it was seen.

A friend's name is written by that friend, so it is made safe before it becomes a directory entry,
and can neither hide another friend's link nor pass for it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME_LIMIT_BYTES: Final = 255

_SUFFIX_LENGTH: Final = len(" (01234567)")
_KEY_LENGTH: Final = 64


def link_name(name: str) -> str | None:
    """Return a profile's name as one path component, or None if nothing is left of it.

    Slashes, backslashes and a leading dot become `_`; control, format and unassigned characters
    (which could reverse or hide what `ls` shows) go; runs of white space become one blank. What
    looks like a key is no name. The result leaves room for the suffix that `friend_links` adds.
    """
    composed = unicodedata.normalize("NFC", name)
    spaced = " ".join(composed.split())
    kept = "".join(char for char in spaced if unicodedata.category(char)[0] != "C").strip()
    safe = kept.replace("/", "_").replace("\\", "_")
    if safe.startswith("."):
        safe = f"_{safe[1:]}"
    room = NAME_LIMIT_BYTES - _SUFFIX_LENGTH
    safe = safe.encode()[:room].decode(errors="ignore").rstrip()
    return None if not safe or _looks_like_key(safe) else safe


def friend_links(friends: Sequence[bytes], names: Mapping[bytes, str]) -> dict[str, bytes]:
    """Name the link of each friend.

    Args:
        friends: keys, each once.
        names: by key, the names in those profiles that have been seen.

    Returns:
        Link names and the keys they stand for, in the order of `friends`. A friend whose profile
        was not seen is named by key; equal names all get ` (8 hex)`; where even that is not unique
        the key is taken, so that no name depends on who came first.
    """
    plain = {key: link_name(names[key]) if key in names else None for key in friends}
    shared = Counter(plain.values())
    chosen = {
        key: f"{name} ({key.hex()[:8]})" if name and shared[name] > 1 else name
        for key, name in plain.items()
    }
    taken = Counter(chosen.values())
    return {
        name if name is not None and taken[name] == 1 else key.hex(): key
        for key, name in chosen.items()
    }


def _looks_like_key(name: str) -> bool:
    return len(name) == _KEY_LENGTH and all(char in "0123456789abcdefABCDEF" for char in name)
