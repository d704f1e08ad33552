"""The story of README.md, played: two mounts, a session, an offer, messages both ways.

Each person is a real shell with a home of their own; what it is given to do is printed as typed,
and what comes out is what datfs answered. Ends with 0 if every step held; cleans up in any case.
With `--log` the lobby is a log and no archive; nothing else is different.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datfs.fs.kernel import find_mount
from datfs.store.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STEP_S = 30.0
DEFAULT_PORT = 3282
END_OF_STEP = "end-of-step-7f3a:"
Json = dict[str, Any]

BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


class StepFailed(Exception):
    """A step of the story did not go as told."""


def tell(text: str) -> None:
    """Prints what happens next."""
    print(f"\n{BOLD}# {text}{PLAIN}", flush=True)


class Person:
    """Somebody at a shell, with nothing but datfs.

    Args:
        name: Their prompt.
        folder: Their home; the mountpoint is ~/dat.
        prefix: Enters their network, if they have one of their own.
        address: Where others reach them.
        port: Where their datfs listens.
    """

    def __init__(
        self, name: str, folder: Path, prefix: Sequence[str], address: str, port: int
    ) -> None:
        self.name = name
        self.mountpoint = folder / "dat"
        self.address = address
        self.port = port
        self.mountpoint.mkdir(parents=True)
        kept = {key: value for key, value in os.environ.items() if not _is_setting(key)}
        tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**kept, "HOME": str(folder), "PATH": tools}
        self._shell = subprocess.Popen(
            [*prefix, "bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=self.environment,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._heard: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def types(self, command: str, limit_s: float = STEP_S) -> str:
        """Runs a command in the shell and gives what it printed.

        Raises:
            StepFailed: It failed, or did not end in time.
        """
        print(f"{BOLD}{self.name:>5}$ {command}{PLAIN}", flush=True)
        assert self._shell.stdin is not None
        # nothing may read what is meant for the shell
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null; printf '{END_OF_STEP}%s\\n' $?\n")
        self._shell.stdin.flush()
        output: list[str] = []
        for line in self._until(time.monotonic() + limit_s):
            said, end, code = line.partition(END_OF_STEP)
            if said or not end:
                output.append(self._show(said))
            if end and code.strip() != "0":
                raise StepFailed(f"`{command}` ended with {code.strip()}")
            if end:
                return "\n".join(output)
        raise StepFailed(f"`{command}` did not end within {limit_s:g} s")

    def hears(self, text: str, limit_s: float = STEP_S) -> None:
        """Waits for a line from a command that runs in the background.

        Raises:
            StepFailed: It did not come.
        """
        if text in self._heard:
            return
        for line in self._until(time.monotonic() + limit_s):
            if self._show(line.rstrip("\n")) == text:
                return
        raise StepFailed(f"{self.name} did not hear {text!r} within {limit_s:g} s")

    def reads(self, path: str, accept: Callable[[Json], bool], limit_s: float = STEP_S) -> Json:
        """Types `cat` until the JSON in a file is as it should be.

        Raises:
            StepFailed: It never was.
        """
        deadline = time.monotonic() + limit_s
        file = self.mountpoint / path
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                if accept(json.loads(file.read_text())):
                    break
            time.sleep(0.1)
        content: Json = json.loads(self.types(f"cat ~/dat/{path}"))
        if not accept(content):
            raise StepFailed(f"{path} is not as it should be")
        return content

    def leaves(self) -> None:
        """Ends the shell, and the mount if that is still there."""
        home = Home.locate({**self.environment, "DATFS_HOME": str(self._store)})
        holder = home.holder()
        if find_mount(self.mountpoint) is not None:
            subprocess.run(["fusermount3", "-uz", str(self.mountpoint)], check=False, timeout=10)
        if holder is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        self._reader.join(5)

    def shows_log(self) -> None:
        """Prints what their datfs logged."""
        log = self._store / "log"
        if log.exists() and log.stat().st_size:
            print(f"--- {self.name}'s log ---\n{log.read_text()}", flush=True)

    @property
    def _store(self) -> Path:
        return self.mountpoint.parent / ".local" / "share" / "datfs"

    def _until(self, deadline: float) -> Iterator[str]:
        while True:
            try:
                yield self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._lines.put(line)

    def _show(self, line: str) -> str:
        line = line.rstrip("\n")
        print(f"{'':>5}  {line}", flush=True)
        self._heard.append(line)
        return line


def _is_setting(variable: str) -> bool:
    return variable == "DATFS_HOME" or (variable.startswith("XDG_") and variable.endswith("_HOME"))


def play(host: Person, guest: Person, carrier: str) -> None:
    """The story.

    Args:
        host: Opens a session.
        guest: Joins it.
        carrier: What its lobby is made of, "archive" or "log".

    Raises:
        StepFailed: It went otherwise.
    """
    here = "" if host.port == DEFAULT_PORT else f" --port {host.port}"
    tell("The host mounts. The first mount makes the identity and its profile.json.")
    host.types(f"datfs mount --no-lan --no-dht{here} ~/dat")
    host.types("ls -l ~/dat/me")
    host.types("cat ~/dat/me/profile.json")

    tell("Writing session.json opens a session; after the write it is complete.")
    request = {"name": "Foobar", "max_peers": 8}
    if carrier != "archive":
        request["carrier"] = carrier
    host.types(f"""echo '{json.dumps(request)}' > ~/dat/me/session.json""")
    session = json.loads(host.types("cat ~/dat/me/session.json"))
    expected = {"name", "url", "last_update", "peers", "max_peers", "protected"}
    if session.keys() != expected or session["peers"] != 0:
        raise StepFailed("session.json was not completed")
    host_key = host.types("cat ~/dat/.datfs/identity")

    tell("The host tells the guest this key, and where to dial. The guest mounts.")
    peer = f"--peer {host.address}:{host.port}"
    guest.types(f"datfs mount --no-lan --no-dht {peer} ~/dat")
    guest.types(f"HOST={host_key}")

    tell("Looking a key up replicates it.")
    guest.reads(f"dat/{host_key}/profile.json", lambda profile: "name" in profile)
    seen = guest.reads(f"dat/{host_key}/session.json", lambda seen: "url" in seen)
    found = re.search("[0-9a-f]{64}", seen["url"])
    if seen["url"] != session["url"] or found is None:
        raise StepFailed("the guest sees another session than the host's")

    tell("Writing an offer file is all that is asked of a person.")
    guest.types(f"L=~/dat/lobby/{found[0]}; ME=$(cat ~/dat/.datfs/identity)")
    guest.types("cat $L/new-offer > $L/$ME.offer.bin")
    started = time.monotonic()
    guest.types("datfs wait $L/peers/$HOST/in")
    guest_key = guest.types("echo $ME")

    tell("The host reads what the guest says ...")
    host.types(f"L=~/dat/lobby/{found[0]}; GUEST={guest_key}")
    host.types("datfs wait $L/peers/$GUEST/out")
    host.types("cat $L/peers/$GUEST/out &")
    guest.types("echo hello > $L/peers/$HOST/in")
    host.hears("hello")
    tell(f"{time.monotonic() - started:.1f} s after the offer. And the other way round ...")
    guest.types("cat $L/peers/$HOST/out &")
    host.types("echo 'hello yourself' > $L/peers/$GUEST/in")
    guest.hears("hello yourself")
    guest.types("seq -f 'line %g' 3 > $L/peers/$HOST/in")
    for n in range(1, 4):
        host.hears(f"line {n}")

    tell("The session counts its peers, within 10 s: each update is a version of an archive.")
    host.reads("me/session.json", lambda now: now["peers"] == 1)
    guest.types("cat $L/peers/$HOST/state")

    tell("Removing session.json ends the session; unmounting ends datfs.")
    host.types("rm ~/dat/me/session.json")
    guest.types("datfs umount ~/dat")
    host.types("datfs umount ~/dat")
    for person in (host, guest):
        if find_mount(person.mountpoint) is not None:
            raise StepFailed(f"{person.name}'s mount is still there")


@contextlib.contextmanager
def networks() -> Iterator[tuple[Sequence[str], Sequence[str], str, int]]:
    """Prefixes that enter the host's and the guest's network, and where the host listens."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
        tell("Both use this machine's own address (networks of their own need root and iproute2).")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        yield [], [], "127.0.0.1", port
        return
    names = [f"datfs-demo-{os.getpid()}-{who}" for who in ("host", "guest")]
    with contextlib.ExitStack() as cleanup:
        for name in names:
            _ip("netns", "add", name)
            cleanup.callback(_ip, "netns", "delete", name)
        cable = ["link", "add", "eth0", "netns", names[0], "type", "veth"]
        _ip(*cable, "peer", "name", "eth0", "netns", names[1])
        for number, name in enumerate(names, 1):
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
        tell("Each person has a network of their own, joined by a cable.")
        # `ip netns exec` would also hide the mounts from this process
        host, guest = (["nsenter", f"--net=/run/netns/{name}", "--"] for name in names)
        yield host, guest, "10.77.0.1", DEFAULT_PORT


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def main(carrier: str) -> int:
    """Plays the story and cleans up.

    Args:
        carrier: What the lobby is made of.

    Returns:
        The exit code.
    """
    folder = Path(tempfile.mkdtemp(prefix="datfs-demo-"))
    people: list[Person] = []
    try:
        with contextlib.ExitStack() as end:
            host_network, guest_network, address, port = end.enter_context(networks())
            for name, prefix in (("host", host_network), ("guest", guest_network)):
                people.append(Person(name, folder / name, prefix, address, port))
                end.callback(people[-1].leaves)
            play(people[0], people[1], carrier)
    except StepFailed as failure:
        print(f"\ndemo: FAILED: {failure}", flush=True)
        for person in people:
            person.shows_log()
        return 1
    finally:
        # never below a mount that is still there: those are somebody's files
        if not any(find_mount(person.mountpoint) for person in people):
            shutil.rmtree(folder)
    print("\ndemo: every step held, and everything is cleaned up")
    return 0


sys.exit(main("log" if "--log" in sys.argv[1:] else "archive"))
