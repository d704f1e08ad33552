"""An own archive, mounted for real and written with ordinary programs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fs.shell import act, good, python, settled, sh, version
from tests.support.mounts import Mount, mounted

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = Path(__file__).parents[2] / "datfs" / "fs"
PYTHON = f"'{sys.executable}' -c"


def _command(folder: Path) -> list[str | Path]:
    return [sys.executable, "-m", "tests.fs.serve_own", folder]


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    folder = tmp_path_factory.mktemp("own")
    with mounted(folder, command=_command(folder)) as mount:
        yield mount


@pytest.fixture
def here(mount: Mount, request: pytest.FixtureRequest) -> Path:
    """A directory of the test's own in the archive."""
    folder = mount.path / "me" / str(request.node.name).partition("[")[0]
    folder.mkdir(exist_ok=True)
    return folder


def seen(mount: Mount, path: Path) -> Path:
    """The same file as others see it: committed versions only."""
    return mount.path / "seen" / path.relative_to(mount.path / "me")


# --- versions ----------------------------------------------------------------------------------


def test_each_writing_is_one_version(mount: Mount, here: Path) -> None:
    before = version(mount)
    good(here, "echo x > f")
    assert version(mount) == before + 1
    good(here, "echo y >> f; cat f f > /dev/null")
    assert version(mount) == before + 2
    good(here, "for i in 1 2 3 4 5; do echo $i; done > loop")
    assert version(mount) == before + 3
    assert (here / "loop").read_text() == "1\n2\n3\n4\n5\n"
    assert seen(mount, here / "f").read_text() == "x\ny\n"


def test_rewriting_the_same_and_reading_are_no_version(mount: Mount, here: Path) -> None:
    good(here, "echo x > f")
    before = version(mount)
    good(here, "exec 3<>f; exec 3>&-; cat f; test -r f; stat f; ls -l")
    assert version(mount) == before


def test_duplicated_descriptors(mount: Mount, here: Path) -> None:
    before = version(mount)
    good(here, "exec 3>f; echo a >&3; exec 4>&3; echo b >&4; exec 3>&-; echo c >&4; exec 4>&-")
    assert (here / "f").read_text() == "a\nb\nc\n"
    assert version(mount) == before + 1
    good(here, "{ echo one; cat /dev/null; /bin/echo two; } > g")
    assert (here / "g").read_text() == "one\ntwo\n"
    assert version(mount) == before + 2


def test_created_empty_file_is_a_version_of_nothing(mount: Mount, here: Path) -> None:
    good(here, "touch f; : > g")
    version(mount)
    assert [path.stat().st_size for path in (seen(mount, here / "f"), here / "g")] == [0, 0]


def test_two_writers_see_each_other(here: Path) -> None:
    good(
        here,
        """
        exec 3>f 4<>f
        echo first >&3
        test "$(cat f)" = first
        printf F >&4
        exec 3>&-
        test "$(cat f)" = First
        """,
    )


def test_tree_is_copied_whole_and_removed_whole(mount: Mount, here: Path) -> None:
    good(here, f"cp -r {SOURCES} copy; diff -r {SOURCES} copy")
    version(mount)
    good(seen(mount, here), f"diff -r {SOURCES} copy")
    good(here, "rm -r copy; test ! -e copy")
    assert not seen(mount, here / "copy").exists()


def test_large_file_comes_back_as_written(mount: Mount, here: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(20 << 20))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    good(here, f"dd if={source} of=f bs=1M status=none")
    assert good(here, "sha256sum < f").split()[0] == digest
    version(mount)
    assert good(seen(mount, here), "sha256sum < f").split()[0] == digest
    assert (
        good(here, "dd if=f bs=1000 skip=777 count=3 status=none | sha256sum").split()[0]
        == hashlib.sha256(source.read_bytes()[777_000:780_000]).hexdigest()
    )


# --- content -----------------------------------------------------------------------------------


def test_append_truncate_and_holes(mount: Mount, here: Path) -> None:
    good(here, "printf 0123456789 > f; truncate -s 4 f; printf ab >> f")
    assert (here / "f").read_text() == "0123ab"
    good(here, "truncate -s 8 f; printf Z | dd of=f bs=1 seek=10 conv=notrunc status=none")
    assert (here / "f").read_bytes() == b"0123ab\0\0\0\0Z"
    good(here, "printf X | dd of=f bs=1 seek=1 conv=notrunc status=none")
    version(mount)
    assert seen(mount, here / "f").read_bytes() == b"0X23ab\0\0\0\0Z"
    good(here, "dd if=/dev/null of=sparse bs=1 seek=3000000 status=none")
    assert (here / "sparse").stat().st_size == 3_000_000
    assert not any((here / "sparse").read_bytes())


def test_append_by_two_programs_in_turn(here: Path) -> None:
    good(here, "exec 3>>f 4>>f; echo a >&3; echo b >&4; echo c >&3; exec 3>&- 4>&-")
    assert (here / "f").read_text() == "a\nb\nc\n"


def test_memory_maps(mount: Mount, here: Path) -> None:
    out = python(
        here,
        """
import mmap, os
with open("f", "wb+") as file:
    file.truncate(10000)
    with mmap.mmap(file.fileno(), 10000) as shared:
        shared[0:5] = b"begin"
        shared[9997:10000] = b"end"
        shared.flush()
with open("f", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as shared:
    print(shared[0:5], shared[5:6], shared[9997:])
""",
    )
    assert out == "b'begin' b'\\x00' b'end'\n"
    version(mount)
    assert seen(mount, here / "f").read_bytes()[-3:] == b"end"


def test_map_that_outlives_its_descriptor(mount: Mount, here: Path) -> None:
    python(
        here,
        """
import mmap, os
file = open("f", "wb+")
file.truncate(4096)
shared = mmap.mmap(file.fileno(), 4096)
file.close()
shared[0:4] = b"late"
shared.close()
""",
    )
    version(mount)
    assert seen(mount, here / "f").read_bytes()[:4] == b"late"


def test_unlinked_open_file_is_read_and_written(mount: Mount, here: Path) -> None:
    before_ino = python(
        here,
        """
import os
with open("f", "wb+") as file:
    file.write(b"still here")
    file.flush()
    os.unlink("f")
    assert not os.path.exists("f")
    assert os.fstat(file.fileno()).st_size == 10
    with open("f", "w") as newcomer:
        newcomer.write("new")
        assert os.fstat(newcomer.fileno()).st_ino != os.fstat(file.fileno()).st_ino
    file.seek(0, 2)
    file.write(b" and more")
    file.flush()
    os.fchmod(file.fileno(), 0o600)
    os.ftruncate(file.fileno(), 15)
    file.seek(0)
    assert file.read() == b"still here and ", file.read()
print("done")
""",
    )
    assert before_ino == "done\n"
    assert (here / "f").read_text() == "new"
    version(mount)
    assert seen(mount, here / "f").read_text() == "new"


# --- names -------------------------------------------------------------------------------------


def test_rename_keeps_numbers_and_open_files(mount: Mount, here: Path) -> None:
    good(here, "mkdir -p a/b; echo x > a/b/f; echo y > a/g; echo z > other")
    number = (here / "a" / "b" / "f").stat().st_ino
    good(here, "exec 3< a/b/f; mv a c; cat <&3; test ! -e a; cat c/b/f c/g")
    assert (here / "c" / "b" / "f").stat().st_ino == number
    assert sorted(os.listdir(seen(mount, here))) == ["c", "other"]
    good(here, "mv other c/g; test ! -e other")
    assert (here / "c" / "g").read_text() == "z\n"
    assert sh(here, "mv c c/b/inside").returncode != 0


def test_rename_while_it_is_written(mount: Mount, here: Path) -> None:
    before = version(mount)
    good(here, "exec 3>f; echo a >&3; mv f g; echo b >&3; exec 3>&-; test ! -e f")
    assert (here / "g").read_text() == "a\nb\n"
    version(mount)
    assert seen(mount, here / "g").read_text() == "a\nb\n"
    assert not seen(mount, here / "f").exists()
    assert version(mount) <= before + 3


def test_rename_over_an_open_file(here: Path) -> None:
    good(
        here,
        """
        echo old > f; echo new > g
        exec 3<f
        mv g f
        test "$(cat <&3)" = old
        test "$(cat f)" = new
        """,
    )


def test_editors_way_of_saving(mount: Mount, here: Path) -> None:
    good(here, "echo one > f; for i in 1 2 3; do cp f f.tmp; echo $i >> f.tmp; mv f.tmp f; done")
    assert (here / "f").read_text() == "one\n1\n2\n3\n"
    good(here, "sed -i s/one/two/ f")
    version(mount)
    assert seen(mount, here / "f").read_text() == "two\n1\n2\n3\n"


def test_rename_that_may_not_replace(here: Path) -> None:
    good(here, "echo a > a; echo b > b; mv -n a b || true")
    assert (here / "b").read_text() == "b\n"
    out = python(
        here,
        """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for flags in (1, 2):
    assert libc.renameat2(-100, b"a", -100, b"b", flags) == -1
    print(os.strerror(ctypes.get_errno()))
""",
    )
    assert out == "File exists\nInvalid argument\n"


def test_directories(mount: Mount, here: Path) -> None:
    before = version(mount)
    good(here, "mkdir d; mkdir d/e; touch d/e/f")
    version(mount)
    assert "Directory not empty" in sh(here, "rmdir d").stderr
    assert "File exists" in sh(here, "mkdir d").stderr
    assert "Is a directory" in sh(here, "echo > d").stderr
    assert "Not a directory" in sh(here, "cat d/e/f/g").stderr
    good(here, "rm d/e/f; rmdir d/e d; test ! -e d")
    assert version(mount) > before


def test_mode_and_times(mount: Mount, here: Path) -> None:
    good(here, "echo x > f; chmod 640 f; touch -d '2020-02-03 04:05:06.789123 UTC' f; chmod g+x f")
    status = (here / "f").stat()
    assert status.st_mode == 0o100650
    assert status.st_mtime_ns == status.st_atime_ns == 1580702706_789_000_000
    version(mount)
    assert seen(mount, here / "f").stat().st_mtime_ns == status.st_mtime_ns
    assert seen(mount, here / "f").stat().st_mode == 0o100650
    good(here, f"cp -p {SOURCES}/node.py copy; mkdir d; chmod 700 d; touch -d @5 d")
    assert (here / "copy").stat().st_mtime_ns // 10**6 == (
        SOURCES / "node.py"
    ).stat().st_mtime_ns // 10**6
    assert ((here / "d").stat().st_mode, (here / "d").stat().st_mtime) == (0o040700, 5)


def test_owner_is_the_mounter(here: Path) -> None:
    good(here, f"echo x > f; chown {os.getuid()}:{os.getgid()} f; chgrp {os.getgid()} f")
    assert "Operation not permitted" in sh(here, "chown 12345 f").stderr
    assert "Operation not permitted" in sh(here, "chgrp 12345 f").stderr


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo x > f; ln f g", "Operation not permitted"),
        ("ln -s f g", "Operation not permitted"),
        ("mkfifo g", "Operation not permitted"),
        ("mknod g c 1 3", "Operation not permitted"),
        (f"{PYTHON} 'import socket as s; s.socket(s.AF_UNIX).bind(\"g\")'", "not permitted"),
        (f"{PYTHON} 'import os; os.open(\".\", os.O_TMPFILE | os.O_RDWR)'", "not supported"),
        (f'echo x > f; {PYTHON} \'import os; os.setxattr("f", "user.a", b"")\'', "not supported"),
        ("touch 'a\\b'", "Invalid argument"),
        ("touch $'a\\nb'", "Invalid argument"),
        ("mkdir $'a\\x7f'", "Invalid argument"),
        ("echo x > f; mv f $'\\001'", "to a subdirectory of itself"),  # mv's words for EINVAL
        ("touch $'\\xff'", "Invalid or incomplete multibyte"),
        ("touch $(printf 'x%.0s' $(seq 256))", "File name too long"),
        ("touch $(printf 'é%.0s' $(seq 128))", "File name too long"),
        ("echo x > f; fallocate -l 100 f", "Operation not supported"),
        ("cat nope", "No such file or directory"),
        ("rm nope", "No such file or directory"),
    ],
)
def test_what_dat_cannot_hold(here: Path, script: str, message: str) -> None:
    done = sh(here, script)
    assert done.returncode != 0
    assert message in done.stderr


def test_names_of_all_alphabets(mount: Mount, here: Path) -> None:
    names = ["é", "e\u0301", "日本語", "🦀", "a b", "'\"$", "x" * 255, "-n", "*"]
    for name in names:
        (here / name).write_text(name)
    assert sorted(os.listdir(here)) == sorted(names)
    version(mount)
    assert sorted(path.read_text() for path in seen(mount, here).iterdir()) == sorted(names)


# --- what the owner says of files --------------------------------------------------------------


def test_completed_file_is_seen_complete_after_close(mount: Mount) -> None:
    me = mount.path / "me"
    good(me, """echo '{"name": "Foobar"}' > session.json; cat session.json > /dev/null""")
    assert (me / "session.json").read_text() == '{"name": "Foobar", "url": "dat://complete"}'
    for name in ("Longer name than before", "x"):
        script = f"""exec 3>session.json; echo '{{"name": "{name}"}}' >&3; exec 3>&-"""
        size = int(good(me, f"{script}; wc -c < session.json"))
        text = f'{{"name": "{name}", "url": "dat://complete"}}'
        assert size == len(text)
        assert (me / "session.json").read_text() == text
    good(me, """echo '{"name": "moved"}' > tmp; cat tmp > /dev/null; mv tmp session.json""")
    assert (me / "session.json").read_text() == '{"name": "moved", "url": "dat://complete"}'


def test_refused_content_fails_at_close_and_is_never_a_version(mount: Mount) -> None:
    me = mount.path / "me"
    done = sh(me, "echo no signal | dd of=a.offer.bin status=none")
    assert "Invalid argument" in done.stderr
    version(mount)
    assert not (mount.path / "seen" / "a.offer.bin").exists()
    good(me, """echo '{"type": "offer"}' > a.offer.bin""")
    version(mount)
    assert "offer" in (mount.path / "seen" / "a.offer.bin").read_text()
    sh(me, "echo no signal | dd of=a.offer.bin status=none")
    settled(lambda: "offer" in (me / "a.offer.bin").read_text())
    assert (me / "a.offer.bin").stat().st_size == len('{"type": "offer"}\n')


def test_forbidden_name(mount: Mount) -> None:
    assert "Invalid argument" in sh(mount.path / "me", "touch forbidden").stderr


# --- changes behind the kernel's back ----------------------------------------------------------


def test_services_changes_are_seen_at_once(mount: Mount, here: Path) -> None:
    inside = f"/{here.name}"
    good(here, "echo before > f; cat f; test ! -e new; test ! -e dir/deep")
    version(mount)
    assert seen(mount, here / "f").read_text() == "before\n"
    assert not seen(mount, here / "new").exists()

    act(mount, write=f"{inside}/f", text="written by a service, and longer")
    for path in (here / "f", seen(mount, here / "f")):
        assert path.read_text() == "written by a service, and longer"
        assert path.stat().st_size == 32

    act(mount, write=f"{inside}/new", text="n")
    assert (here / "new").read_text() == seen(mount, here / "new").read_text() == "n"
    act(mount, mkdir=f"{inside}/dir")
    act(mount, write=f"{inside}/dir/deep", text="d")
    assert (here / "dir" / "deep").read_text() == "d"
    act(mount, rename=f"{inside}/dir", to=f"{inside}/moved")
    for folder in (here, seen(mount, here)):
        assert not (folder / "dir").exists()
        assert (folder / "moved" / "deep").read_text() == "d"
    act(mount, unlink=f"{inside}/new")
    assert not (here / "new").exists()
    assert not seen(mount, here / "new").exists()


def test_open_file_follows_a_services_change(mount: Mount, here: Path) -> None:
    good(here, "echo before > f")
    version(mount)
    with (here / "f").open() as file, seen(mount, here / "f").open() as other:
        assert file.read() == other.read() == "before\n"
        act(mount, write=f"/{here.name}/f", text="after")
        file.seek(0)
        other.seek(0)
        assert file.read() == other.read() == "after"
        act(mount, unlink=f"/{here.name}/f")
        file.seek(0)
        assert file.read() == "after"


def test_service_may_not_write_under_a_writer(mount: Mount, here: Path) -> None:
    with (here / "f").open("w") as file:
        file.write("mine")
        with pytest.raises(OSError, match="busy"):
            act(mount, write=f"/{here.name}/f", text="theirs")
    assert (here / "f").read_text() == "mine"


def test_archive_of_others_is_read_only(mount: Mount, here: Path) -> None:
    good(here, "echo x > f; mkdir d")
    version(mount)
    for script in (
        "echo y > f",
        "echo y >> f",
        "touch f",
        "touch new",
        "mkdir new",
        "rm -f f",
        "rmdir d",
        "mv f g",
        "chmod 600 f",
        "truncate -s 0 f",
        "mkfifo new",
        "ln f new",
        "ln -s f new",
    ):
        done = sh(seen(mount, here), script)
        assert done.returncode != 0, script
        assert "Read-only file system" in done.stderr, (script, done.stderr)
    assert os.access(seen(mount, here / "f"), os.W_OK)
    assert good(here, "cat f") == "x\n"


# --- promises ----------------------------------------------------------------------------------


def test_closed_file_survives_the_death_of_the_server(tmp_path: Path) -> None:
    with mounted(tmp_path, command=_command(tmp_path)) as mount:
        good(mount.path / "me", "echo kept > f; exec 3>g; echo flushed >&3; exec 4>&3; exec 4>&-")
        held = os.open(mount.path / "me" / "h", os.O_WRONLY | os.O_CREAT)
        os.write(held, b"synced")
        os.fsync(held)
        mount.process.kill()
        mount.process.wait(10)
        subprocess.run(["fusermount3", "-uz", mount.path], check=True)
        with pytest.raises(OSError, match=r"not connected|aborted"):
            os.close(held)
    with mounted(tmp_path, command=_command(tmp_path)) as mount:
        assert (mount.path / "me" / "f").read_text() == "kept\n"
        assert (mount.path / "me" / "g").read_text() == "flushed\n"
        assert (mount.path / "me" / "h").read_text() == "synced"
        assert version(mount) >= 3


def test_what_is_open_when_the_mount_ends_becomes_a_version(tmp_path: Path) -> None:
    with mounted(tmp_path, command=_command(tmp_path)) as mount:
        held = os.open(mount.path / "me" / "f", os.O_WRONLY | os.O_CREAT)
        os.write(held, b"not closed")
        mount.process.terminate()
        assert mount.process.wait(10) == 0
        with pytest.raises(OSError, match=r"not connected|aborted"):
            os.close(held)
    with mounted(tmp_path, command=_command(tmp_path)) as mount:
        assert (mount.path / "me" / "f").read_text() == "not closed"
        assert version(mount) == 1


def test_numbers_are_the_same_after_a_remount(tmp_path: Path) -> None:
    with mounted(tmp_path, command=_command(tmp_path)) as mount:
        good(mount.path / "me", "mkdir d; echo x > d/f")
        numbers = [(mount.path / "me" / name).stat().st_ino for name in ("", "d", "d/f")]
    with mounted(tmp_path, command=_command(tmp_path)) as mount:
        assert numbers == [(mount.path / "me" / name).stat().st_ino for name in ("", "d", "d/f")]


def test_nothing_unforeseen_was_logged(mount: Mount) -> None:
    """Must stay the last test that uses the shared mount."""
    assert "Traceback" not in mount.log.read_text()
    assert "unforeseen" not in mount.log.read_text()
