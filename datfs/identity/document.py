"""A JSON object that a person may have written by hand, read so that mistakes can be pointed at.

profile.json and session.json share this reading; what their fields mean stands in `profile` and
`session`. Whatever is wrong is an `InvalidDocument` that names document, line and field.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NoReturn

from datfs.errors import InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZE_LIMIT_BYTES: Final = 1024 * 1024
"""The largest document that is read: 10,000 friends, and no stranger's gigabyte."""

INTEGER_LIMIT: Final = 1 << 53
"""Whole numbers stay below this, for JavaScript reads these files too."""

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|\n')
_SHOWN_LENGTH: Final = 40


class Document:
    """The top-level object of a JSON document, with typed access to its fields."""

    def __init__(self, name: str, data: bytes) -> None:
        """Read a document.

        Args:
            name: the document's name, for messages.
            data: the file's bytes; UTF-8, with or without a byte order mark.

        Raises:
            InvalidDocument: it is too large, not UTF-8, not JSON, or not an object.
        """
        self._name = name
        if len(data) > SIZE_LIMIT_BYTES:
            self._refuse("size", f"{len(data)} bytes are more than the {SIZE_LIMIT_BYTES} allowed")
        try:
            self._text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self._refuse(f"line {line}", "this is not UTF-8 text")
        try:
            value = json.loads(self._text, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            what = error.msg.removesuffix(" at")
            self._refuse(f"line {error.lineno}, column {error.colno}", f"no JSON: {what}")
        except ValueError as error:  # a constant that JSON lacks, or an endless number
            self._refuse("a number", str(error))
        except RecursionError:
            self._refuse("brackets", "nested too deeply")
        if not isinstance(value, dict):
            self._refuse("line 1", "this must be a JSON object, {...}")
        self._fields: Mapping[str, object] = value

    def unknown(self, known: frozenset[str]) -> tuple[str, ...]:
        """Return the names of fields that are not in `known`, as written."""
        return tuple(field for field in self._fields if field not in known)

    def has(self, field: str) -> bool:
        """Tell whether the field is there, with whatever value."""
        return field in self._fields

    def text(self, field: str) -> str:
        """Return a field that must be a non-empty string of real characters.

        Raises:
            InvalidDocument: it is missing or something else.
        """
        value = self._value(field)
        if not isinstance(value, str) or not value.strip():
            self.refuse(field, f"must be a text, not {_shown(value)}")
        return self._encodable(field, value)

    def texts(self, field: str) -> list[str]:
        """Return a field that must be a list of strings.

        Raises:
            InvalidDocument: it is missing or something else.
        """
        value = self._value(field)
        if not isinstance(value, list):
            self.refuse(field, f"must be a list, not {_shown(value)}")
        texts: list[str] = []
        for number, item in enumerate(value, 1):
            if not isinstance(item, str):
                self.refuse(field, f"entry {number} must be a text, not {_shown(item)}")
            texts.append(self._encodable(field, item))
        return texts

    def integer(self, field: str, *, minimum: int, maximum: int = INTEGER_LIMIT - 1) -> int:
        """Return a field that must be a whole number between `minimum` and `maximum`.

        Raises:
            InvalidDocument: it is missing or something else.
        """
        value = self._value(field)
        if type(value) is not int or not minimum <= value <= maximum:
            upto = "" if maximum == INTEGER_LIMIT - 1 else f" to {maximum}"
            self.refuse(field, f"must be a whole number from {minimum}{upto}, not {_shown(value)}")
        return value

    def boolean(self, field: str) -> bool:
        """Return a field that must be true or false.

        Raises:
            InvalidDocument: it is missing or something else.
        """
        value = self._value(field)
        if not isinstance(value, bool):
            self.refuse(field, f"must be true or false, not {_shown(value)}")
        return value

    def refuse(self, field: str, mistake: str) -> NoReturn:
        """Say that a field is wrong.

        Raises:
            InvalidDocument: always, with the line on which the field stands.
        """
        line = self._line_of(field)
        self._refuse(f"field {field}" if line is None else f"line {line}, field {field}", mistake)

    def _value(self, field: str) -> object:
        if field not in self._fields:
            self.refuse(field, "is missing")
        return self._fields[field]

    def _encodable(self, field: str, value: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self.refuse(field, "holds half of a surrogate pair")
        return value

    def _line_of(self, field: str) -> int | None:
        """Find the line of a top-level field: the last one of that name, as JSON counts it."""
        depth, line, found = 0, 1, None
        name: str | None = None
        for token in _TOKEN.findall(self._text):
            match token:
                case "\n":
                    line += 1
                    continue
                case "{" | "[":
                    depth += 1
                case "}" | "]":
                    depth -= 1
                case ":" if depth == 1 and name == field:
                    found = line
            name = json.loads(token, strict=False) if token[0] == '"' else None
        return found

    def _refuse(self, where: str, mistake: str) -> NoReturn:
        raise InvalidDocument(self._name, where, mistake)


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
