"""What several verbs share: `--json`, `--timeout`, and examples in their help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for scripts."
)


def timeout_option(default_s: float, what: str) -> Decorator:
    """`--timeout SECONDS`, the same for every verb that waits."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        default=default_s,
        show_default=True,
        metavar="SECONDS",
        help=f"How long to wait for {what}.",
    )


def examples(*commands: str) -> str:
    """The end of a verb's help: command lines as they are typed."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    as_typed = "\b"  # keeps click from flowing the lines together
    return "\n  ".join([f"{as_typed}\n{title}", *commands])
