"""Which way imports go: read out of the source, inside functions and under TYPE_CHECKING too.

A package may import those that its row names, and nothing upwards, not even for a type. What a core
may not touch (tasks, clocks, descriptors) and where the frameworks live stand below.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).resolve().parents[1] / "datfs"

BOTTOM = frozenset({"errors", "encoding", "crypto"})
ARCHIVES = BOTTOM | {"hypercore", "hyperdrive"}
OWN_ARCHIVES = ARCHIVES | {"staging"}  # what is written to them goes through staging
BELOW_APP = OWN_ARCHIVES | {
    *("store", "wire", "swarm", "identity", "lobby", "webrtc", "channels", "fs"),
}

MAY_IMPORT: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "encoding": frozenset({"errors"}),
    "crypto": frozenset({"errors", "encoding"}),
    "hypercore": BOTTOM,
    "hyperdrive": BOTTOM | {"hypercore"},
    "staging": ARCHIVES,
    "store": BOTTOM | {"hypercore"},
    "wire": BOTTOM,  # beside hypercore, not above it
    "swarm": ARCHIVES | {"wire"},
    "identity": OWN_ARCHIVES,
    "lobby": OWN_ARCHIVES | {"identity"},
    "webrtc": ARCHIVES,
    "channels": BOTTOM,
    "fs": OWN_ARCHIVES,
    "app": BELOW_APP,
    "cli": BELOW_APP | {"app"},
    "__main__": frozenset({"cli"}),
    "__init__": frozenset(),
}

HOME_OF = {  # frameworks, and the one package that knows each
    "pyfuse3": "fs",
    "aiortc": "webrtc",
    "aioice": "webrtc",
    "asyncio": "webrtc",
    "trio_asyncio": "webrtc",
    "click": "cli",
}

TASKS = frozenset({"trio", "threading"})
WORLD = TASKS | {"time", "random", "secrets", "socket", "select", "subprocess"}

CORES: dict[str, frozenset[str]] = {  # what a core keeps away from, by package or module
    "errors": WORLD | {"os"},
    "encoding": WORLD | {"os"},
    "crypto": WORLD,
    "hypercore": WORLD,  # its storage opens files
    "hyperdrive": WORLD,
    "wire": WORLD | {"os"},
    "identity": WORLD | {"os"},
    "lobby.machine": WORLD | {"os"},
    "lobby.signal": WORLD | {"os"},
    "lobby.join": WORLD | {"os"},
    "lobby.seal": WORLD | {"os"},
    "lobby.host_sealing": WORLD | {"os"},
    "lobby.guest_sealing": WORLD | {"os"},
    "lobby.password": WORLD | {"os"},
    "lobby.throttle": WORLD | {"os"},
    "lobby.log_records": WORLD | {"os"},
    "lobby.log_reading": WORLD | {"os"},
    "lobby.log_order": WORLD | {"os"},
    "lobby.log_carrier": WORLD | {"os"},
    "lobby.log_lines": WORLD | {"os"},
    "swarm.scheduler": WORLD | {"os"},
    "store": TASKS,
}


class Import(NamedTuple):
    module: str  # that imports, without the leading datfs.
    line: int
    target: str  # dotted, from its root

    def __str__(self) -> str:
        return f"datfs/{self.module.replace('.', '/')}.py:{self.line} imports {self.target}"


def imports_of(file: Path) -> Iterator[Import]:
    module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(file.read_text(), file)):
        match node:
            case ast.Import():
                for name in node.names:
                    yield Import(module, node.lineno, name.name)
            case ast.ImportFrom():
                assert node.level == 0, f"{file}:{node.lineno}: a relative import"
                assert node.module is not None
                if node.module == "datfs":
                    for name in node.names:
                        yield Import(module, node.lineno, f"datfs.{name.name}")
                else:
                    yield Import(module, node.lineno, node.module)


IMPORTS = [found for file in sorted(PACKAGE.rglob("*.py")) for found in imports_of(file)]


def within(dotted: str, outer: str) -> bool:
    return dotted == outer or dotted.startswith(f"{outer}.")


def package_of(dotted: str) -> str:
    return dotted.partition(".")[0]


def show(found: list[Import]) -> str:
    return "\n".join(map(str, found))


def test_every_package_has_its_row() -> None:
    assert {package_of(found.module) for found in IMPORTS} <= MAY_IMPORT.keys()


def test_the_table_has_no_circle() -> None:
    placed: set[str] = set()
    while len(placed) < len(MAY_IMPORT):
        free = {name for name, below in MAY_IMPORT.items() if below <= placed} - placed
        assert free, f"a circle among {MAY_IMPORT.keys() - placed}"
        placed |= free


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_downwards(package: str) -> None:
    upwards = [
        found
        for found in IMPORTS
        if package_of(found.module) == package
        and found.target.startswith("datfs.")
        and package_of(found.target.removeprefix("datfs.")) not in {package, *MAY_IMPORT[package]}
    ]
    assert not upwards, show(upwards)


@pytest.mark.parametrize("framework", HOME_OF)
def test_framework_stays_at_home(framework: str) -> None:
    astray = [
        found
        for found in IMPORTS
        if within(found.target, framework) and package_of(found.module) != HOME_OF[framework]
    ]
    assert not astray, show(astray)


@pytest.mark.parametrize("core", CORES)
def test_core_does_nothing_by_itself(core: str) -> None:
    doing = [
        found
        for found in IMPORTS
        if within(found.module, core) and package_of(found.target) in CORES[core]
    ]
    assert not doing, show(doing)
    assert any(within(found.module, core) for found in IMPORTS), f"there is no {core}"
