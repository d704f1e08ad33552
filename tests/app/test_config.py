from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import pytest

from datfs.app.config import Config, PeerAddress, mount_options
from datfs.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
peers = ["10.0.0.1:3282", "[fe80::1]:77", "host.example"]
port = 4000
lan = false
heartbeat_s = 5
stun = ["stun:stun.example.org:3478"]
"""


def test_without_file_and_options_the_defaults_hold(tmp_path: Path) -> None:
    assert Config.load(tmp_path / "none", {}) == Config()


def test_every_default_is_a_value_that_would_be_accepted(tmp_path: Path) -> None:
    values = dataclasses.asdict(Config())
    for unset in ("port", "listen", "policy", "allowed_keys"):  # whatever suits
        del values[unset]
    values["peers"] = []
    assert Config.load(tmp_path / "none", values) == Config()


def test_options_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(FILE)
    config = Config.load(
        tmp_path / "config.toml", mount_options(["port=5000,dht=off", "allow_other"])
    )
    assert config.peers == (("10.0.0.1", 3282), ("fe80::1", 77), ("host.example", 3282))
    assert [str(peer) for peer in config.peers][1] == "[fe80::1]:77"
    assert (config.port, config.lan, config.dht, config.allow_other) == (5000, False, False, True)
    assert config.heartbeat_s == 5.0
    assert config.stun == ("stun:stun.example.org:3478",)


def test_options_for_others_are_left_out() -> None:
    fstab = "rw,noauto,user,_netdev,nofail,x-systemd.automount,x-gvfs-name=dat,noexec,nosuid,nodev"
    assert mount_options([fstab]) == {}
    assert mount_options(["ro,no_lan,nodht", "allow_other"]) == {
        "ro": True,
        "lan": False,
        "dht": False,
        "allow_other": True,
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("heartbeat = 5", "heartbeat is unknown; is it heartbeat_s?"),
        ("qwertz = 5", "qwertz is unknown; known are allow_other,"),
        ("port = 0", "port is 0 and should be a whole number from 1 to 65535"),
        ("port = true", "port is True and should be"),
        ("port = 1.5", "port is 1.5 and should be"),
        ("lan = 1", "lan is 1 and should be true or false"),
        ("heartbeat_s = 0", "should be a number of seconds above 0"),
        ("heartbeat_s = inf", "should be a number of seconds above 0"),
        ("heartbeat_s = nan", "should be a number of seconds above 0"),
        ("peers = 7", "peers is 7 and should be a list"),
        ('peers = ["a:b"]', "'a:b' is no address of a peer; write HOST:PORT"),
        ('peers = [":5"]', "is no address of a peer"),
        ("port = ", "is no valid TOML"),
    ],
)
def test_mistake_in_the_file_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(complaint)) as raised:
        Config.load(file, {})
    assert str(file) in str(raised.value)


@pytest.mark.parametrize("option", ["port=x", "frobnicate", "nofrobnicate", "lan=maybe"])
def test_mistake_in_an_option_is_named(option: str) -> None:
    with pytest.raises(ConfigError, match="option "):
        mount_options([option])


@pytest.mark.parametrize("text", ["", "host:", "host:70000", "host:-1", "host:\u0661"])
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        PeerAddress.parse(text)
