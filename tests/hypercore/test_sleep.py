from __future__ import annotations

from datfs.hypercore import sleep
from tests import vectors

FILES = vectors.load("feeds.json")["feeds"][0]["files"]


def test_headers_are_those_of_javascript() -> None:
    for name, header in (
        ("tree", sleep.TREE_HEADER),
        ("signatures", sleep.SIGNATURES_HEADER),
        ("bitfield", sleep.BITFIELD_HEADER),
    ):
        assert bytes.fromhex(FILES[name])[:32] == header
    assert sleep.OLD_BITFIELD_HEADER[:7].hex() == "05025700000d00"


def test_records_stand_where_the_files_have_them() -> None:
    assert sleep.node_place(8) + 40 == len(FILES["tree"]) // 2
    assert sleep.signature_place(4) + 64 == len(FILES["signatures"]) // 2
    assert sleep.page_place(1, sleep.PAGE_SIZE) == len(FILES["bitfield"]) // 2
