"""The life of a mount: checks beforehand, serving, the kernel's settings, a clean end.

`serve` is all that the application calls. The process that serves never touches its own mount.
pyfuse3 has one session a process, so a process serves one mount.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyfuse3
import trio

from datfs.errors import MountError
from datfs.fs import kernel
from datfs.fs.operations import Operations

if TYPE_CHECKING:
    from datfs.fs.invalidation import Invalidator
    from datfs.fs.node import Directory
    from datfs.fs.waiting import WaitingRoom

log = logging.getLogger(__name__)

FUSE_DEVICE = Path("/dev/fuse")
END_LIMIT_S = 5.0  # how long the end of a mount waits for notifications under way
RELEASE_LIMIT_S = 60.0  # and for open files to be committed


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """How a tree is mounted."""

    source: str = "datfs"  # shown as the device by mount(8) and df(1)
    read_only: bool = False
    allow_other: bool = False  # other users may enter; needs user_allow_other in fuse.conf
    extra: tuple[str, ...] = ()  # further libfuse options, as after -o
    max_tasks: int = 1024  # requests in work at once; far above what may wait for peers
    max_background: int = 512  # of these, what the kernel sends in the background
    read_ahead_kib: int = 1024

    def as_fuse_options(self) -> set[str]:
        """The options as libfuse takes them."""
        options = {
            "default_permissions",
            "nosuid",
            "nodev",
            f"fsname={self.source}",
            "subtype=datfs",
            *self.extra,
        }
        if self.allow_other:
            options.add("allow_other")
        if self.read_only:
            options.add("ro")
        return options


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What is mounted."""

    root: Directory
    store: Path  # whose disk statfs(2) speaks for
    waiting: WaitingRoom  # shared with the views of the tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """A mount that serves."""

    mountpoint: Path
    invalidator: Invalidator  # to be told what changes behind the kernel's back


def check_mountpoint(
    mountpoint: Path, *, device: Path = FUSE_DEVICE, table: Path = kernel.MOUNT_TABLE
) -> Path:
    """Finds out beforehand what would keep a mount from coming about.

    Returns:
        The mountpoint, absolute and without links.

    Raises:
        MountError: One sentence that says what is wrong and what to do.
    """
    path = Path(os.path.abspath(mountpoint))
    _check_not_mounted(path, table)  # before any stat: a dead mount would fail or hang it
    if not path.exists():
        raise MountError(f"the mountpoint {path} does not exist; make it with `mkdir -p {path}`")
    if not path.is_dir():
        raise MountError(f"the mountpoint {path} is not a directory")
    path = path.resolve()
    _check_not_mounted(path, table)
    _check_fuse(device)
    return path


def _check_not_mounted(path: Path, table: Path) -> None:
    mounted = kernel.find_mount(path, table)
    if mounted is not None:
        raise MountError(
            f"{path} has a file system mounted already ({mounted.filesystem}); "
            f"unmount it with `fusermount3 -u {path}` or choose another directory"
        )


def _check_fuse(device: Path) -> None:
    try:
        is_device = stat.S_ISCHR(device.stat().st_mode)
    except FileNotFoundError:
        is_device = False
    if not is_device:
        raise MountError(
            f"{device} is missing; load the kernel's FUSE module with `modprobe fuse`, "
            "or give the container that device"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise MountError(f"{device} may not be opened by you; its mode should be 0666")
    if shutil.which("fusermount3") is None:
        raise MountError("fusermount3 is missing; install the package fuse3")


async def serve(
    tree: Tree,
    mountpoint: Path,
    options: MountOptions,
    *,
    task_status: trio.TaskStatus[Mounted] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Mounts a tree and serves it until it is unmounted or the task is cancelled.

    Args:
        tree: What to show.
        mountpoint: Where; an existing directory.
        options: How.
        task_status: Told when the mount serves.

    Raises:
        MountError: It could not be mounted.
    """
    path = check_mountpoint(mountpoint)
    operations = Operations(tree.root, tree.store)
    try:
        pyfuse3.init(operations, str(path), options.as_fuse_options())
    except RuntimeError as error:
        raise MountError(
            f"{path} could not be mounted; the reason stands above, from fusermount3 or libfuse"
        ) from error
    try:
        await _run(tree, operations, path, options, task_status)
    finally:
        pyfuse3.close(unmount=True)
        with trio.move_on_after(RELEASE_LIMIT_S, shield=True):
            await operations.release_all()


async def _run(
    tree: Tree,
    operations: Operations,
    path: Path,
    options: MountOptions,
    task_status: trio.TaskStatus[Mounted],
) -> None:
    """Answers the kernel.

    When this is cancelled, requests are answered for a moment longer: a notification under way
    may wait for one, and only its return lets the session be taken apart.
    """
    answering, notifying = trio.CancelScope(shield=True), trio.CancelScope(shield=True)
    ended = trio.Event()

    async def answer() -> None:
        with answering:
            await pyfuse3.main(max_tasks=options.max_tasks)
        ended.set()
        operations.initialised.set()

    async def notify() -> None:
        with notifying:
            await operations.invalidator.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        nursery.start_soon(notify)
        try:
            await operations.initialised.wait()
            _tune(tree, path, options)
            task_status.started(Mounted(mountpoint=path, invalidator=operations.invalidator))
            await ended.wait()
        finally:
            with trio.move_on_after(END_LIMIT_S, shield=True):
                await operations.invalidator.told()
            notifying.cancel()
            answering.cancel()


def _tune(tree: Tree, path: Path, options: MountOptions) -> None:
    """Sets what the kernel could not be told at mounting; must follow its first request."""
    mounted = kernel.find_mount(path)
    if mounted is None:
        return  # unmounted again already
    tree.waiting.background_is_scarce = not kernel.raise_background_limit(
        mounted.device, options.max_background
    )
    kernel.raise_read_ahead(mounted.device, options.read_ahead_kib)
    if tree.waiting.background_is_scarce:
        log.info("files that are not wholly here are read without page cache")
