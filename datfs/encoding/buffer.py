"""The types that hold bytes here: what a caller may hand in without copying it first."""

from __future__ import annotations

from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
