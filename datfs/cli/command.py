"""The `datfs` command: its verbs, and how errors become one sentence and an exit code.

A verb that asks the running datfs goes over the store's control socket and imports nothing heavy.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import click

import datfs
from datfs.cli.asking import ban, events, friends, host, join, peers, status, wait
from datfs.cli.mounting import init, mount, umount
from datfs.cli.options import examples
from datfs.errors import DatfsError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 128 + signal.SIGINT
FAILED_INPUT_OUTPUT = 74  # EX_IOERR of sysexits.h


class MountWithoutVerb(click.Group):
    """mount(8) calls `datfs SOURCE MOUNTPOINT -o OPTIONS`, so two bare arguments mean mount."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the missing verb in front."""
        bare = [not arg.startswith("-") for arg in args[:2]]
        if bare == [True, True] and args[0] not in self.commands:
            args = ["mount", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=MountWithoutVerb,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "datfs mount ~/dat",
        """echo '{"name": "Foobar", "max_peers": 8}' > ~/dat/me/session.json""",
    ),
)
@click.version_option(datfs.__version__, prog_name="datfs")
def cli() -> None:
    """Mount Dat archives as directories, and meet people through files in them."""


for command in (mount, umount, init, status, host, join, ban, friends, wait, events, peers):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and ends the process.

    Args:
        arguments: Without the program's name; None takes those of the process.
    """
    try:
        code = cli.main(
            None if arguments is None else list(arguments), "datfs", standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DatfsError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        sys.exit(FAILED_INPUT_OUTPUT)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(sentence: str) -> None:
    click.echo(f"datfs: {sentence}", err=True)
