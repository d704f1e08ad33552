"""Going to the background: the parent waits until the child serves, and tells why if it does not.

The fork happens before trio and pyfuse3 start, for neither survives one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from datfs.app.error_record import from_record, to_record
from datfs.errors import DatfsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import RawIOBase
    from pathlib import Path

SERVING = b"serving\n"
MAX_LOG_BYTES = 1024 * 1024  # an older, longer log is put aside when the next mount starts


def run_in_background(serve: Callable[[Callable[[], None]], None], log: Path) -> None:
    """Runs a function in a process of its own and returns once that says it is ready.

    Args:
        serve: Blocks as long as the service lasts; given a function to call when it serves.
        log: Where the child's stdout and stderr go from the moment it serves; what libraries
            print before that is for the terminal.

    Raises:
        DatfsError: Raised by the child before it served; the same class and text.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(serve, log, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        try:
            said = pipe.read()
        except KeyboardInterrupt:
            os.kill(pid, signal.SIGTERM)
            raise
    if said == SERVING:
        return
    _, status = os.waitpid(pid, 0)
    if not said:
        how = os.waitstatus_to_exitcode(status)
        raise DatfsError(f"datfs ended while it started ({how}); its last words stand above")
    raise from_record(json.loads(said))


def _child(serve: Callable[[Callable[[], None]], None], log: Path, writing: int) -> NoReturn:
    code = 1
    parent = open(writing, "wb", buffering=0)  # noqa: SIM115 - closed when all has been said
    try:
        os.setsid()
        serve(lambda: _let_go(log, parent))
        code = 0
    except DatfsError as error:
        code = error.exit_code
        if parent.closed:
            print(f"datfs: {error}", file=sys.stderr)
        else:
            _say(parent, json.dumps(to_record(error)).encode())
    except Exception:
        traceback.print_exc()
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _say(parent: RawIOBase, message: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), parent:  # it may have been killed meanwhile
        parent.write(message)


def _let_go(log: Path, parent: RawIOBase) -> None:
    """Leaves the terminal and the working directory to whoever has them, then tells the parent."""
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.old"))
    sys.stdout.flush()
    sys.stderr.flush()
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(null)
    os.close(output)
    os.chdir("/")
    _say(parent, SERVING)
