"""Every error that a handler can meet, as the errno that the kernel is told.

The only place where errors become errnos. `answering` wraps every handler of
`datfs.fs.operations`: pyfuse3 ends its main loop, and so the mount, on any exception that is no
`FUSEError`, so nothing else may pass. Errors of ours are answered quietly (the caller is told);
unknown ones are logged with their traceback and become EIO.
"""

from __future__ import annotations

import errno
import functools
import logging
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import trio
from pyfuse3 import FUSEError

from datfs import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from typing import Any

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)

ERRNO: Mapping[type[Exception], int] = {
    errors.DatfsError: errno.EIO,
    errors.EncodingError: errno.EINVAL,
    errors.CryptoError: errno.EIO,
    errors.HypercoreError: errno.EIO,
    errors.ReadOnlyFeed: errno.EROFS,
    errors.HyperdriveError: errno.EIO,
    errors.InvalidPath: errno.EINVAL,
    errors.NameTooLong: errno.ENAMETOOLONG,
    errors.NameNotUtf8: errno.EILSEQ,
    errors.ReadOnlyArchive: errno.EROFS,
    errors.StagingError: errno.EIO,
    errors.EntryExists: errno.EEXIST,
    errors.EntryMissing: errno.ENOENT,
    errors.NotADirectory: errno.ENOTDIR,
    errors.IsADirectory: errno.EISDIR,
    errors.DirectoryNotEmpty: errno.ENOTEMPTY,
    errors.InvalidMove: errno.EINVAL,
    errors.NotPermitted: errno.EPERM,
    errors.NotOpenForWriting: errno.EBADF,
    errors.FileTooLarge: errno.EFBIG,
    errors.Busy: errno.EBUSY,
    errors.NotYet: errno.EAGAIN,
    errors.NoSpace: errno.ENOSPC,
    errors.WireError: errno.EPROTO,
    errors.SwarmError: errno.EIO,
    errors.ArchiveUnreachable: errno.ETIMEDOUT,
    errors.TooBusy: errno.EAGAIN,
    errors.ListenFailed: errno.EADDRNOTAVAIL,
    errors.IdentityError: errno.EIO,
    errors.InvalidDocument: errno.EINVAL,
    errors.LobbyError: errno.EIO,
    errors.InvalidSignal: errno.EINVAL,
    errors.InvalidPassword: errno.EINVAL,
    errors.NotYours: errno.EPERM,
    errors.LobbyRefused: errno.EACCES,
    errors.LobbyEnded: errno.ENOTCONN,
    errors.WebRTCError: errno.EIO,
    errors.InvalidSdp: errno.EINVAL,
    errors.MessageTooLarge: errno.EMSGSIZE,
    errors.TooManyOffers: errno.EAGAIN,
    errors.ChannelClosed: errno.EPIPE,
    errors.StoreError: errno.EIO,
    errors.StoreInUse: errno.EBUSY,
    errors.ConfigError: errno.EINVAL,
    errors.MountError: errno.EIO,
    errors.NotMounted: errno.ENOTCONN,
    errors.Timeout: errno.ETIMEDOUT,
    trio.TooSlowError: errno.ETIMEDOUT,
    MemoryError: errno.ENOMEM,
}
"""A class without a line of its own is answered like the nearest class above it."""

# An OSError with a file name comes from a store file, whose absence or mode says nothing about the
# path that the caller asked for. Of those only what the caller can act upon is passed on.
_STORE_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EROFS}
)


def errno_of(error: Exception) -> int | None:
    """The errno of an error, or None for one that nobody expected."""
    for leaf in _leaves(error):
        code = _errno_of_leaf(leaf)
        if code is not None:
            return code
    return None


def _errno_of_leaf(error: BaseException) -> int | None:
    if isinstance(error, FUSEError):
        return error.errno
    if isinstance(error, OSError) and not isinstance(error, errors.DatfsError):
        if error.filename is None or error.errno in _STORE_ERRNOS:
            return error.errno
        return None
    for cls in type(error).__mro__:
        code = ERRNO.get(cls)
        if code is not None:
            return code
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def answering(handler: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Makes a handler raise `FUSEError` and nothing else (cancellation excepted)."""

    @functools.wraps(handler)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await handler(*args, **kwargs)
        except FUSEError:
            raise
        except Exception as error:
            code = errno_of(error)
            if code is None:
                log.exception("%s failed in an unforeseen way", handler.__name__)
                code = errno.EIO
            raise FUSEError(code) from error

    return answer


def silencing(
    handler: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, Coroutine[Any, Any, None]]:
    """Makes a handler raise nothing at all, for requests that have no answer (forget)."""

    @functools.wraps(handler)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await handler(*args, **kwargs)
        except Exception:
            log.exception("%s failed in an unforeseen way", handler.__name__)

    return answer
