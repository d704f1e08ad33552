"""A protected session between two real mounts in two networks, through the command and by files."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.mounts import mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.mounts import Mount
    from tests.support.netns import Host

pytestmark = pytest.mark.timeout(180)

SECRET = "correct horse battery staple"
WITHIN_S = 30.0
ALONE = ("--no-lan", "--no-dht")

# a guest that learns the host's share and leaves
BREAKING_OFF = """
import sys
from datfs.errors import ChannelClosed
from datfs.lobby import proving

async def break_off(channel, exchange, compute):
    await channel.receive()
    raise ChannelClosed("this is as far as we go")

proving.converse = break_off
from datfs.cli import main
main(sys.argv[1:])
"""


class People(NamedTuple):
    host: Mount
    guest: Mount


@pytest.fixture
def people(two_hosts: list[Host], tmp_path: Path) -> Iterator[People]:
    with ExitStack() as stack:
        host, guest = two_hosts
        hosting = stack.enter_context(mounted(tmp_path / "host", *ALONE, host=host))
        dialling = ("--peer", f"{host.address}:3282")
        joining = stack.enter_context(mounted(tmp_path / "guest", *ALONE, *dialling, host=guest))
        yield People(hosting, joining)


def secret_file(mount: Mount, text: str = SECRET) -> Path:
    file = mount.home.parent / "password"
    file.write_text(f"{text}\n")
    return file


def soon(get: Callable[[], str], wanted: Callable[[str], bool]) -> str:
    deadline = time.monotonic() + WITHIN_S
    found = ""
    while time.monotonic() < deadline:
        try:
            found = get()
        except OSError as error:
            found = str(error)
        if wanted(found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"still {found!r}")


def session(mount: Mount) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((mount.path / "me" / "session.json").read_text())
    return fields


def lobby(mount: Mount, url: str) -> Path:
    return mount.path / "lobby" / url.removeprefix("dat://")


def identity(mount: Mount) -> str:
    return (mount.path / ".datfs" / "identity").read_text().strip()


def events(mount: Mount) -> str:
    return (mount.path / ".datfs" / "events").read_text()


def talk(people: People, url: str) -> None:
    """A line crosses from the guest to the host."""
    theirs = lobby(people.host, url) / "peers" / identity(people.guest)
    ours = lobby(people.guest, url) / "peers" / identity(people.host)
    people.host.datfs("wait", theirs / "out")
    people.guest.datfs("wait", ours / "in")
    people.guest.run("sh", "-c", f"echo hello > {ours}/in")
    assert people.host.run("head", "-n", "1", theirs / "out").stdout == "hello\n"


def test_the_command_hosts_and_joins_with_a_password(people: People) -> None:
    host, guest = people
    told = host.datfs("host", "Foobar", "--password-file", secret_file(host), "--json")
    url = json.loads(told.stdout)["url"]
    assert session(host)["protected"] is True

    wrong = guest.datfs("join", url, "--password-file", secret_file(guest, "a guess"), check=False)
    assert wrong.returncode == 77
    assert wrong.stderr == "datfs: the host did not let us in: wrong password\n"
    assert (lobby(guest, url) / "state").read_text() == "refused: wrong password\n"
    assert list((lobby(host, url) / "peers").iterdir()) == []
    assert list((lobby(guest, url) / "peers").iterdir()) == []
    assert session(host)["peers"] == 0

    none = host.run("grep", "-r", "--text", "-l", SECRET, host.home, check=False).stdout.split()
    assert [name.rpartition(".")[2] for name in none] == ["password"], "in the secrets alone"
    assert not any(SECRET in events(mount) for mount in people)

    joined = guest.datfs("join", url, "--password-file", secret_file(guest))
    assert joined.stdout.splitlines()[1] == "state: joined: the channel is open"
    talk(people, url)
    soon(lambda: str(session(host)["peers"]), lambda peers: peers == "1")

    (host.path / "me" / "session.json").unlink()
    soon(lambda: events(host), lambda said: "session-ended" in said)
    assert host.run("grep", "-r", "--text", "-l", SECRET, host.home, check=False).stdout == ""


def test_files_alone_are_enough(people: People) -> None:
    host, guest = people
    written = '{"name": "Foobar", "protected": true}'
    host.run("sh", "-c", f"echo '{written}' > {host.path}/me/session.json")
    url = session(host)["url"]
    here, there = lobby(host, url), lobby(guest, url)
    state = soon((here / "state").read_text, lambda said: said.startswith("waiting"))
    assert state == "waiting for the password: write it to `password`, and the session begins\n"
    assert not (here / "host.offer.bin").exists()

    host.run("sh", "-c", f"echo '{SECRET}' > {here}/password")
    host.datfs("wait", here / "host.offer.bin")
    assert (here / "state").read_text().startswith("hosting")
    assert session(host)["url"] == url

    guest.datfs("wait", there / "host.offer.bin")
    offer = f"cat {there}/new-offer > {there}/{identity(guest)}.offer.bin"
    guest.run("sh", "-c", offer)
    soon((there / "state").read_text, lambda said: said.startswith("refused: a password is needed"))
    guest.run("sh", "-c", f"echo '{SECRET}' > {there}/password && {offer}")
    talk(people, url)


def test_a_session_that_becomes_protected_keeps_nobody(people: People) -> None:
    host, guest = people
    url = json.loads(host.datfs("host", "Foobar", "--json").stdout)["url"]
    guest.datfs("join", url)
    talk(people, url)
    host.datfs("host", "Foobar", "--password-file", secret_file(host))
    assert session(host)["url"] == url
    state = lobby(guest, url) / "state"
    soon(state.read_text, lambda said: not said.startswith("joined"))
    soon(lambda: str(session(host)["peers"]), lambda peers: peers == "0")
    soon((lobby(host, url) / "state").read_text, lambda said: said.startswith("hosting"))
    guest.datfs("join", url, "--password-file", secret_file(guest))
    assert state.read_text().startswith("joined")


def test_after_a_crash_the_session_goes_on_protected(tmp_path: Path) -> None:
    with mounted(tmp_path, *ALONE) as host:
        told = host.datfs("host", "Foobar", "--password-file", secret_file(host), "--json")
        url = json.loads(told.stdout)["url"]
        soon((lobby(host, url) / "state").read_text, lambda said: said.startswith("hosting"))
        host.process.kill()
        host.process.wait()
    with mounted(tmp_path, *ALONE) as host:
        soon((lobby(host, url) / "state").read_text, lambda said: said.startswith("hosting"))
        assert json.loads((lobby(host, url) / "host.offer.bin").read_text())["protected"] is True


def test_an_open_session_has_no_use_for_a_password(tmp_path: Path) -> None:
    with mounted(tmp_path, *ALONE) as host:
        url = json.loads(host.datfs("host", "Foobar", "--json").stdout)["url"]
        soon((lobby(host, url) / "state").read_text, lambda said: said.startswith("hosting"))
        done = host.run("cp", secret_file(host), lobby(host, url) / "password", check=False)
        assert done.returncode != 0
        assert "Invalid argument" in done.stderr


def test_the_password_file_can_be_written_and_no_more(people: People) -> None:
    host, _ = people
    host.datfs("host", "Foobar", "--password-file", secret_file(host))
    file = lobby(host, session(host)["url"]) / "password"
    assert file.stat().st_mode & 0o777 == 0o200
    two_lines = secret_file(host, "two\nlines")
    for refused in (("cat", file), ("cp", two_lines, file), ("rm", file)):
        assert host.run(*refused, check=False).returncode != 0, refused


def test_who_breaks_off_is_not_let_in_and_may_come_back_with_the_password(
    two_hosts: list[Host], tmp_path: Path
) -> None:
    with mounted(tmp_path / "host", *ALONE, host=two_hosts[0]) as host:
        told = host.datfs("host", "Foobar", "--password-file", secret_file(host), "--json")
        url = json.loads(told.stdout)["url"]
        dialling = (*ALONE, "--peer", f"{two_hosts[0].address}:3282")
        broken = [sys.executable, "-c", BREAKING_OFF, "mount", "--foreground", *dialling]
        with mounted(tmp_path / "guest", command=broken, host=two_hosts[1]) as guest:
            file = secret_file(guest)
            vain = guest.datfs("join", url, "--password-file", file, "--timeout", "8", check=False)
            assert vain.returncode == 75
            assert list((lobby(host, url) / "peers").iterdir()) == []
            assert '"event":"signalling-failed"' in events(host).replace(" ", "")
            assert session(host)["peers"] == 0
        with mounted(tmp_path / "guest", *dialling, host=two_hosts[1]) as guest:
            guest.datfs("join", url, "--password-file", file)
            talk(People(host, guest), url)
