"""session.json: that a person hosts a session, and which (design section 7).

A person writes a `SessionRequest`, `{"name": "Foobar", "max_peers": 8}`; the daemon completes it to
a `Session`, which others read. When it is written anew is decided in `heartbeat`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Final

from datfs.encoding.dat_url import DatUrl, parse_dat_url
from datfs.errors import InvalidUrl
from datfs.identity.document import Document

SESSION_NAME: Final = "session.json"

DEFAULT_MAX_PEERS: Final = 8

MAX_PEERS_LIMIT: Final = 256
"""Each peer needs a connection of its own, and a process holds 512 (design section 13)."""

_FIELDS: Final = frozenset({"name", "url", "last_update", "peers", "max_peers", "protected"})


class Carrier(Enum):
    """What a lobby is made of; readers of a session see it at the lobby itself."""

    ARCHIVE = "archive"
    LOG = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """What a person wrote into session.json.

    Attributes:
        name: the session's public name.
        max_peers: how many peers may be connected at once, the host not counted.
        protected: whether connecting needs a password; the password itself is never in the file.
        carrier: what the lobby is to be made of; no field of the complete session.json.
        ignored: names of fields that session.json does not have; completing it drops them.
    """

    name: str
    max_peers: int = DEFAULT_MAX_PEERS
    protected: bool = False
    carrier: Carrier = Carrier.ARCHIVE
    ignored: tuple[str, ...] = ()

    def complete(self, *, lobby_key: bytes, last_update_ms: int, peers: int) -> Session:
        """Return the whole session; the daemon's own fields win over what was written for them."""
        return Session(
            name=self.name,
            url=DatUrl(key=lobby_key),
            last_update_ms=last_update_ms,
            peers=peers,
            max_peers=self.max_peers,
            protected=self.protected,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A complete session.json.

    Attributes:
        name: the session's public name.
        url: the lobby.
        last_update_ms: the host's last sign of life, milliseconds since 1970 by its clock.
        peers: how many peers are connected, the host not counted.
        max_peers: how many may be.
        protected: whether connecting needs a password.
    """

    name: str
    url: DatUrl
    last_update_ms: int
    peers: int
    max_peers: int
    protected: bool

    def encode(self) -> bytes:
        """Return session.json's bytes: exactly its six fields, readable, a newline at the end."""
        fields = {
            "name": self.name,
            "url": str(self.url),
            "last_update": self.last_update_ms,
            "peers": self.peers,
            "max_peers": self.max_peers,
            "protected": self.protected,
        }
        return f"{json.dumps(fields, indent=2, ensure_ascii=False)}\n".encode()


def parse_request(data: bytes) -> SessionRequest:
    """Read what a person wrote into their own session.json.

    `name` must be there; fields that the daemon fills in may be, and must then have their type.

    Raises:
        InvalidDocument: says where the mistake is.
    """
    document = Document(SESSION_NAME, data)
    name = document.text("name")
    max_peers = DEFAULT_MAX_PEERS
    if document.has("max_peers"):
        max_peers = document.integer("max_peers", minimum=1, maximum=MAX_PEERS_LIMIT)
    if document.has("url"):
        document.text("url")
    for number in ("last_update", "peers"):
        if document.has(number):
            document.integer(number, minimum=0)
    carrier = Carrier.ARCHIVE
    if document.has("carrier"):
        try:
            carrier = Carrier(document.text("carrier"))
        except ValueError:
            document.refuse("carrier", 'it is neither "archive" nor "log"')
    return SessionRequest(
        name=name,
        max_peers=max_peers,
        protected=document.has("protected") and document.boolean("protected"),
        carrier=carrier,
        ignored=document.unknown(_FIELDS | {"carrier"}),
    )


def parse_session(data: bytes) -> Session:
    """Read somebody's complete session.json, or one's own after a restart.

    Raises:
        InvalidDocument: a field is missing or has the wrong type; says where.
    """
    document = Document(SESSION_NAME, data)
    try:
        url = parse_dat_url(document.text("url"))
    except InvalidUrl as error:
        document.refuse("url", str(error))
    return Session(
        name=document.text("name"),
        url=url,
        last_update_ms=document.integer("last_update", minimum=0),
        peers=document.integer("peers", minimum=0),
        max_peers=document.integer("max_peers", minimum=1),
        protected=document.boolean("protected"),
    )
