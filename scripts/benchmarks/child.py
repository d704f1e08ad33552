"""A child process that is talked to in lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Child:
    """A running child; a context manager that ends it.

    Args:
        command: What is run.
        environment: Variables besides the inherited ones.
    """

    def __init__(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> None:
        self._name = " ".join(map(str, command))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )

    def tell(self, message: Mapping[str, Any]) -> None:
        """Writes a line to the child."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self, kind: str | None = None) -> dict[str, Any]:
        """The next line that the child writes, or the next event of a kind.

        Raises:
            RuntimeError: It ended first.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message: dict[str, Any] = json.loads(line)
            if kind is None or message["event"] == kind:
                return message
        raise RuntimeError(f"{self._name} ended with {self._process.wait()}")

    def __enter__(self) -> Self:
        """Gives the running child."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
