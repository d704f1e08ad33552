"""A datfs error as JSON: over the control socket, and from a child that failed to start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datfs import errors
from datfs.errors import DatfsError

if TYPE_CHECKING:
    from collections.abc import Mapping


def to_record(error: DatfsError) -> dict[str, str]:
    """Its class by name, and its text."""
    return {"kind": type(error).__name__, "message": str(error)}


def from_record(record: Mapping[str, Any]) -> DatfsError:
    """The error as an instance of its own class, so that exit codes and `except` work.

    Constructors make the text out of fields, and here the text is all there is: they are passed by,
    and the fields are missing. A class that this version does not know becomes a plain DatfsError.
    """
    named = getattr(errors, str(record["kind"]), None)
    kind = named if isinstance(named, type) and issubclass(named, DatfsError) else DatfsError
    return kind.__new__(kind, record["message"])  # BaseException keeps the arguments of __new__
