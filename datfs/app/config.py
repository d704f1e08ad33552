"""Settings as one frozen value, from `config.toml` in the store and from `-o` options over it.

Every setting is one field here, with its default, what it accepts and what it means; the file's
keys and the options have the fields' names (`-o heartbeat_s=5`, `-o lan=false`; a bare name of a
switch means true, `no_NAME` false). An unknown name is refused and named.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from datfs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

MAX_PORT = 65535
DEFAULT_PORT = 3282  # dat's own


class PeerAddress(NamedTuple):
    """Where a fixed peer listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `HOST:PORT`, `[IPv6]:PORT`, or a host alone with dat's usual port.

        Raises:
            ConfigError: It is none of these.
        """
        host, colon, port = text.rpartition(":")
        if not colon or (text.startswith("[") and text.endswith("]")):
            host, port = text, str(DEFAULT_PORT)
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= MAX_PORT:
            raise ConfigError(f"{text!r} is no address of a peer; write HOST:PORT")
        return cls(host, int(port))

    def __str__(self) -> str:
        """As it is written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    match value:
        case "true" | "yes" | "on" | "1":
            return True
        case "false" | "no" | "off" | "0":
            return False
    raise ValueError("true or false")


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) else -1.0
    except ValueError:
        seconds = -1.0
    if isinstance(value, bool) or not 0 < seconds < float("inf"):
        raise ValueError("a number of seconds above 0")
    return seconds


def _whole(low: int, high: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        number = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, str) and value.isascii() and value.isdigit():
            number = int(value)
        if number is None or not low <= number <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return number

    return parse


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return parse


def _texts(value: object) -> tuple[str, ...]:
    """A list in the file; in an option, where a comma separates options, separated by spaces."""
    parts = value.split() if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise ValueError("a list of texts")
    return tuple(_text(part) for part in parts)


def _addresses(value: object) -> tuple[PeerAddress, ...]:
    try:
        return tuple(PeerAddress.parse(text) for text in _texts(value))
    except ConfigError as error:
        raise ValueError(f"a list of HOST:PORT ({error})") from None


def _setting(default: object, parse: Callable[[object], Any]) -> Any:  # noqa: ANN401 - any field
    return dataclasses.field(default=default, metadata={"parse": parse})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of one mount."""

    # who is asked and where we listen (design section 5)
    peers: tuple[PeerAddress, ...] = _setting((), _addresses)
    listen: str | None = _setting(None, _text)  # address of the listener; None: all, v4 and v6
    port: int | None = _setting(None, _whole(1, MAX_PORT))  # None: 3282 or the next free one
    lan: bool = _setting(True, _switch)  # multicast DNS on the local network
    dht: bool = _setting(True, _switch)  # BitTorrent DHT
    offline: bool = _setting(False, _switch)  # no socket at all
    max_connections: int = _setting(512, _whole(1, 1_000_000))
    max_archive_connections: int = _setting(64, _whole(1, 1_000_000))  # for each archive

    # how long a reader waits for peers before it gets an error
    metadata_deadline_s: float = _setting(5.0, _seconds)
    data_deadline_s: float = _setting(30.0, _seconds)

    # sessions and WebRTC
    heartbeat_s: float = _setting(300.0, _seconds)  # between updates of session.json
    keep_session: bool = _setting(False, _switch)  # unmounting leaves the session open
    plain_offers: bool = _setting(True, _switch)  # take offers of guests who do not seal
    allow_unproven: bool = _setting(False, _switch)  # offer to hosts without a proof
    policy: str | None = _setting(None, _one_of("anyone", "friends", "listed"))  # who may join
    allowed_keys: str | None = _setting(None, _text)  # file of those who may; others if policy says
    stun: tuple[str, ...] = _setting((), _texts)  # URLs, such as stun:stun.example.org:3478
    turn: tuple[str, ...] = _setting((), _texts)  # URLs, such as turn:user:secret@example.org:3478

    # the mount
    ro: bool = _setting(False, _switch)
    allow_other: bool = _setting(False, _switch)  # other users may enter

    # room
    spool_memory_bytes: int = _setting(32 << 20, _whole(0, 1 << 40))  # unsaved, in memory
    events_bytes: int = _setting(8 << 20, _whole(64 << 10, 1 << 40))  # of the event file

    @classmethod
    def load(cls, file: Path, options: Mapping[str, object]) -> Self:
        """Reads the file, if there is one, and puts the options over it.

        Args:
            file: TOML.
            options: From the command line, by field name, as text or already as values.

        Raises:
            ConfigError: A setting is unknown or makes no sense; says which, where, and what would.
        """
        settings = {**_checked(_read(file), f"{file}: "), **_checked(options, "option ")}
        return cls(**settings)


# Options of mount(8) and fstab(5) that are for others, or that say what is the case anyway.
# fmt: off
FOREIGN_OPTIONS = frozenset({
    "_netdev", "async", "atime", "auto", "defaults", "dev", "diratime", "exec", "group",
    "iversion", "lazytime", "loud", "mand", "noatime", "noauto", "nodev", "nodiratime",
    "noexec", "nofail", "noiversion", "nolazytime", "nomand", "norelatime", "nostrictatime",
    "nosuid", "nouser", "owner", "relatime", "remount", "rw", "silent", "strictatime", "suid",
    "sync", "user", "users",
})
# fmt: on


def mount_options(texts: Iterable[str]) -> dict[str, object]:
    """Settings out of `-o` options as mount(8) hands them on; those meant for others are left out.

    Args:
        texts: Each with options separated by commas.

    Raises:
        ConfigError: An option is unknown.
    """
    settings: dict[str, object] = {}
    for option in (option for text in texts for option in text.split(",") if option):
        name, equals, value = option.partition("=")
        if name in FOREIGN_OPTIONS or name.startswith(("x-", "X-", "comment")):
            continue
        if equals:
            settings[name] = value
        elif name in _SETTINGS or not name.startswith("no"):
            settings[name] = True
        else:
            settings[name.removeprefix("no").lstrip("_-")] = False
    _checked(settings, "option ")
    return settings


_SETTINGS = {field.name: field for field in dataclasses.fields(Config)}


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # of TOML and of UTF-8
        raise ConfigError(f"{file} is no valid TOML: {error}") from error


def _checked(settings: Mapping[str, object], where: str) -> dict[str, Any]:
    checked = {}
    for name, value in settings.items():
        field = _SETTINGS.get(name)
        if field is None:
            near = difflib.get_close_matches(name, _SETTINGS, n=1)
            hint = f"; is it {near[0]}?" if near else f"; known are {', '.join(sorted(_SETTINGS))}"
            raise ConfigError(f"{where}{name} is unknown{hint}")
        try:
            checked[name] = field.metadata["parse"](value)
        except ValueError as error:
            raise ConfigError(f"{where}{name} is {value!r} and should be {error}") from None
    return checked
