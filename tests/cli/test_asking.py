from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command, Daemon

KEY = "ab" * 32
EVENT = {"n": 7, "time": 1000, "event": "connected", "peer": "cd", "name": "\x1b[31mEve"}


def test_status_for_people_and_for_scripts(run: Command, daemon: Daemon) -> None:
    answer = {"pid": 7, "session": {"peers": 1, "protected": False}, "archives": [{"key": KEY}]}
    daemon.answers["status"] = answer
    assert run("status").out.splitlines() == [
        "pid: 7",
        "session:",
        "  peers: 1",
        "  protected: no",
        "archives:",
        f"  - key: {KEY}",
    ]
    assert json.loads(run("status", "--json").out) == answer


@pytest.mark.parametrize("verb", [["status"], ["peers"], ["events"], ["host", "x"], ["join", KEY]])
def test_without_a_mount_one_sentence_says_what_to_do(run: Command, verb: list[str]) -> None:
    code, out, err = run(*verb)
    assert code == 69
    assert out == ""
    assert re.fullmatch(r"datfs: no datfs runs .*`datfs mount MOUNTPOINT`\n", err)


def test_host_hands_on_what_was_given(run: Command, daemon: Daemon) -> None:
    daemon.answers["host"] = {"url": f"dat://{KEY}"}
    assert run("host", "Foobar").out == f"url: dat://{KEY}\n"
    run("host", "Foobar", "--max-peers", "3", "--log")
    assert daemon.asked == [
        ("host", {"name": "Foobar"}),
        ("host", {"name": "Foobar", "max_peers": 3, "carrier": "log"}),
    ]
    assert run("host", "Foobar", "--max-peers", "0").code == 2


def test_join_hands_on_its_deadline(run: Command, daemon: Daemon) -> None:
    daemon.answers["join"] = {"state": "joined"}
    assert run("join", f"dat://{KEY}", "--timeout", "3").out == "state: joined\n"
    assert daemon.asked == [("join", {"url": f"dat://{KEY}", "timeout_s": 3.0})]


@pytest.mark.parametrize("verb", [["host", "Foobar"], ["join", KEY]])
def test_a_password_comes_from_a_file_and_not_from_the_arguments(
    run: Command, daemon: Daemon, tmp_path: Path, verb: list[str]
) -> None:
    daemon.answers[verb[0]] = {"state": "fine"}
    file = tmp_path / "password"
    file.write_bytes(b"correct horse\n")
    assert run(*verb, "--password-file", str(file)).code == 0
    assert daemon.asked[0][1]["password"] == "correct horse"
    assert run(*verb, "--password", "--password-file", str(file)).code == 2
    assert run(*verb, "--password=secret").code == 2
    file.write_bytes(b"\xff")
    assert run(*verb, "--password-file", str(file)) == (65, "", "datfs: a password is UTF-8 text\n")
    assert len(daemon.asked) == 1


@pytest.mark.parametrize(("verb", "times"), [(["host", "Foobar"], 2), (["join", KEY], 1)])
def test_a_password_is_asked_for_without_showing_it(
    run: Command, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, verb: list[str], times: int
) -> None:
    daemon.answers[verb[0]] = {"state": "fine"}
    typed: list[str] = []

    def type_it(prompt: str) -> str:
        typed.append(prompt)
        return "correct horse"

    monkeypatch.setattr("click.termui.hidden_prompt_func", type_it)
    assert run(*verb, "--password").code == 0
    assert daemon.asked[0][1]["password"] == "correct horse"
    assert len(typed) == times


@pytest.mark.parametrize("path", ["{mnt}/lobby/x", "lobby/x", "./lobby/../lobby/x", "/lobby/x"])
def test_path_to_wait_for_is_told_from_the_root_of_the_mount(
    run: Command, daemon: Daemon, tmp_path: Path, path: str
) -> None:
    daemon.answers["wait"] = {"path": "/lobby/x"}
    outcome = run("wait", path.format(mnt=tmp_path / "mnt"))
    if path.startswith("/"):
        assert outcome.code == 2
        assert f"is not below {tmp_path}/mnt" in outcome.err
        return
    assert outcome == (0, "", "")
    assert daemon.asked == [("wait", {"path": "/lobby/x", "timeout_s": 60.0})]


def test_path_in_the_working_directory_is_in_the_mount(
    run: Command, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mnt" / "lobby").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "mnt" / "lobby")
    daemon.answers["wait"] = {}
    run("wait", "x")
    assert daemon.asked[0][1]["path"] == "/lobby/x"


def test_waiting_for_an_event_prints_it(run: Command, daemon: Daemon) -> None:
    daemon.answers["wait"] = EVENT
    assert run("wait", "--event", "connected").out == "7 connected peer=cd name=\\x1b[31mEve\n"
    assert daemon.asked == [("wait", {"event": "connected", "timeout_s": 60.0})]
    assert json.loads(run("wait", "--event", "connected", "--json").out) == EVENT


def test_waiting_in_vain_has_its_own_exit_code(run: Command, daemon: Daemon) -> None:
    assert run("wait", "x") == (75, "", "datfs: it did not come\n")


def test_waiting_for_nothing_or_for_two_things_is_a_mistake(run: Command) -> None:
    assert run("wait").code == 2
    assert run("wait", "x", "--event", "closed").code == 2


def test_events_print_a_line_each(run: Command, daemon: Daemon) -> None:
    daemon.answers["events"] = [EVENT, {"n": 8, "time": 1001, "event": "closed"}]
    assert run("events").out == "7 connected peer=cd name=\\x1b[31mEve\n8 closed\n"
    lines = run("events", "--json", "--follow", "--after", "6").out.splitlines()
    assert [json.loads(line)["n"] for line in lines] == [7, 8]
    assert daemon.asked == [
        ("events", {"after": 0, "follow": False}),
        ("events", {"after": 6, "follow": True}),
    ]


def test_peers_are_a_table(run: Command, daemon: Daemon) -> None:
    daemon.answers["peers"] = []
    assert run("peers").out == "no peer is connected; `datfs status` tells why\n"
    daemon.answers["peers"] = [
        {"address": "10.77.0.1:3282", "archive": "ab"},
        {"address": "[::1]:9", "archive": None},
    ]
    assert run("peers").out.splitlines() == [
        "address         archive",
        "10.77.0.1:3282  ab",
        "[::1]:9         -",
    ]


def test_host_says_who_may_join(run: Command, daemon: Daemon, tmp_path: Path) -> None:
    daemon.answers["host"] = {}
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    run("host", "Foobar", "--friends-only", "--allow", str(keys))
    asked = {"name": "Foobar", "policy": "friends", "allowed_keys": str(keys)}
    assert daemon.asked == [("host", asked)]
    assert run("host", "Foobar", "--allow", str(tmp_path / "nothing")).code == 2


def test_ban_and_back(run: Command, daemon: Daemon) -> None:
    daemon.answers["ban"] = {"identity": KEY, "banned": True}
    assert run("ban", KEY).out == f"identity: {KEY}\nbanned: yes\n"
    run("ban", "--lift", KEY)
    assert daemon.asked == [
        ("ban", {"url": KEY, "lift": False}),
        ("ban", {"url": KEY, "lift": True}),
    ]


def test_friends_as_a_table_and_as_json(run: Command, daemon: Daemon) -> None:
    hosting = {"hosting": "Foobar", "peers": 1, "max_peers": 8, "state": "stale"}
    rows = [{"name": "Ada", "key": KEY, **hosting}, {"name": "Eve", "key": KEY, "hosting": None}]
    daemon.answers["friends"] = rows
    assert [line.split() for line in run("friends").out.splitlines()[1:]] == [
        ["Ada", "Foobar", "1", "of", "8", "stale", KEY],
        ["Eve", "-", "-", "-", KEY],
    ]
    assert json.loads(run("friends", "--json").out) == rows


def test_friends_are_added_and_removed(run: Command, daemon: Daemon) -> None:
    daemon.answers["befriend"] = {"identity": KEY, "friend": True}
    assert run("friends", "add", KEY).out == f"identity: {KEY}\nfriend: yes\n"
    run("friends", "remove", KEY)
    assert daemon.asked == [
        ("befriend", {"url": KEY}),
        ("befriend", {"url": KEY, "remove": True}),
    ]
