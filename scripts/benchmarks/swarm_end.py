"""One end of a clone by datfs, in a process of its own: what a mount does, without the mount.

    python -m benchmarks.swarm_end serve FOLDER
    python -m benchmarks.swarm_end clone KEY PORT FOLDER

Tells lines of JSON as the JavaScript drivers do.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import trio

from datfs.hyperdrive.archive import Archive
from datfs.hyperdrive.folder import open_folder, raw_storage
from datfs.swarm.announcer import Announcer
from datfs.swarm.archive_replica import ArchiveReplica
from datfs.swarm.swarm import Swarm, SwarmOptions
from datfs.swarm.topic import Topic
from datfs.swarm.transport import Address


def _tell(event: str, **fields: Any) -> None:  # noqa: ANN401 - any JSON
    print(json.dumps({"event": event, **fields}), flush=True)


async def _run(archive: Archive, port: int | None) -> None:
    announcer = Announcer()
    swarm = Swarm(SwarmOptions(listen=("127.0.0.1",), port=0), announcer)
    topic = Topic(archive.key, archive.discovery_key)
    replica = ArchiveReplica(
        archive, topic, announcer, on_change=lambda _changes: None, download_all=port is not None
    )
    swarm.join(topic)
    async with trio.open_nursery() as nursery:
        await nursery.start(swarm.run)
        if port is None:
            _tell("listening", key=archive.key.hex(), port=swarm.port)
            await trio.sleep_forever()
        began, used = time.perf_counter(), time.process_time()
        swarm.add_address(topic, Address("127.0.0.1", port or 0), "bench")
        await _until_whole(replica)
        _tell(
            "done",
            seconds=time.perf_counter() - began,
            cpu_seconds=time.process_time() - used,
            blocks=0 if archive.content is None else archive.content.length,
        )
        nursery.cancel_scope.cancel()


async def _until_whole(replica: ArchiveReplica) -> None:
    while True:
        content = replica.content
        length = 0 if content is None else content.feed.length
        if content is not None and length and content.feed.held_count() == length:
            return
        await trio.sleep(0.002)


def _main() -> None:
    match sys.argv[1:]:
        case ["serve", folder]:
            trio.run(_run, open_folder(Path(folder)), None)
        case ["clone", key, port, folder]:
            archive = Archive.create_remote(raw_storage(Path(folder)), bytes.fromhex(key))
            trio.run(_run, archive, int(port))


_main()
