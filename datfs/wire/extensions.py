"""Names and numbers of extensions (DEP-0010, "Extension"; npm sorted-indexof).

Both sides list the names they speak in their Handshake. An Extension message carries the index of
its name in the *sender's own* list, so that each direction has its own numbering.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable


def sort_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names once each, in the order of JavaScript's strings (UTF-16 code units)."""
    return tuple(sorted(set(names), key=lambda name: name.encode("utf-16-be", "surrogatepass")))


class Extensions:
    """The two lists of one connection.

    Args:
        local: the names in our Handshake, in its order.
    """

    __slots__ = ("_local", "_remote")

    def __init__(self, local: tuple[str, ...]) -> None:
        self._local = local
        self._remote: tuple[str, ...] = ()

    def set_remote(self, names: tuple[str, ...]) -> None:
        """Take the list of the peer's Handshake, as it came: its indexes count in it."""
        self._remote = names

    def remote_supports(self, name: str) -> bool:
        """Tell whether both sides named the extension; False before the peer's Handshake."""
        return name in self._local and name in self._remote

    def local_index(self, name: str) -> int:
        """Return the number under which we send the extension.

        Raises:
            LocalProtocolError: our Handshake did not name it.
        """
        try:
            return self._local.index(name)
        except ValueError:
            raise LocalProtocolError(f"our handshake did not name the extension {name}") from None

    def remote_name(self, index: int) -> str | None:
        """Return the name of a number that the peer sent, None if one side did not name it."""
        if index >= len(self._remote):
            return None
        name = self._remote[index]
        return name if name in self._local else None
