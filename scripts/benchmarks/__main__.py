"""The command: chooses parts, runs them, prints one table."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from benchmarks.cloning import clone
from benchmarks.figures import machine, table
from benchmarks.mounting import mount
from benchmarks.signalling import live, offer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.figures import Figure

PARTS: dict[str, Callable[[Path, int | None], Iterator[Figure]]] = {
    "offer": offer,
    "live": live,
    "mount": mount,
    "clone": clone,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--list", "listing", is_flag=True, help="Tell the parts and end.")
@click.option("--repeat", type=click.IntRange(min=1), help="Repetitions, instead of each part's.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the files lie meanwhile.")
def main(names: tuple[str, ...], listing: bool, repeat: int | None, folder: Path | None) -> None:
    """Measure datfs: NAMES are parts, all without any."""
    if listing:
        for name, part in PARTS.items():
            click.echo(f"{name:8}{(part.__doc__ or '').splitlines()[0]}")
        return
    began = time.monotonic()
    click.echo(machine())
    figures: list[Figure] = []
    left_out: list[str] = []
    for name in names or PARTS:
        with tempfile.TemporaryDirectory(prefix=f"datfs-bench-{name}-", dir=folder) as place:
            try:
                figures += PARTS[name](Path(place), repeat)
            except pytest.skip.Exception as reason:
                left_out.append(f"{name} was left out: {reason}")
    click.echo()
    if figures:
        click.echo(table(figures))
    for line in left_out:
        click.echo(line)
    click.echo(f"\n{time.monotonic() - began:.0f} s; load now {machine().rpartition('load ')[2]}")


main()
