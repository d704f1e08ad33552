from __future__ import annotations

from typing import Any

import pytest

from datfs.crypto.keys import KeyPair, content_key_pair, discovery_key, sign, verify
from datfs.errors import InvalidKey
from tests import vectors

VECTORS = vectors.load("keys-hashes.json")


@pytest.mark.parametrize("row", VECTORS["pairs"], ids=lambda row: row["seed"][:2])
def test_pairs_discovery_keys_and_content_keys(row: dict[str, Any]) -> None:
    pair = KeyPair.from_seed(bytes.fromhex(row["seed"]))
    content = content_key_pair(pair.secret_key)
    assert pair.public_key.hex() == row["publicKey"]
    assert pair.secret_key.hex() == row["secretKey"]
    assert discovery_key(pair.public_key).hex() == row["discoveryKey"]
    assert content.public_key.hex() == row["hyperdriveContent"]["publicKey"]
    assert content.secret_key.hex() == row["hyperdriveContent"]["secretKey"]
    assert KeyPair.from_secret_key(pair.secret_key) == pair


@pytest.mark.parametrize("row", VECTORS["roots"])
def test_signatures_are_deterministic_and_verify(row: dict[str, Any]) -> None:
    pair = KeyPair.from_seed(b"\x07" * 32)
    message, signature = bytes.fromhex(row["rootHash"]), bytes.fromhex(row["signature"])
    assert sign(message, pair.secret_key) == signature
    assert verify(message, signature, pair.public_key)
    assert not verify(message[:-1] + b"\0", signature, pair.public_key)
    assert not verify(message, bytes(64), pair.public_key)


def test_sizes_that_a_peer_chose_are_just_not_valid() -> None:
    pair = KeyPair.from_seed(bytes(32))
    signature = sign(b"message", pair.secret_key)
    assert not verify(b"message", signature[:-1], pair.public_key)
    assert not verify(b"message", signature, pair.public_key + b"\0")


def test_secret_keys_that_do_not_fit_together_are_refused() -> None:
    one, other = KeyPair.generate(), KeyPair.generate()
    with pytest.raises(InvalidKey):
        KeyPair.from_secret_key(one.secret_key[:32] + other.public_key)
    with pytest.raises(InvalidKey):
        KeyPair.from_secret_key(one.secret_key[:63])
    with pytest.raises(InvalidKey):
        KeyPair.from_seed(bytes(31))


def test_a_secret_key_does_not_get_into_logs() -> None:
    pair = KeyPair.from_seed(b"\x01" * 32)
    assert repr(pair.secret_key) not in repr(pair)
