"""What several verbs share: `--json`, `--timeout`, passwords, and examples in their help."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, BinaryIO

import click

from datfs.lobby.password import PASSWORD_LIMIT_BYTES, parse_password

READ_LIMIT_BYTES = 4 * PASSWORD_LIMIT_BYTES  # what is cut off there is no password in any case

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


def password_options(*, confirm: bool) -> Decorator:
    """`--password` asks on the terminal, `--password-file` reads a file: never from the arguments.

    The verb is given one `password`, checked, or None.

    Args:
        confirm: Whether it is asked for twice, because nobody else would notice a slip.
    """

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        @click.option("--password", "ask", is_flag=True, help="Ask for the session's password.")
        @click.option(
            "--password-file",
            "file",
            type=click.File("rb"),
            metavar="FILE",
            help="Read the session's password from a file; - is standard input.",
        )
        @functools.wraps(verb)
        def with_password(
            *args: Any,  # noqa: ANN401 - whatever the verb takes
            ask: bool,
            file: BinaryIO | None,
            **kwargs: Any,  # noqa: ANN401
        ) -> Any:  # noqa: ANN401
            if ask and file is not None:
                raise click.UsageError("give --password or --password-file, not both")
            written = None if file is None else file.read(READ_LIMIT_BYTES)
            if ask:
                typed = click.prompt("Password", hide_input=True, confirmation_prompt=confirm)
                written = str(typed).encode()
            password = None if written is None else parse_password(written).decode()
            return verb(*args, password=password, **kwargs)

        return with_password

    return decorate


def examples(*commands: str) -> str:
    """The end of a verb's help: command lines as they are typed."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    as_typed = "\b"  # keeps click from flowing the lines together
    return "\n  ".join([f"{as_typed}\n{title}", *commands])
