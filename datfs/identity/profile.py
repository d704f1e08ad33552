"""profile.json: who a person is (design section 7, and the outline's "Social peer dat archive").

A value and its JSON form. Links to friends are named in `friends`; when the file is read or written
is for the daemon.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from datfs.encoding.dat_url import DatUrl, parse_dat_url
from datfs.errors import InvalidUrl
from datfs.identity.document import Document

if TYPE_CHECKING:
    from collections.abc import Callable

PROFILE_NAME: Final = "profile.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What profile.json says.

    Attributes:
        name: the person's name, not empty; may hold any characters.
        created_ms: when the identity was made, milliseconds since 1970.
        friends: keys of the friends' identity archives, 32 bytes each, in order, each once.
    """

    name: str
    created_ms: int
    friends: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """Return profile.json's bytes: readable JSON, friends as dat URLs, a newline at the end."""
        fields: dict[str, object] = {"name": self.name, "created": self.created_ms}
        if self.friends:
            fields["friends"] = [str(DatUrl(key=key)) for key in self.friends]
        return f"{json.dumps(fields, indent=2, ensure_ascii=False)}\n".encode()


def with_friend(data: bytes, key: bytes) -> bytes:
    """Return a profile.json with one friend more; what else was written there stays.

    Raises:
        InvalidDocument: it has a mistake, which is for its writer to mend.
    """
    if key in parse_profile(data).friends:
        return data
    return _with_friends(data, lambda urls: [*urls, str(DatUrl(key=key))])


def without_friend(data: bytes, key: bytes) -> bytes:
    """Return a profile.json without a friend; what else was written there stays.

    Raises:
        InvalidDocument: it has a mistake, which is for its writer to mend.
    """
    if key not in parse_profile(data).friends:
        return data
    return _with_friends(data, lambda urls: [url for url in urls if parse_dat_url(url).key != key])


def parse_profile(data: bytes) -> Profile:
    """Read profile.json, one's own or somebody else's. Fields it does not know are left alone.

    Raises:
        InvalidDocument: something is missing or has the wrong type; says where.
    """
    document = Document(PROFILE_NAME, data)
    friends: dict[bytes, None] = {}
    for url in document.texts("friends") if document.has("friends") else ():
        try:
            friends[parse_dat_url(url).key] = None
        except InvalidUrl as error:
            document.refuse("friends", str(error))
    return Profile(
        name=document.text("name"),
        created_ms=document.integer("created", minimum=0),
        friends=tuple(friends),
    )


def _with_friends(data: bytes, change: Callable[[list[str]], list[str]]) -> bytes:
    """Change the list of a profile.json that is known to have no mistake."""
    fields = json.loads(data.decode("utf-8-sig"))
    fields["friends"] = change(fields.get("friends", []))
    return f"{json.dumps(fields, indent=2, ensure_ascii=False)}\n".encode()
