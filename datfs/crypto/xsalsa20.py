"""XSalsa20 as a running key stream (DEP-0010, "Encryption"): the cipher of every connection.

PyNaCl offers XSalsa20 only inside `secretbox`, yet the libsodium it ships (or links to) exports
`crypto_stream_xsalsa20_xor_ic`, the bare stream at any block. That function is called here through
ctypes, in place and without releasing the interpreter: 64 KiB take some 30 microseconds, less than
handing the interpreter to another thread and waiting to get it back.

There is no authentication in it: who flips a bit of the ciphertext flips that bit of the text.
Proofs against the feed's signature are what protects blocks; everything else is unprotected.
"""

from __future__ import annotations

import ctypes
import importlib.util
from typing import TYPE_CHECKING, Final

import nacl.bindings  # its import runs sodium_init, which picks the fast implementation

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_BYTE_LENGTH: Final = nacl.bindings.crypto_secretbox_KEYBYTES
NONCE_BYTE_LENGTH: Final = nacl.bindings.crypto_secretbox_NONCEBYTES
_BLOCK_BYTE_LENGTH: Final = 64  # of Salsa20: the step of libsodium's block counter


def _load_stream_xor() -> Callable[[object, object, int, bytes, int, bytes], int]:
    spec = importlib.util.find_spec("nacl._sodium")
    if spec is None or spec.origin is None:
        raise ImportError("PyNaCl's libsodium (nacl._sodium) cannot be found")
    try:
        function = ctypes.PyDLL(spec.origin).crypto_stream_xsalsa20_xor_ic
    except (OSError, AttributeError) as error:
        raise ImportError(f"{spec.origin} does not give the XSalsa20 stream: {error}") from error
    function.argtypes = (
        ctypes.c_void_p,  # output
        ctypes.c_void_p,  # input, may be the output
        ctypes.c_ulonglong,  # bytes of both
        ctypes.c_char_p,  # nonce
        ctypes.c_uint64,  # number of the 64-byte block to start with
        ctypes.c_char_p,  # key
    )
    function.restype = ctypes.c_int
    return function


_stream_xor: Final = _load_stream_xor()


class XSalsa20:
    """One direction's key stream; its position runs on from call to call.

    Encrypting and decrypting are the same operation.

    Args:
        key: 32 bytes.
        nonce: 24 bytes, never used twice with one key.
    """

    __slots__ = ("_block", "_block_address", "_key", "_nonce", "_position")

    def __init__(self, key: bytes, nonce: bytes) -> None:
        if len(key) != KEY_BYTE_LENGTH:
            raise ValueError(f"an XSalsa20 key has {KEY_BYTE_LENGTH} bytes, not {len(key)}")
        if len(nonce) != NONCE_BYTE_LENGTH:
            raise ValueError(f"an XSalsa20 nonce has {NONCE_BYTE_LENGTH} bytes, not {len(nonce)}")
        self._key = bytes(key)
        self._nonce = bytes(nonce)
        self._position = 0
        # A block that was begun by an earlier call is finished through this scratch block.
        self._block = bytearray(_BLOCK_BYTE_LENGTH)
        self._block_address = ctypes.byref(ctypes.c_char.from_buffer(self._block))

    @property
    def position(self) -> int:
        """Bytes of key stream used so far."""
        return self._position

    def process(self, data: bytes | bytearray | memoryview) -> bytes:
        """Encrypt or decrypt the next bytes of the stream.

        Args:
            data: any number of bytes.

        Returns:
            As many bytes, new; `data` stays as it is.
        """
        buffer = bytearray(data)
        self.process_in_place(buffer)
        return bytes(buffer)

    def process_in_place(
        self, buffer: bytearray | memoryview, start: int = 0, end: int | None = None
    ) -> None:
        """Encrypt or decrypt `buffer[start:end]` where it lies, without a copy.

        Args:
            buffer: writable and contiguous.
            start: first byte to work on.
            end: the byte after the last one; the buffer's end if None.

        Raises:
            ValueError: the range does not lie in the buffer; nothing was changed.
        """
        end = len(buffer) if end is None else end
        if not 0 <= start <= end <= len(buffer):
            raise ValueError(f"bytes {start} to {end} of a buffer of {len(buffer)}")
        block_number, used = divmod(self._position, _BLOCK_BYTE_LENGTH)
        self._position += end - start
        if used and start < end:
            size = min(_BLOCK_BYTE_LENGTH - used, end - start)
            self._block[used : used + size] = buffer[start : start + size]
            address = self._block_address
            _stream_xor(address, address, _BLOCK_BYTE_LENGTH, self._nonce, block_number, self._key)
            buffer[start : start + size] = self._block[used : used + size]
            start += size
            block_number += 1
        if start < end:
            address = ctypes.byref(ctypes.c_char.from_buffer(buffer, start))
            _stream_xor(address, address, end - start, self._nonce, block_number, self._key)
