"""JavaScript programs of the tests, installed once each and run as child processes.

They are the peers of tests/reference/peer and the strangers of tests/strangers. An installation
lies in the project's `.cache/` under a hash of the lock file and the programs; a lock file beside
it lets several pytest processes ask for it at the same time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import queue
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import trio

from tests.support.requirements import require_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

PROJECT = Path(__file__).resolve().parents[2]
DRIVERS = PROJECT / "tests" / "reference" / "peer"
STRANGERS = PROJECT / "tests" / "strangers"
CACHE = PROJECT / ".cache"
INSTALL_LIMIT_S = 300
NATIVE_SODIUM = "sodium-native@3.4.1"  # the last with a function API near what the peers expect


def node_peers() -> Path:
    """A folder with the drivers and their packages (sodium-javascript: slow, but runs anywhere)."""
    return _installed("node-peers", DRIVERS, _with_packages(DRIVERS))


def strangers() -> Path:
    """A folder with WebRTC programs that know nothing of datfs, and their packages."""
    return _installed("strangers", STRANGERS, _with_packages(STRANGERS))


def native_peers() -> Path:
    """The same with native libsodium, for comparing speed: run drivers with `native=True`."""

    def install(folder: Path) -> None:
        shutil.copytree(node_peers(), folder, symlinks=True, dirs_exist_ok=True)
        _npm(folder, "install", "--no-save", NATIVE_SODIUM)

    return _installed("native-peers", DRIVERS, install)


def _with_packages(source: Path) -> Callable[[Path], None]:
    def install(folder: Path) -> None:
        unwanted = shutil.ignore_patterns("node_modules", "*.py", "__pycache__")
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=unwanted)
        _npm(folder, "ci")

    return install


def _npm(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["npm", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"npm {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def _installed(name: str, source: Path, install: Callable[[Path], None]) -> Path:
    require_command("node", "npm")
    folder = CACHE / f"{name}-{_sources_hash(source)}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for old in CACHE.glob(f"{name}-*"):
                shutil.rmtree(old)
            unfinished = CACHE / f"{name}-unfinished"
            unfinished.mkdir()
            install(unfinished)
            unfinished.rename(folder)
    return folder


def _sources_hash(source: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(source.iterdir()):
        if file.is_file() and file.suffix != ".py":
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


class NodePeer:
    """One running driver; a context manager that ends it.

    Events are the JSON objects that the driver prints. `event` blocks the calling thread, so a trio
    test that serves the other side itself uses `wait_event`.

    Args:
        folder: What `node_peers()` or `native_peers()` gave.
        script: Such as `clone.js`.
        arguments: Of the driver.
        prefix: A command to start it with, such as `Host.prefix` of a network namespace.
        native: Preload native libsodium (needs `native_peers()`).
        environment: Variables for the child in place of the inherited ones.
    """

    def __init__(
        self,
        folder: Path,
        script: str,
        *arguments: str | Path,
        prefix: Sequence[str] = (),
        native: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        preload = ["-r", str(folder / "native.js")] if native else []
        self.process = subprocess.Popen(
            [*prefix, "node", *preload, str(folder / script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if environment is None else dict(environment),
        )
        self.script = script
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._passed_over: list[dict[str, Any]] = []
        self._stderr = b""
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._stderr += line

    def event(self, kind: str, timeout_s: float = 20, **fields: object) -> dict[str, Any]:
        """The next event of a kind whose fields have these values; others before it are kept.

        Raises:
            AssertionError: It did not come in time, or the driver failed or ended.
        """
        for position, event in enumerate(self._passed_over):
            if _matches(event, kind, fields):
                return self._passed_over.pop(position)
        deadline = time.monotonic() + timeout_s
        for event in self._until(deadline):
            if _matches(event, kind, fields):
                return event
            if event["event"] == "fatal":
                raise AssertionError(f"{self.script} failed: {event['message']}")
            self._passed_over.append(event)
        raise AssertionError(
            f"no {kind} {fields or ''} from {self.script} within {timeout_s} s; it said "
            f"{self._passed_over[-5:]} and on stderr {self.stderr[-1000:]!r}"
        )

    def _until(self, deadline: float) -> Iterator[dict[str, Any]]:
        while True:
            try:
                event = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return
            if event is None:
                self._lines.put(None)
                return
            yield event

    async def wait_event(
        self, kind: str, timeout_s: float = 20, **fields: object
    ) -> dict[str, Any]:
        """`event` for trio tests: other tasks run meanwhile."""
        return await trio.to_thread.run_sync(
            lambda: self.event(kind, timeout_s, **fields), abandon_on_cancel=True
        )

    def send(self, command: Mapping[str, object]) -> None:
        """Gives the driver one JSON line on its stdin (`writer.js`)."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    @property
    def stderr(self) -> str:
        """What the driver wrote there so far (deprecation warnings are usual)."""
        return self._stderr.decode(errors="replace")

    def stop(self) -> int:
        """Ends the driver (SIGTERM, SIGKILL after 5 s) and gives its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        return self.process.returncode

    def __enter__(self) -> Self:
        """Gives the running driver."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends it."""
        self.stop()


def _matches(event: Mapping[str, Any], kind: str, fields: Mapping[str, object]) -> bool:
    return event["event"] == kind and all(event.get(key) == fields[key] for key in fields)
