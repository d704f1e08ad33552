"""A store of the test's own, a daemon of fixed answers, and the command run in this process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trio

from datfs.app.control import ControlServer, Params
from datfs.cli import main
from datfs.errors import Timeout
from datfs.store.home import Home

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@dataclass
class Command:
    """Runs `datfs` as a user would, without a process of its own."""

    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        code = ended.value.code
        assert isinstance(code, int)
        return Outcome(code, *self.capture.readouterr())


@dataclass
class Daemon:
    """Answers like a running datfs and remembers what it was asked."""

    answers: dict[str, Any]
    asked: list[tuple[str, Params]] = field(default_factory=list)

    def server(self) -> ControlServer:
        async def events(params: Params) -> AsyncGenerator[Any, None]:
            self.asked.append(("events", params))
            for event in self.answers["events"]:
                yield event

        async def wait(params: Params) -> Any:  # noqa: ANN401 - JSON
            self.asked.append(("wait", params))
            if "wait" not in self.answers:
                raise Timeout("it did not come")
            return self.answers["wait"]

        def answering(verb: str) -> Any:  # noqa: ANN401 - a handler
            async def answer(params: Params) -> Any:  # noqa: ANN401 - JSON
                self.asked.append((verb, params))
                return self.answers[verb]

            return answer

        verbs = ("status", "host", "join", "ban", "friends", "befriend", "peers")
        handlers = {verb: answering(verb) for verb in verbs}
        return ControlServer({**handlers, "events": events, "wait": wait})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("DATFS_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Home.locate()


@pytest.fixture
def run(home: Home, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def daemon(home: Home, tmp_path: Path) -> Iterator[Daemon]:
    """Serves the store from a thread, mounted (so it says) at tmp_path/mnt."""
    made = Daemon({})
    scope = trio.CancelScope()
    tokens: list[trio.lowlevel.TrioToken] = []
    serving = threading.Event()

    async def serve() -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(made.server().serve, home.socket)
                tokens.append(trio.lowlevel.current_trio_token())
                serving.set()

    with home.lock(tmp_path / "mnt"):
        thread = threading.Thread(target=trio.run, args=(serve,))
        thread.start()
        assert serving.wait(10)
        yield made
        tokens[0].run_sync_soon(scope.cancel)
        thread.join(10)
