"""Every error that datfs raises on purpose, as one tree under `DatfsError`.

Each package has one branch; a leaf exists only where a caller acts otherwise on it. An error's text
is what the user reads: one sentence that says what is wrong and, where something can be done, what.
`fs.errno_table` gives each class its errno and `exit_code` is what the command line ends with.
"""

from __future__ import annotations

from typing import ClassVar


class DatfsError(Exception):
    """Something that datfs could not do; its text is meant for the user."""

    exit_code: ClassVar[int] = 1


# --- encoding ----------------------------------------------------------------------------------


class EncodingError(DatfsError):
    """Bytes or text that do not decode as the format says."""

    exit_code = 65


class InvalidUrl(EncodingError):
    """A text that is neither 64 hex digits nor a dat:// URL of them."""

    exit_code = 64


# --- crypto ------------------------------------------------------------------------------------


class CryptoError(DatfsError):
    """A key, signature or ciphertext is not what it must be."""

    exit_code = 65


class InvalidKey(CryptoError):
    """A key of the wrong size, or a secret key whose halves do not belong together."""


class InvalidBox(CryptoError):
    """A box that these keys do not open, or that is not as it was sealed."""


# --- hypercore ---------------------------------------------------------------------------------


class HypercoreError(DatfsError):
    """A feed could not do what was asked."""


class StorageDamaged(HypercoreError):
    """A store file contradicts the others and was left as it is; names it and what is wrong."""

    exit_code = 74

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file} is damaged: {reason}")
        self.file = file
        self.reason = reason


class ReadOnlyFeed(HypercoreError):
    """A block was to be appended to a feed whose secret key is not here or must not be used."""


class BlockMissing(HypercoreError):
    """A block (or its proof) that is not held was asked for."""

    def __init__(self, block_index: int) -> None:
        super().__init__(f"block {block_index} is not here")
        self.block_index = block_index


class ProofInvalid(HypercoreError):
    """Received data does not verify against the feed's tree and key (DEP-0002): the sender lied."""

    def __init__(self, block_index: int, reason: str) -> None:
        super().__init__(f"block {block_index} was refused: {reason}")
        self.block_index = block_index
        self.reason = reason


# --- hyperdrive --------------------------------------------------------------------------------


class HyperdriveError(DatfsError):
    """An archive could not do what was asked."""


class NotAnArchive(HyperdriveError):
    """The feed's first block is no hyperdrive header, or a folder holds no archive."""

    exit_code = 65


class InvalidPath(HyperdriveError):
    """A name that no archive may hold (path rules)."""


class NameTooLong(InvalidPath):
    """A new name of more than 255 bytes."""


class NameNotUtf8(InvalidPath):
    """A new name whose bytes are not UTF-8."""


class InvalidExtent(HyperdriveError):
    """A file's entry claims bytes that its archive's content feed does not have there."""

    exit_code = 74


class ReadOnlyArchive(HyperdriveError):
    """A change to an archive of somebody else, or one whose secret key is not here."""


# --- staging -----------------------------------------------------------------------------------


class StagingError(DatfsError):
    """A change to an own archive that cannot be made; nothing of it was."""


class EntryExists(StagingError):
    """The name is taken."""


class EntryMissing(StagingError):
    """There is no such file or directory."""


class NotADirectory(StagingError):
    """A file stands where a directory is needed."""


class IsADirectory(StagingError):
    """A directory stands where a file is needed."""


class DirectoryNotEmpty(StagingError):
    """A directory that is to go, or to be replaced, still has entries."""


class InvalidMove(StagingError):
    """A directory cannot be moved into itself."""


class NotPermitted(StagingError):
    """What Dat v1 has no place for, such as a mode of the root directory."""


class NotOpenForWriting(StagingError):
    """A write came through a handle that was opened for reading."""


class FileTooLarge(StagingError):
    """A file that is checked when it is closed is larger than the check allows."""


class Busy(StagingError):
    """Somebody has the file open for writing; try again once it is closed."""

    exit_code = 75


class NotYet(StagingError):
    """A file cannot become a version before something else has come; it waits in the journal."""

    exit_code = 75


class NoSpace(StagingError):
    """The disk has no room for this; what was there before is untouched."""

    exit_code = 74


class DiskFailed(StagingError):
    """The disk reported an error; names the operating system's reason."""

    exit_code = 74


# --- wire --------------------------------------------------------------------------------------


class WireError(DatfsError):
    """The replication protocol was broken."""


class LocalProtocolError(WireError):
    """datfs asked its own protocol core for something that the protocol does not allow."""


class SessionDataTooLong(LocalProtocolError):
    """A session-data payload is larger than DEP-0006 allows (EMSGSIZE)."""

    exit_code = 65

    def __init__(self, byte_length: int, limit: int) -> None:
        super().__init__(f"session data of {byte_length} bytes; at most {limit} can be sent")
        self.byte_length = byte_length
        self.limit = limit


class RemoteProtocolError(WireError):
    """The peer broke the protocol; its connection ends, nothing else does."""


# --- swarm -------------------------------------------------------------------------------------


class SwarmError(DatfsError):
    """Replication could not do what was asked."""


class ArchiveUnreachable(SwarmError):
    """Nobody who has this archive answered within the deadline."""

    exit_code = 69


class BlockUnavailable(SwarmError):
    """No peer gave a block within the deadline."""

    exit_code = 69


class TooBusy(SwarmError):
    """As many reads as allowed are already waiting for peers."""

    exit_code = 75


class ListenFailed(SwarmError):
    """The address to listen on cannot be had."""

    exit_code = 69


# --- identity ----------------------------------------------------------------------------------


class IdentityError(DatfsError):
    """Something is wrong with the identity archive or its files."""


class InvalidDocument(IdentityError):
    """profile.json or session.json is not what it must be; says where the mistake is."""

    exit_code = 65

    def __init__(self, document: str, where: str, mistake: str) -> None:
        super().__init__(f"{document}, {where}: {mistake}")
        self.document = document
        self.where = where
        self.mistake = mistake


# --- lobby -------------------------------------------------------------------------------------


class LobbyError(DatfsError):
    """A lobby could not do what was asked."""


class InvalidSignal(LobbyError):
    """An offer or answer that is neither signal JSON nor SDP."""

    exit_code = 65


class StaleSignal(InvalidSignal):
    """A signal for an earlier beacon or offer: nobody's fault, and it does not count."""


class NotPinned(LobbyError):
    """A connection whose certificate is not the one that was signalled; it must be closed."""


class NotYours(LobbyError):
    """A name in a lobby that belongs to somebody else."""


class LobbyRefused(LobbyError):
    """The host does not let this guest in; carries the host's reason."""

    exit_code = 77


class InvalidPassword(LobbyError):
    """A text that cannot be the password of a session."""

    exit_code = 65


class LobbyEnded(LobbyError):
    """The session is over."""

    exit_code = 69


# --- webrtc ------------------------------------------------------------------------------------


class WebRTCError(DatfsError):
    """The WebRTC engine could not do what was asked."""


class InvalidSdp(WebRTCError):
    """A session description that the engine cannot use."""

    exit_code = 65


class ChannelClosed(WebRTCError):
    """The data channel or its peer connection is gone."""

    exit_code = 69


class MessageTooLarge(WebRTCError):
    """A message longer than the peer said it takes."""

    exit_code = 65


class TooManyOffers(WebRTCError):
    """As many offers as allowed wait to be committed; one of them ends within a minute."""

    exit_code = 75


# --- store -------------------------------------------------------------------------------------


class StoreError(DatfsError):
    """The store cannot be used."""

    exit_code = 74


class StoreInUse(StoreError):
    """Another process holds the store; its pid and mountpoint are named."""

    exit_code = 75

    def __init__(self, home: str, pid: int | None, mountpoint: str | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        where = f", mounted at {mountpoint}" if mountpoint else ""
        super().__init__(
            f"the store {home} is in use by {holder}{where}; "
            "use that mount, end it with `datfs umount`, or choose another DATFS_HOME"
        )
        self.pid = pid
        self.mountpoint = mountpoint


# --- mount and command line --------------------------------------------------------------------


class MountError(DatfsError):
    """The file system cannot be mounted or unmounted; says what to do."""

    exit_code = 71


class NotMounted(DatfsError):
    """A command that needs a running mount found none."""

    exit_code = 69


class Timeout(DatfsError):
    """Something that was waited for did not come in time."""

    exit_code = 75


class ConfigError(DatfsError):
    """A setting that is unknown or has a value that makes no sense; names it and says which do."""

    exit_code = 78
