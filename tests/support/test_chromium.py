from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import chromium_page

if TYPE_CHECKING:
    from pathlib import Path


def test_a_page_evaluates_and_its_failures_are_quoted(tmp_path: Path) -> None:
    with chromium_page(tmp_path / "browser") as page:
        assert page.evaluate("Promise.resolve([6 * 7, typeof RTCPeerConnection])") == [
            42,
            "function",
        ]
        with pytest.raises(AssertionError, match="no such thing"):
            page.evaluate("(() => { throw new Error('no such thing') })()")
