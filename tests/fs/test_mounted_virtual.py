"""A tree of virtual nodes, mounted for real and used with ordinary programs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.mounts import Mount, is_mounted, mounted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _command(folder: Path) -> list[str | Path]:
    return [sys.executable, "-m", "tests.fs.serve_virtual", folder]


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    folder = tmp_path_factory.mktemp("virtual")
    (folder / "events").write_text("one\n")
    with mounted(folder, command=_command(folder)) as mount:
        yield mount


def sh(mount: Mount, script: str, *, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script],
        cwd=mount.path,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def test_listing_has_all_names_with_their_kinds(mount: Mount) -> None:
    done = sh(mount, "ls -la")
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:3]] == [".", ".."]
    assert sorted(os.listdir(mount.path)) == [
        "events",
        "link",
        "new-offer",
        "said",
        "say",
        "sub",
    ]
    assert "link -> said" in done.stdout
    assert os.readlink(mount.path / "link") == "said"


def test_directory_entries_carry_the_numbers_of_stat(mount: Mount) -> None:
    for entry in os.scandir(mount.path):
        assert entry.inode() == entry.stat(follow_symlinks=False).st_ino
    assert os.stat(mount.path).st_ino == 1


def test_written_command_changes_what_is_read(mount: Mount) -> None:
    assert sh(mount, "echo hello > say && cat said link").stdout == "hello\nhello\n"
    assert sh(mount, "echo other > say; cat said").stdout == "other\n"


def test_refused_command_fails_at_close(mount: Mount) -> None:
    done = sh(mount, "echo bad | dd of=say status=none")
    assert done.returncode != 0
    assert "Invalid argument" in done.stderr
    done = sh(mount, "head -c 65 /dev/zero | dd of=say status=none")
    assert "Message too long" in done.stderr
    assert sh(mount, "cat said").stdout != "bad\n"


def test_failing_handler_is_an_input_output_error_and_the_mount_lives_on(mount: Mount) -> None:
    done = sh(mount, "echo odd | dd of=say status=none")
    assert "Input/output error" in done.stderr
    assert sh(mount, "cat sub/pid").stdout == f"{mount.process.pid}\n"


def test_write_only_file_is_not_read(mount: Mount) -> None:
    assert os.stat(mount.path / "say").st_mode & 0o777 == 0o200
    assert sh(mount, "cat say").returncode != 0


def test_each_open_computes_anew_and_each_handle_sees_one_content(mount: Mount) -> None:
    with (mount.path / "new-offer").open() as first, (mount.path / "new-offer").open() as second:
        texts = first.read(), second.read()
        first.seek(0)
        assert first.read() == texts[0]
    assert texts[0] != texts[1]
    assert sh(mount, "cp new-offer /dev/stdout").stdout.startswith("offer ")


def test_virtual_tree_takes_no_changes(mount: Mount) -> None:
    for script, message in {
        "touch new": "Operation not permitted",
        "mkdir new": "Operation not permitted",
        "mkfifo new": "Operation not permitted",
        "ln -s a new": "Operation not permitted",
        "ln said new": "Operation not permitted",
        "rm -f said": "Operation not permitted",
        "rmdir sub": "Operation not permitted",
        "mv said new": "Operation not permitted",
        "chmod 777 said": "Operation not permitted",
        "truncate -s 1 said": "",
        "cat nope": "No such file or directory",
        "cat $'\\xff'": "No such file or directory",
        "touch $'\\xff'": "Invalid or incomplete multibyte",
    }.items():
        done = sh(mount, script)
        assert done.returncode != 0, script
        assert message in done.stderr, script


def test_disk_figures_are_those_of_the_store(mount: Mount) -> None:
    ours, disk = os.statvfs(mount.path), os.statvfs(mount.home.parent)
    assert (ours.f_blocks, ours.f_frsize) == (disk.f_blocks, disk.f_frsize)
    assert ours.f_namemax == 255
    assert sh(mount, "df .").stdout.splitlines()[1].startswith("datfs ")


def test_tail_follows_the_event_file(mount: Mount) -> None:
    events = mount.home.parent / "events"
    with subprocess.Popen(
        ["tail", "-n", "+1", "-s", "0.05", "-f", mount.path / "events"],
        stdout=subprocess.PIPE,
        text=True,
    ) as tail:
        try:
            assert tail.stdout is not None
            assert tail.stdout.readline() == "one\n"
            with events.open("a") as file:
                file.write("two\n")
            assert tail.stdout.readline() == "two\n"
        finally:
            tail.terminate()


def test_extended_attributes_are_unknown(mount: Mount) -> None:
    with pytest.raises(OSError, match="Operation not supported"):
        os.getxattr(mount.path / "said", "user.datfs.key")


def test_external_unmount_ends_the_server_cleanly(tmp_path: Path) -> None:
    with mounted(tmp_path, command=_command(tmp_path)) as mount:
        assert os.listdir(mount.path)
        subprocess.run(["fusermount3", "-u", mount.path], check=True)
        assert mount.process.wait(10) == 0
        assert "Traceback" not in mount.log.read_text()


def test_end_by_signal_frees_the_mountpoint_while_files_are_open(tmp_path: Path) -> None:
    with mounted(tmp_path, command=_command(tmp_path)) as mount:
        held = os.open(mount.path / "said", os.O_RDONLY)
        try:
            mount.process.send_signal(signal.SIGTERM)
            assert mount.process.wait(10) == 0
            assert not is_mounted(mount.path)
            with pytest.raises(OSError, match=r"not connected|aborted|No such device"):
                os.read(held, 10)
        finally:
            with contextlib.suppress(OSError):  # its mount is gone
                os.close(held)
        assert os.listdir(mount.path) == []


def test_killed_server_leaves_nothing_behind(tmp_path: Path) -> None:
    """What a failing test does to a mount; its fixture must clean up."""

    def fail() -> None:
        with mounted(tmp_path, command=_command(tmp_path)) as mount:
            mount.process.kill()
            mount.process.wait(10)
            assert is_mounted(mount.path)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not [name for name in tmp_path.iterdir() if is_mounted(name)]


def test_many_readers_at_once(mount: Mount) -> None:
    started = time.monotonic()
    done = sh(mount, "for i in $(seq 200); do cat new-offer & done; wait")
    assert len(done.stdout.splitlines()) == 200
    assert time.monotonic() - started < 15
