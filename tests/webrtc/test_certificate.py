from __future__ import annotations

import hashlib
import re

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from datfs.errors import WebRTCError
from datfs.webrtc import Certificate


def test_a_stored_certificate_comes_back_the_same() -> None:
    made = Certificate.generate()
    again = Certificate.from_pem(made.to_pem())
    assert again.fingerprint == made.fingerprint
    assert again.to_pem() == made.to_pem()
    assert made.fingerprint == hashlib.sha256(made.x509.public_bytes(Encoding.DER)).digest()


def test_two_sessions_have_nothing_in_common() -> None:
    one, two = Certificate.generate(), Certificate.generate()
    assert one.fingerprint != two.fingerprint
    assert one.x509.subject != two.x509.subject


def test_the_private_key_is_not_shown() -> None:
    assert "private_key" not in repr(Certificate.generate())


def test_bytes_that_hold_no_certificate_with_its_key_are_refused() -> None:
    one, two = Certificate.generate().to_pem(), Certificate.generate().to_pem()
    mixed = re.sub(rb"(?s).*(?=-----BEGIN CERT)", b"", one) + two.partition(b"-----BEGIN CERT")[0]
    for pem in (b"", b"hello", one[:100], mixed):
        with pytest.raises(WebRTCError):
            Certificate.from_pem(pem)
