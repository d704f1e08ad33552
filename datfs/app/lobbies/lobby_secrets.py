"""What is kept secret for one lobby: seal keys, the host's certificate, an offer that waits.

All of it lives in the store's secrets (0600) as long as the lobby and is deleted with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.app.lobbies.waiting_offer import WaitingOffer
from datfs.crypto.box import BoxKeyPair
from datfs.store.secrets import delete_secret, read_secret, write_secret
from datfs.webrtc.certificate import Certificate

if TYPE_CHECKING:
    from pathlib import Path

    from datfs.store.home import Home


class LobbySecrets:
    """The secrets of one lobby.

    Args:
        home: the store.
        lobby_key: of the lobby.
    """

    def __init__(self, home: Home, lobby_key: bytes) -> None:
        self._stem = home.secrets_folder / lobby_key.hex()
        self.offer = WaitingOffer(self._file("offer"))
        """Our offer as long as it cannot be stored in the lobby."""

    def seal_keys(self) -> BoxKeyPair:
        """Our seal keys, made at first use.

        Raises:
            StoreError: others could get at them.
        """
        kept = read_secret(self._file("seal"))
        if kept is not None:
            return BoxKeyPair.from_secret_key(kept)
        keys = BoxKeyPair.generate()
        write_secret(self._file("seal"), keys.secret_key)
        return keys

    def certificate(self) -> Certificate:
        """The certificate of our session, made at first use.

        Raises:
            StoreError: others could get at it.
        """
        kept = read_secret(self._file("pem"))
        if kept is not None:
            return Certificate.from_pem(kept)
        certificate = Certificate.generate()
        write_secret(self._file("pem"), certificate.to_pem())
        return certificate

    @property
    def sealed_only(self) -> bool:
        """Whether this session was opened for sealed offers alone, for a mount that resumes it."""
        return self._file("sealed-only").exists()

    def set_sealed_only(self) -> None:
        """Take sealed offers alone, for as long as the session lasts."""
        write_secret(self._file("sealed-only"), b"")

    def delete(self) -> None:
        """Forget everything: the lobby is over."""
        self.offer.clear()
        for kind in ("seal", "pem", "sealed-only"):
            delete_secret(self._file(kind))

    def _file(self, kind: str) -> Path:
        return self._stem.with_name(f"{self._stem.name}.{kind}")
