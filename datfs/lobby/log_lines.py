"""`signals.log`: the entries of a lobby's logs as lines of JSON, and lines that make entries.

    {"log": "…64 hex", "seq": 3, "type": "offer", "guest": "…64 hex",
     "cause": {"log": "…64 hex", "seq": 1}, "signal": {"type": "offer", "sdp": "v=0…"}}

`signal` is the object that the signal file holds, its text if that is no JSON, or `bytes` in base64
if it is no text; a writer's record has `writer` and `state` instead. A line that is appended names
its `type`, a host's answer its `guest` too; the signal stands in `signal`, or is the line itself
without the fields of the envelope, so that what a browser gives can be appended as it is.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from datfs.errors import InvalidSignal, NotYours
from datfs.lobby.log_records import RecordKind
from datfs.lobby.names import BEACON_NAME, answer_name, offer_name
from datfs.lobby.seal import is_sealed
from datfs.lobby.writers import parse_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.lobby.log_carrier import LogCarrier
    from datfs.lobby.log_reading import Entry
    from datfs.lobby.log_records import Position, Record

_ENVELOPE: Final = frozenset({"log", "seq", "guest", "cause"})


def line_of(entry: Entry) -> bytes:
    """Return an entry as a line, with its newline."""
    (log, sequence), record = entry
    fields: dict[str, Any] = {
        "log": log.hex(),
        "seq": sequence,
        "type": record.kind.name.lower(),
    }
    if record.guest:
        fields["guest"] = record.guest.hex()
    if record.cause is not None:
        fields["cause"] = {"log": record.cause.log.hex(), "seq": record.cause.sequence}
    if record.kind is RecordKind.WRITER:
        written = parse_record(record.signal)
        fields |= {"writer": written.writer.hex(), "state": written.state.value}
    elif record.kind is not RecordKind.GONE:
        fields |= _shown(record.signal)
    return f"{json.dumps(fields)}\n".encode()


@dataclass(frozen=True, slots=True)
class LineRequest:
    """What an appended line asks for.

    Attributes:
        name: the signal file that it is about.
        signal: the file's bytes; None to take it back.
    """

    name: str
    signal: bytes | None


def parse_lines(text: bytes, *, guest: bytes | None) -> list[LineRequest]:
    """Read lines that were appended.

    Args:
        text: one line or more.
        guest: identity key of who appends, None for the host.

    Raises:
        InvalidSignal: a line is no JSON object, or lacks what its type needs.
        NotYours: it is an entry that somebody else writes.
    """
    return [_parse_line(line, guest) for line in text.splitlines() if line.strip()]


def _parse_line(line: bytes, guest: bytes | None) -> LineRequest:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidSignal("this is no line of signals.log: it is no JSON") from None
    if not isinstance(fields, dict):
        raise InvalidSignal("this is no line of signals.log: it is no JSON object")
    named = _guest(fields)
    match fields.get("type"):
        case "host" if guest is None:
            return LineRequest(BEACON_NAME, _signal({**fields, "type": "offer"}))
        case "offer" if guest is not None and named in (None, guest):
            return LineRequest(offer_name(guest), _signal(fields))
        case "answer" if guest is None:
            if named is None:
                raise InvalidSignal('this answer lacks its "guest", the identity key in hex')
            return LineRequest(answer_name(named), _signal(fields))
        case "gone" if guest is not None and named in (None, guest):
            return LineRequest(offer_name(guest), None)
        case "gone" if guest is None:
            return LineRequest(BEACON_NAME if named is None else answer_name(named), None)
        case "host" | "offer" | "answer" | "writer" | "gone" as kind:
            raise NotYours(f"an entry of the type {kind} is not yours to write here")
        case _:
            raise InvalidSignal('its "type" is none of host, offer, answer and gone')


def _guest(fields: dict[str, Any]) -> bytes | None:
    value = fields.get("guest")
    if value is None:
        return None
    try:
        guest = bytes.fromhex(value)
    except (TypeError, ValueError):
        guest = b""
    if len(guest) != 32 or guest.hex() != value:
        raise InvalidSignal('its "guest" is no identity key of 64 small hex digits')
    return guest


def _signal(fields: dict[str, Any]) -> bytes:
    match fields.get("signal"):
        case None:
            signal = {name: value for name, value in fields.items() if name not in _ENVELOPE}
            return f"{json.dumps(signal)}\n".encode()
        case str() as text:
            return text.encode(errors="surrogatepass")
        case dict() as signal:
            return f"{json.dumps(signal)}\n".encode()
        case _:
            raise InvalidSignal('its "signal" is neither an object nor a text')


def _shown(signal: bytes) -> dict[str, Any]:
    try:
        text = signal.decode()
    except UnicodeDecodeError:
        return {"bytes": base64.b64encode(signal).decode()}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"signal": text}
    return {"signal": value if isinstance(value, dict) else text}


class LogLines:
    """`signals.log` of one lobby.

    Who opens it sees all entries in their one order; while it is open, what comes later is added at
    its end, in an order that is causal too, so that `tail -f` follows it. The length is the same
    whatever the order.

    Args:
        carrier: of the lobby.
        shown: gives the text of a record's signal where we are one of its two ends, else what is
            stored.
    """

    def __init__(
        self,
        carrier: LogCarrier,
        *,
        shown: Callable[[Record], bytes] = lambda record: record.signal,
    ) -> None:
        self.carrier = carrier
        self._shown = shown
        self._lines: dict[Position, bytes] = {}
        self._sealed: set[Position] = set()  # whose text we could not tell
        self._version = -1
        self._byte_length = 0

    @property
    def byte_length(self) -> int:
        """Bytes of all lines."""
        self._refresh()
        return self._byte_length

    def open(self) -> OpenLines:
        """Begin to read."""
        return OpenLines(self)

    def lines(self) -> dict[Position, bytes]:
        """Return all lines in their order, by position."""
        self._refresh()
        return self._lines

    def look_again(self) -> None:
        """Try anew to tell the text of what is sealed: we have become one of its ends."""
        self._version = -1

    def _refresh(self) -> None:
        if self._version == self.carrier.version:
            return
        self._version = self.carrier.version
        known = self._lines
        self._lines = {
            entry.position: known[entry.position]
            if entry.position in known and entry.position not in self._sealed
            else self._line_of(entry)
            for entry in self.carrier.entries()
        }
        self._byte_length = sum(map(len, self._lines.values()))

    def _line_of(self, entry: Entry) -> bytes:
        signal = self._shown(entry.record)
        if is_sealed(signal):
            self._sealed.add(entry.position)
        else:
            self._sealed.discard(entry.position)
        return line_of(entry._replace(record=replace(entry.record, signal=signal)))


class OpenLines:
    """The file as one reader sees it: it only grows."""

    def __init__(self, file: LogLines) -> None:
        self._file = file
        self._shown: set[Position] = set()
        self._text = bytearray()

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes from an offset; fewer at the end, which may have grown since."""
        for position, line in self._file.lines().items():
            if position not in self._shown:
                self._shown.add(position)
                self._text += line
        return bytes(self._text[offset : offset + size])
