"""Clones of a 256 MiB archive over loopback, from and to the disk, beside JavaScript's own.

The JavaScript side runs with native libsodium, the fastest that it comes in. The clock of a clone
runs in the process that downloads, from its dial to the last stored block, so neither start-up nor
anything read afterwards counts.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.child import Child
from benchmarks.figures import Figure
from tests.support.node_peers import native_peers

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE_MIB = 256
REPEATS = 5
MIB = 1 << 20
PIECE = 1 << 20

DOWNLOAD = "download.js"
OWN_DRIVERS = Path(__file__).parent
PAIRS = (("JavaScript", "JavaScript"), ("JavaScript", "datfs"), ("datfs", "JavaScript"),
         ("datfs", "datfs"))  # fmt: skip


def clone(folder: Path, repeat: int | None) -> Iterator[Figure]:
    """A 256 MiB archive between JavaScript and datfs, each way; beside JavaScript's own."""
    peers = native_peers()
    archive = _import(peers, folder)
    rates: dict[tuple[str, str], list[float]] = {pair: [] for pair in PAIRS}
    cpu: dict[tuple[str, str], list[float]] = {pair: [] for pair in PAIRS}
    for _ in range(repeat or REPEATS):
        for pair in PAIRS:
            os.sync()
            seconds, cpu_s = _clone(peers, archive, folder / "copy", *pair)
            rates[pair].append(SIZE_MIB * MIB / 1e6 / seconds)
            cpu[pair].append(cpu_s)
    beside: Figure | None = None
    for pair in PAIRS:
        used = sorted(cpu[pair])[len(cpu[pair]) // 2]
        figure = Figure(
            what=f"clone {SIZE_MIB} MiB: {' to '.join(pair)}",
            unit="MB/s",
            values=rates[pair],
            beside=beside,
            note=f"downloader's CPU {used:.2f} s",
        )
        beside = beside or figure
        yield figure


def _import(peers: Path, folder: Path) -> Path:
    source, archive = folder / "source", folder / "archive"
    source.mkdir()
    with (source / "big.bin").open("wb") as target:
        for _ in range(SIZE_MIB):
            target.write(os.urandom(PIECE))
    with _node(peers, peers / "make.js", source, archive) as make:
        make.hear("done")
    return archive


def _clone(peers: Path, archive: Path, copy: Path, server: str, client: str) -> tuple[float, float]:
    with _end(peers, server, "serve.js", "serve", archive) as serving:
        listening = serving.hear("listening")
        where = (listening["key"], str(listening["port"]), copy)
        with _end(peers, client, DOWNLOAD, "clone", *where) as cloning:
            done = cloning.hear("done")
    assert done["blocks"] == SIZE_MIB * MIB // 65536, done
    shutil.rmtree(copy)
    return done["seconds"], done["cpu_seconds"]


def _end(peers: Path, kind: str, script: str, verb: str, *arguments: str | Path) -> Child:
    if kind == "JavaScript":
        own = OWN_DRIVERS / script
        return _node(peers, own if own.exists() else peers / script, *arguments)
    return Child([sys.executable, "-m", "benchmarks.swarm_end", verb, *arguments])


def _node(peers: Path, script: Path, *arguments: str | Path) -> Child:
    packages = {"NODE_PATH": str(peers / "node_modules"), "NODE_NO_WARNINGS": "1"}
    return Child(["node", "-r", peers / "native.js", script, *arguments], packages)
