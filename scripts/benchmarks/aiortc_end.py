"""One end of an aiortc connection and nothing else, driven over stdin and stdout.

    python -m benchmarks.aiortc_end offer|answer

A line of JSON each: descriptions go out and come in complete. The offerer makes a connection for
each `{"go": true}` and tells the milliseconds from createOffer to the open channel.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _description(pc: RTCPeerConnection) -> dict[str, str]:
    return {"type": pc.localDescription.type, "sdp": pc.localDescription.sdp}


async def _offer(reader: asyncio.StreamReader) -> None:
    while await reader.readline():
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        began = time.perf_counter()
        channel = pc.createDataChannel("bench")
        opened = asyncio.Event()
        channel.on("open", opened.set)
        await pc.setLocalDescription(await pc.createOffer())
        _tell(_description(pc))
        answer = json.loads(await reader.readline())
        await pc.setRemoteDescription(RTCSessionDescription(**answer))
        await opened.wait()
        _tell({"open_ms": (time.perf_counter() - began) * 1000})
        await pc.close()


async def _answer(reader: asyncio.StreamReader) -> None:
    last: RTCPeerConnection | None = None
    while line := await reader.readline():
        if last is not None:
            await last.close()
        last = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        await last.setRemoteDescription(RTCSessionDescription(**json.loads(line)))
        await last.setLocalDescription(await last.createAnswer())
        _tell(_description(last))


async def _main() -> None:
    reader = await _lines()
    await (_offer(reader) if sys.argv[1] == "offer" else _answer(reader))


asyncio.run(_main())
