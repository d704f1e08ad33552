"""What commands print: JSON for scripts, plain lines for people.

Texts may come from peers, so nothing reaches the terminal that could steer it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def show(value: Any, *, as_json: bool, lines: Callable[[Any], Iterator[str]]) -> None:  # noqa: ANN401
    """Prints an answer.

    Args:
        value: JSON.
        as_json: Print it as that; else as what `lines` makes of it.
        lines: The form for people.
    """
    if as_json:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
        return
    for line in lines(value):
        click.echo(printable(line))


def show_event(event: dict[str, Any], *, as_json: bool) -> None:
    """Prints an event on one line, at once."""
    if as_json:
        click.echo(json.dumps(event, ensure_ascii=False))
        return
    fields = " ".join(
        f"{name}={_word(value)}"
        for name, value in event.items()
        if name not in {"n", "time", "event"}
    )
    click.echo(printable(f"{event['n']} {event['event']} {fields}".rstrip()))


def outline(value: Any, indent: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Nested JSON as indented lines, `key: value`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, (dict, list)) and inner:
                yield f"{indent}{key}:"
                yield from outline(inner, indent + "  ")
            else:
                yield f"{indent}{key}: {_word(inner)}"
    elif isinstance(value, list):
        for inner in value:
            first, *rest = list(outline(inner, indent + "  ")) or ["-"]
            yield f"{indent}- {first.lstrip()}"
            yield from rest
    else:
        yield f"{indent}{_word(value)}"


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Rows with the same keys as columns under their names."""
    if not rows:
        return
    names = list(rows[0])
    cells = [names, *([_word(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(padded).rstrip()


def printable(text: str) -> str:
    """The text with control characters shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _word(value: Any) -> str:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ([], {}):
        return "-"
    return json.dumps(value, ensure_ascii=False)
