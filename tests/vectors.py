"""The reference vectors of the JavaScript packages, as Python values."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "reference" / "vectors"
GOLDEN: Final = FOLDER / "golden"


def load(name: str) -> Any:  # noqa: ANN401 - the files differ in shape
    return json.loads((FOLDER / name).read_text())


def filler(label: str, size: int) -> bytes:
    parts = [hashlib.sha256(f"{label}:{i}".encode()).digest() for i in range(-(-size // 32))]
    return b"".join(parts)[:size]


def bytes_of_runs(runs: list[tuple[int, str]]) -> bytes:
    return b"".join(bytes.fromhex(digits) * count for count, digits in runs)
