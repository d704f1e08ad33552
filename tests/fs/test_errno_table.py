from __future__ import annotations

import errno

import pytest
import trio
from pyfuse3 import FUSEError

from datfs import errors
from datfs.fs.errno_table import ERRNO, answering, errno_of, silencing
from datfs.fs.operations import Operations


def _tree(cls: type[errors.DatfsError]) -> list[type[errors.DatfsError]]:
    return [cls, *(below for sub in cls.__subclasses__() for below in _tree(sub))]


@pytest.mark.parametrize("cls", _tree(errors.DatfsError))
def test_every_error_has_an_errno_of_its_branch_at_least(cls: type[errors.DatfsError]) -> None:
    nearest = next(base for base in cls.__mro__ if base in ERRNO)
    assert nearest is not errors.DatfsError or cls is errors.DatfsError
    assert errno_of(cls.__new__(cls)) == ERRNO[nearest]
    assert ERRNO[nearest] in errno.errorcode


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ReadOnlyArchive("others'"), errno.EROFS),
        (errors.ArchiveUnreachable("nobody"), errno.ETIMEDOUT),
        (errors.BlockUnavailable("nobody"), errno.EIO),
        (errors.TooBusy("full"), errno.EAGAIN),
        (errors.NameTooLong("x"), errno.ENAMETOOLONG),
        (errors.NameNotUtf8("x"), errno.EILSEQ),
        (errors.InvalidPath("x"), errno.EINVAL),
        (OSError(errno.ENOSPC, "full", "/store/data"), errno.ENOSPC),
        (OSError(errno.ENOTEMPTY, "not empty"), errno.ENOTEMPTY),
        (ExceptionGroup("a", [ExceptionGroup("b", [errors.TooBusy("full")])]), errno.EAGAIN),
        (FUSEError(errno.EXDEV), errno.EXDEV),
        (trio.TooSlowError(), errno.ETIMEDOUT),
    ],
)
async def test_handler_answers_known_errors(error: Exception, code: int) -> None:
    @answering
    async def handler() -> None:
        raise error

    with pytest.raises(FUSEError) as answer:
        await handler()
    assert answer.value.errno == code


@pytest.mark.expect_log("handler failed in an unforeseen way")
@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError(),
        FileNotFoundError(errno.ENOENT, "a store file", "/store/tree"),
        ExceptionGroup("a", [KeyError(1)]),
    ],
)
async def test_handler_logs_unknown_errors_and_answers_eio(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    @answering
    async def handler() -> None:
        raise error

    with pytest.raises(FUSEError) as answer:
        await handler()
    assert answer.value.errno == errno.EIO
    assert "Traceback" in caplog.text


async def test_cancellation_passes() -> None:
    @answering
    async def handler() -> None:
        await trio.sleep_forever()

    with trio.move_on_after(0) as scope:
        await handler()
    assert scope.cancelled_caught


@pytest.mark.expect_log("forget failed in an unforeseen way")
async def test_requests_without_answer_raise_nothing() -> None:
    @silencing
    async def forget() -> None:
        raise KeyError(7)

    await forget()


def test_every_handler_is_wrapped() -> None:
    own = {
        name: member
        for name, member in vars(Operations).items()
        if not name.startswith("_") and name not in {"init", "release_all"} and callable(member)
    }
    assert len(own) >= 24
    for name, member in own.items():
        assert hasattr(member, "__wrapped__"), name


def test_extended_attributes_are_not_implemented() -> None:
    assert not {"getxattr", "listxattr", "setxattr", "removexattr"} & vars(Operations).keys()
