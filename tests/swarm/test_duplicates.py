"""Which of two connections stays."""

from __future__ import annotations

from datfs.swarm.duplicates import Candidate, keeps_older

SMALL, LARGE = b"\x01" * 32, b"\x02" * 32


def candidate(*, outgoing: bool, began_at: float = 0.0, heard_at: float = 0.0) -> Candidate:
    return Candidate(outgoing=outgoing, began_at=began_at, heard_at=heard_at)


def test_both_ends_of_crossing_dials_keep_the_one_that_the_smaller_id_dialled() -> None:
    for local, remote in ((SMALL, LARGE), (LARGE, SMALL)):
        for older_outgoing in (True, False):
            kept_older = keeps_older(
                candidate(outgoing=older_outgoing),
                candidate(outgoing=not older_outgoing, began_at=0.1),
                local_id=local,
                remote_id=remote,
                now=0.2,
            )
            kept_is_outgoing = older_outgoing if kept_older else not older_outgoing
            assert kept_is_outgoing == (local == SMALL)


def test_an_established_connection_is_not_closed_for_a_newcomer_with_its_id() -> None:
    older = candidate(outgoing=True, began_at=0, heard_at=99)
    newer = candidate(outgoing=False, began_at=100, heard_at=100)
    assert keeps_older(older, newer, local_id=LARGE, remote_id=SMALL, now=100)


def test_a_silent_connection_gives_way() -> None:
    older = candidate(outgoing=True, began_at=0, heard_at=10)
    newer = candidate(outgoing=True, began_at=100, heard_at=100)
    assert not keeps_older(older, newer, local_id=SMALL, remote_id=LARGE, now=100)
