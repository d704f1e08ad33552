"""Single feeds in the swarm: appended, announced, withdrawn and cleared."""

from __future__ import annotations

from datfs.crypto.keys import KeyPair, discovery_key
from datfs.hypercore.feed import Feed
from datfs.hypercore.storage import MemoryStorage
from datfs.swarm.feed_replica import FeedReplica
from datfs.swarm.log_replica import LogReplica
from datfs.swarm.topic import Topic
from tests.swarm.hosts import Host, eventually, host


def serve(member: Host, feed: Feed, *, grows: bool = True) -> LogReplica:
    topic = Topic(feed.key, discovery_key(feed.key), grows=grows)
    replica = FeedReplica(feed, download_all=True)
    log = LogReplica(replica, topic, member.announcer)
    member.swarm.join(topic)
    return log


async def test_a_log_grows_at_its_readers_and_what_is_withdrawn_stays_away() -> None:
    pair = KeyPair.from_seed(b"\x31" * 32)
    async with host() as writing, host() as reading, host() as late:
        own = serve(writing, Feed.create(MemoryStorage(), pair, store_secret_key=True))
        for number in range(3):
            own.append(b"%d" % number)
        copy = serve(reading, Feed.create_remote(MemoryStorage(), pair.public_key))
        reading.swarm.add_address(copy.topic, writing.address, "test")
        told: list[int] = []
        copy.on_change = lambda: told.append(copy.feed.length)
        await eventually(lambda: copy.feed.held_count() == 3)
        assert own.append(b"3") == 3
        await eventually(lambda: copy.feed.has(3))
        assert told[-1] == 4
        await own.sync()

        own.replica.withdraw(range(1, 2))
        own.feed.clear(1, 2)
        copy.replica.withdraw(range(1, 2))
        copy.feed.clear(1, 2)
        own.append(b"4")
        await eventually(lambda: copy.feed.has(4))
        assert not copy.feed.has(1), "it is not fetched again"

        behind = serve(late, Feed.create_remote(MemoryStorage(), pair.public_key))
        late.swarm.add_address(behind.topic, writing.address, "test")
        await eventually(lambda: behind.feed.held_count() == 4)
        assert [number for number in range(5) if not behind.feed.has(number)] == [1]


async def test_a_reader_that_still_has_it_is_not_asked_by_one_that_cleared_it() -> None:
    pair = KeyPair.from_seed(b"\x32" * 32)
    async with host() as writing, host() as reading:
        own = serve(writing, Feed.create(MemoryStorage(), pair, store_secret_key=True))
        own.append(b"header")
        own.append(b"signal")
        copy = serve(reading, Feed.create_remote(MemoryStorage(), pair.public_key))
        reading.swarm.add_address(copy.topic, writing.address, "test")
        await eventually(lambda: copy.feed.held_count() == 2)
        copy.replica.withdraw(range(1, 2))
        copy.feed.clear(1, 2)
        own.append(b"next")
        await eventually(lambda: copy.feed.has(2))
        assert not copy.feed.has(1)
        assert own.feed.get(1) == b"signal"
