from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.encoding.dat_url import DatUrl, parse_dat_url
from datfs.errors import InvalidUrl

KEY = bytes(range(32))
HEX = KEY.hex()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (HEX, DatUrl(key=KEY)),
        (HEX.upper(), DatUrl(key=KEY)),
        (f"dat://{HEX}", DatUrl(key=KEY)),
        (f"DAT://{HEX}/", DatUrl(key=KEY)),
        (f"dat:{HEX}", DatUrl(key=KEY)),
        (f"dat://{HEX}+12", DatUrl(key=KEY, version=12)),
        (f"{HEX}+0/", DatUrl(key=KEY, version=0)),
        (f"dat://{HEX}+7/a/b%20c.txt", DatUrl(key=KEY, version=7, path="/a/b c.txt")),
        (f"dat://{HEX}/%C3%A9", DatUrl(key=KEY, path="/é")),
    ],
)
def test_forms_that_are_read(text: str, url: DatUrl) -> None:
    assert parse_dat_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dat://",
        HEX[:-1],
        HEX + "0",
        f"http://{HEX}",
        "dat://example.org/",
        f"dat://{HEX}+",
        f"dat://{HEX}+x",
        f"dat://{HEX}+{2**53}",
        f"dat://{HEX}a/b",
        f"dat://{HEX}/%ff",
        f"dat://{HEX}/a?b",
        f"dat://{HEX}\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidUrl):
        parse_dat_url(text)


@given(
    st.binary(min_size=32, max_size=32),
    st.none() | st.integers(0, 2**53 - 1),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_text_form_reads_back(key: bytes, version: int | None, path: str) -> None:
    url = DatUrl(key=key, version=version, path="/" + path)
    assert parse_dat_url(str(url)) == url


def test_an_archive_itself_is_written_without_a_path() -> None:
    assert str(DatUrl(key=KEY)) == f"dat://{HEX}"
