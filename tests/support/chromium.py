"""Debian's headless Chromium, driven by the DevTools protocol over a pair of pipes.

Nothing is downloaded and no port is opened: `--remote-debugging-pipe` makes the browser read
commands from descriptor 3 and write answers to descriptor 4, JSON with a zero byte after each.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import subprocess
import time
from typing import TYPE_CHECKING, Any

from tests.support.requirements import require_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

ANSWER_LIMIT_S = 30.0
RECEIVE_BYTES = 64 * 1024
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


class Page:
    """An empty page, in which expressions are evaluated.

    Args:
        commands: descriptor that the browser reads.
        answers: descriptor that it writes.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._received = b""
        self._ids = itertools.count(1)
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def evaluate(self, expression: str, limit_s: float = ANSWER_LIMIT_S) -> Any:  # noqa: ANN401
        """The value of an expression, or of the promise that it is.

        Raises:
            AssertionError: It threw, or no value came in time.
        """
        answer = self._call(
            "Runtime.evaluate",
            limit_s,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            raise AssertionError(f"the page failed: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def _call(
        self, method: str, limit_s: float = ANSWER_LIMIT_S, **params: object
    ) -> Mapping[str, Any]:
        number = next(self._ids)
        command: dict[str, object] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + limit_s
        while True:
            answer = self._receive(deadline, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: Mapping[str, Any] = answer["result"]
                return result

    def _receive(self, deadline: float, awaited: str) -> Mapping[str, Any]:
        while b"\0" not in self._received:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                raise AssertionError(f"Chromium did not answer {awaited} in time")
            received = os.read(self._answers, RECEIVE_BYTES)
            if not received:
                raise AssertionError(f"Chromium ended before it answered {awaited}")
            self._received += received
        message, _, self._received = self._received.partition(b"\0")
        answer: Mapping[str, Any] = json.loads(message)
        return answer


@contextlib.contextmanager
def chromium_page(folder: Path, *, prefix: Sequence[str] = ()) -> Iterator[Page]:
    """A page in a browser of its own, which is ended with the block.

    Args:
        folder: For the browser's profile and what it prints; new for each.
        prefix: A command to start it with, such as `Host.prefix` of a network namespace.
    """
    require_command("chromium")
    folder.mkdir()
    their_commands, commands = os.pipe()
    answers, their_answers = os.pipe()
    # bash puts the pipes where Chromium looks for them, and becomes Chromium
    script = f'exec 3<&{their_commands} 4>&{their_answers} && exec "$@"'
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(os.close, commands)
        cleanup.callback(os.close, answers)
        with (folder / "chromium.log").open("wb") as log:
            browser = subprocess.Popen(
                [*prefix, "bash", "-c", script, "bash", "chromium", *FLAGS,
                 f"--user-data-dir={folder / 'profile'}"],
                pass_fds=(their_commands, their_answers),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(folder)},
            )  # fmt: skip
        os.close(their_commands)
        os.close(their_answers)
        cleanup.callback(_end, browser)
        yield Page(commands, answers)


def _end(browser: subprocess.Popen[bytes]) -> None:
    browser.terminate()
    try:
        browser.wait(5)
    except subprocess.TimeoutExpired:
        browser.kill()
        browser.wait()
