"""Two engines in one process, and a connection between them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple

import trio_asyncio  # type: ignore[import-untyped]

from datfs.webrtc import DataChannel, EngineConfig, PeerConnection, open_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from datfs.webrtc import Engine

OPEN_TIMEOUT_S = 10


class Pair(NamedTuple):
    """The offerer's and the answerer's end."""

    offerer: PeerConnection
    answerer: PeerConnection
    offered: DataChannel
    answered: DataChannel


async def connect(offering: Engine, answering: Engine) -> Pair:
    """Connects two engines and opens the first channel."""
    offer = await offering.create_offer()
    answer = await answering.answer(offer.sdp)
    await offer.accept_answer(answer.sdp)
    return Pair(
        offer.connection,
        answer.connection,
        await offer.connection.wait_open(OPEN_TIMEOUT_S),
        await answer.connection.wait_open(OPEN_TIMEOUT_S),
    )


@contextlib.asynccontextmanager
async def engine(config: EngineConfig | None = None) -> AsyncIterator[Engine]:
    """An engine in an asyncio loop, of which nothing is left at the end."""
    async with trio_asyncio.open_loop() as loop:
        async with open_engine(config) as opened:
            yield opened
        assert not asyncio.all_tasks(loop)


@contextlib.asynccontextmanager
async def pair(config: EngineConfig | None = None) -> AsyncIterator[Pair]:
    """Two engines of their own, connected."""
    async with engine(config) as offering, open_engine(config) as answering:
        yield await connect(offering, answering)
