"""The DTLS certificate of a session: made once, kept as PEM, known by its SHA-256 fingerprint.

A beacon proves one certificate for as long as its session lives, so it outlasts single connections
and restarts. The store keeps the PEM bytes (they hold the private key: 0600); the bridge puts the
certificate into aiortc, which would otherwise make one for each connection.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from datfs.errors import WebRTCError

LIFETIME_DAYS: Final = 365  # the standard's upper limit (RTCCertificateExpiration)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed ECDSA P-256 certificate with its private key.

    Attributes:
        x509: The certificate; its names tell nothing (a random common name).
        private_key: Left out of `repr`.
    """

    x509: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Certificate:
        """Make a new one, valid from yesterday (clocks differ) for a year."""
        private_key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, os.urandom(16).hex())])
        now = datetime.datetime.now(tz=datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=LIFETIME_DAYS))
            .sign(private_key, hashes.SHA256())
        )
        return cls(certificate, private_key)

    @classmethod
    def from_pem(cls, pem: bytes) -> Certificate:
        """Read what `to_pem` wrote.

        Raises:
            WebRTCError: These bytes hold no such certificate, or a key that is not its own.
        """
        try:
            certificate = x509.load_pem_x509_certificate(pem)
            private_key = serialization.load_pem_private_key(pem, password=None)
        except ValueError as error:
            raise WebRTCError("this is no PEM certificate with its key") from error
        if not isinstance(private_key, ec.EllipticCurvePrivateKey):
            raise WebRTCError("the certificate's key is not an elliptic curve key")
        if private_key.public_key() != certificate.public_key():
            raise WebRTCError("the certificate and the key beside it do not belong together")
        return cls(certificate, private_key)

    def to_pem(self) -> bytes:
        """Return private key (PKCS #8, unencrypted) and certificate as PEM, to be kept secret."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ) + self.x509.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the DER certificate (RFC 8122), 32 bytes."""
        return self.x509.fingerprint(hashes.SHA256())
