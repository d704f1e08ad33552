"""A peer in a process of its own: answers the offer on its standard input, echoes what it hears.

The offer is one JSON line, so is the answer. The process ends when the connection does.
"""

from __future__ import annotations

import json
import sys

import trio
import trio_asyncio  # type: ignore[import-untyped]

from datfs.webrtc import open_engine


async def main() -> None:
    offer = json.loads(await trio.to_thread.run_sync(sys.stdin.readline))
    async with trio_asyncio.open_loop(), open_engine() as engine:
        answer = await engine.answer(offer["sdp"])
        print(json.dumps({"type": "answer", "sdp": answer.sdp}), flush=True)
        channel = await answer.connection.wait_open(20)
        while True:
            try:
                await channel.send(await channel.receive())
            except trio.EndOfChannel:
                return


if __name__ == "__main__":
    trio.run(main)
