"""The recorded conversations of two JavaScript peers, as values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datfs.wire import messages as m
from datfs.wire.handshake import HandshakeOptions

VECTORS = Path(__file__).parents[1] / "reference" / "vectors"
NAMES = ("wire-live", "wire-end", "wire-sparse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    sender: str
    cipher: bytes
    channel: int
    message: m.Feed | m.Handshake | m.FeedMessage | m.Extension | None
    """None: a keep-alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    name: str
    keys: tuple[bytes, ...]
    chunks: tuple[Chunk, ...]

    @property
    def sides(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(chunk.sender for chunk in self.chunks))

    def other(self, side: str) -> str:
        return next(each for each in self.sides if each != side)

    def cipher_of(self, side: str) -> bytes:
        return b"".join(chunk.cipher for chunk in self.chunks if chunk.sender == side)

    def nonce_of(self, side: str) -> bytes:
        first = next(chunk.message for chunk in self.chunks if chunk.sender == side)
        assert isinstance(first, m.Feed)
        assert first.nonce is not None
        return first.nonce

    def handshake_of(self, side: str) -> HandshakeOptions:
        said = next(
            chunk.message
            for chunk in self.chunks
            if chunk.sender == side and isinstance(chunk.message, m.Handshake)
        )
        assert said.id is not None
        return HandshakeOptions(
            id=said.id,
            live=said.live,
            extensions=said.extensions,
            user_data=said.user_data,
            ack=said.ack,
        )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def message_from_fields(name: str, fields: dict[str, Any]) -> m.Feed | m.Handshake | m.FeedMessage:
    """Turn a vector's fields, in JavaScript's names, into our message."""
    match name:
        case "Feed":
            return m.Feed(bytes.fromhex(fields["discoveryKey"]), _bytes(fields.get("nonce")))
        case "Handshake":
            return m.Handshake(
                id=bytes.fromhex(fields["id"]),
                live=fields["live"],
                user_data=_bytes(fields["userData"]),
                extensions=tuple(fields["extensions"]),
                ack=fields["ack"],
            )
        case "Info":
            return m.Info(fields["uploading"], fields["downloading"])
        case "Have":
            return m.Have(
                fields["start"],
                fields.get("length", 1),
                _bytes(fields.get("bitfield")),
                fields.get("ack", False),
            )
        case "Unhave":
            return m.Unhave(fields["start"], fields.get("length", 1))
        case "Want":
            return m.Want(fields["start"], fields["length"])
        case "Unwant":
            return m.Unwant(fields["start"], fields["length"])
        case "Request":
            return m.Request(fields["index"], fields["bytes"], fields["hash"], fields["nodes"])
        case "Cancel":
            return m.Cancel(fields["index"], fields["bytes"], fields["hash"])
        case "Data":
            return m.Data(
                fields["index"],
                _bytes(fields["value"]),
                tuple(
                    m.ProofNode(node["index"], bytes.fromhex(node["hash"]), node["size"])
                    for node in fields["nodes"]
                ),
                _bytes(fields["signature"]),
            )
    raise AssertionError(f"the vectors have an unknown message {name}")


def _chunk(row: dict[str, Any]) -> Chunk:
    said = row["message"]
    message: m.Feed | m.Handshake | m.FeedMessage | m.Extension | None
    if "keepAlive" in said:
        message = None
    elif said["type"] == m.Extension.TYPE:
        message = m.Extension(int(said["index"]), bytes.fromhex(said["payload"]))
    else:
        message = message_from_fields(said["name"], said["fields"])
    return Chunk(
        sender=row["from"],
        cipher=bytes.fromhex(row["cipher"]),
        channel=said.get("channel", 0),
        message=message,
    )


def load(name: str) -> Transcript:
    recorded = json.loads((VECTORS / f"{name}.json").read_text())
    keys = [recorded["key"]]
    if name != "wire-sparse":
        # Both others replicate one archive; only one of them names its content key.
        keys.append(json.loads((VECTORS / "wire-live.json").read_text())["contentKey"])
    return Transcript(
        name=name,
        keys=tuple(map(bytes.fromhex, keys)),
        chunks=tuple(map(_chunk, recorded["chunks"])),
    )
