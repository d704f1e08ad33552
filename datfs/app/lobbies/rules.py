"""What is checked in the archives that a lobby is written in: signals must be signals, and sealed.

Whose name a path is, the lobby's directory decides before it hands out the archive; the daemon
itself also writes names that no person may.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from datfs.errors import NotYet
from datfs.lobby.names import SignalKind, parse_signal_name
from datfs.lobby.signal import SIGNAL_LIMIT_BYTES, parse_answer, parse_beacon, parse_offer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datfs.lobby.seal import Sealing, SignalForm

_CHECKS: Mapping[SignalKind, Callable[[bytes], object]] = {
    SignalKind.BEACON: parse_beacon,
    SignalKind.OFFER: parse_offer,
    SignalKind.ANSWER: parse_answer,
}


def check_signal(name: str, content: bytes) -> None:
    """Check that a file that must be a signal is one; raises InvalidSignal."""
    check = _check_of(name)
    if check is not None:
        check(content)


class LobbyRules:
    """`FileRules` of a lobby's host archive or of a guest's writer archive.

    Args:
        sealing: how our signals are stored.
        on_wait: called with the name of a signal that cannot be stored yet.
    """

    def __init__(self, sealing: Sealing, on_wait: Callable[[str], None]) -> None:
        self._sealing = sealing
        self._on_wait = on_wait

    def may_create(self, path: str) -> None:
        """Allow every name."""

    def max_checked_size(self, path: str) -> int | None:
        """Check signals, up to their limit."""
        return None if _check_of(path.removeprefix("/")) is None else SIGNAL_LIMIT_BYTES

    def check(self, path: str, content: bytes) -> bytes | None:
        """Refuse what is no signal, or cannot be sealed; raises InvalidSignal."""
        name = path.removeprefix("/")
        check_signal(name, content)
        form = self._sealing.form(name)
        if form is not None:
            with suppress(NotYet):
                form.stored(content)
        return None

    def form(self, path: str) -> SignalForm | None:
        """Keep signals sealed."""
        name = path.removeprefix("/")
        form = self._sealing.form(name)
        if form is None:
            return None
        seal = form.stored

        def stored(text: bytes) -> bytes:
            try:
                return seal(text)
            except NotYet:
                self._on_wait(name)
                raise

        return replace(form, stored=stored)


def _check_of(name: str) -> Callable[[bytes], object] | None:
    signal = parse_signal_name(name)
    return None if signal is None else _CHECKS.get(signal.kind)
