from __future__ import annotations

import os
from pathlib import Path

import pytest

from datfs.errors import MountError
from datfs.fs import kernel
from datfs.fs.mount import MountOptions, check_mountpoint
from tests.support.requirements import require_fuse

TABLE = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 22 0:45 / {busy} rw,nosuid,nodev shared:1 - fuse.datfs datfs rw,user_id=0
41 22 0:46 / /with\\040space rw - fuse.other other\\040source rw
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE.format(busy=tmp_path / "busy"))
    return table


def test_mount_table_is_read(table: Path, tmp_path: Path) -> None:
    found = kernel.find_mount(tmp_path / "busy", table)
    assert found is not None
    assert (found.device, found.filesystem, found.source) == ("0:45", "fuse.datfs", "datfs")
    spaced = kernel.find_mount(Path("/with space"), table)
    assert spaced is not None
    assert spaced.source == "other source"
    assert kernel.find_mount(tmp_path, table) is None


def test_missing_mountpoint(tmp_path: Path) -> None:
    with pytest.raises(MountError, match=r"does not exist; make it with `mkdir -p"):
        check_mountpoint(tmp_path / "nope")


def test_file_as_mountpoint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MountError, match="is not a directory"):
        check_mountpoint(tmp_path / "file")


def test_busy_mountpoint_is_named_without_touching_it(table: Path, tmp_path: Path) -> None:
    # It does not even exist: a dead mount fails every stat.
    with pytest.raises(MountError, match=r"mounted already \(fuse.datfs\); unmount it"):
        check_mountpoint(tmp_path / "busy", table=table)


def test_busy_mountpoint_behind_a_link(table: Path, tmp_path: Path) -> None:
    (tmp_path / "busy").mkdir()
    (tmp_path / "link").symlink_to("busy")
    with pytest.raises(MountError, match="mounted already"):
        check_mountpoint(tmp_path / "link", table=table)


def test_missing_device(tmp_path: Path) -> None:
    with pytest.raises(MountError, match="fuse is missing; load the kernel's FUSE module"):
        check_mountpoint(tmp_path, device=tmp_path / "fuse")


def test_missing_fusermount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_fuse()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MountError, match="fusermount3 is missing; install the package fuse3"):
        check_mountpoint(tmp_path)


def test_good_mountpoint_is_absolute_and_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_fuse()
    (tmp_path / "mnt").mkdir()
    (tmp_path / "link").symlink_to("mnt")
    monkeypatch.chdir(tmp_path)
    assert check_mountpoint(Path("link")) == Path(os.path.realpath(tmp_path)) / "mnt"


def test_kernel_settings_are_written_where_permitted(tmp_path: Path) -> None:
    connection = tmp_path / "fs/fuse/connections/45"
    bdi = tmp_path / "class/bdi/0:45"
    assert not kernel.raise_background_limit("0:45", 64, tmp_path)
    assert not kernel.raise_read_ahead("0:45", 1024, tmp_path)
    connection.mkdir(parents=True)
    bdi.mkdir(parents=True)
    assert kernel.raise_background_limit("0:45", 64, tmp_path)
    assert kernel.raise_read_ahead("0:45", 1024, tmp_path)
    assert (connection / "max_background").read_text() == "64"
    assert (connection / "congestion_threshold").read_text() == "48"
    assert (bdi / "read_ahead_kb").read_text() == "1024"


def test_options_for_libfuse() -> None:
    plain = MountOptions().as_fuse_options()
    assert {"default_permissions", "nosuid", "nodev", "fsname=datfs"} <= plain
    assert not {"allow_other", "ro"} & plain
    full = MountOptions(read_only=True, allow_other=True, extra=("noexec",)).as_fuse_options()
    assert {"allow_other", "ro", "noexec"} <= full
