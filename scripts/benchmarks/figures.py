"""Figures with their spread, and the table that shows them side by side."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured quantity.

    Attributes:
        what: What was measured.
        unit: Of the values, such as `ms` or `MB/s`.
        values: One a repetition.
        beside: The figure that this one is compared with, if any; of the same unit.
        percentile: Which percentile stands in the table's `tail` column for times, 100 the worst.
        note: What one must know to read it.
    """

    what: str
    unit: str
    values: Sequence[float] = field(repr=False)
    beside: Figure | None = None
    percentile: int = 100
    note: str = ""

    @property
    def median(self) -> float:
        """The middle one of the values."""
        return statistics.median(self.values)

    @property
    def tail(self) -> float:
        """The percentile from the bad end: slow times, low rates."""
        is_rate = self.unit.endswith("/s")
        ordered = sorted(self.values, reverse=is_rate)
        place = -(-len(ordered) * self.percentile // 100) - 1
        return ordered[place]

    @property
    def ratio(self) -> float | None:
        """This median over that of the figure beside it."""
        return None if self.beside is None else self.median / self.beside.median


def table(figures: Sequence[Figure]) -> str:
    """Lays figures out in columns, each beside what it is compared with."""
    rows = [("what", "unit", "n", "median", "lowest", "highest", "tail", "ratio", "")]
    for figure in figures:
        tail = "worst" if figure.percentile == 100 else f"p{figure.percentile}"
        ratio = figure.ratio
        rows.append(
            (
                figure.what,
                figure.unit,
                str(len(figure.values)),
                _number(figure.median),
                _number(min(figure.values)),
                _number(max(figure.values)),
                f"{tail} {_number(figure.tail)}",
                "" if ratio is None else f"{ratio:.2f} x",
                figure.note,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, unit, *numbers, note = row
        cells = [first.ljust(widths[0]), unit.ljust(widths[1])]
        cells += [cell.rjust(width) for cell, width in zip(numbers, widths[2:-1], strict=True)]
        lines.append("  ".join([*cells, note]).rstrip())
    return "\n".join(lines)


def machine() -> str:
    """The machine and the versions that decide, in a line or two."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{os.cpu_count()} x {model}, {pages / 1e9:.0f} GB, Linux {platform.release()}, "
        f"Python {sys.version.split()[0]}, Node {node.stdout.strip() or 'missing'}; load {load}"
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
