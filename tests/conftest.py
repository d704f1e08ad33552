"""Fixtures for all tests, the sweeping of what killed runs left, and the watch over the log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.mounts import sweep_mounts
from tests.support.netns import Host, network, sweep_namespaces
from tests.support.node_peers import native_peers, node_peers

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator
    from pathlib import Path


def pytest_configure(config: pytest.Config) -> None:
    """Makes the project's markers known."""
    config.addinivalue_line(
        "markers",
        "expect_log(pattern): a warning or error in datfs's log that matches is part of the test; "
        "any other fails it",
    )


@pytest.fixture(scope="session", autouse=True)
def _swept() -> None:
    sweep_mounts()
    sweep_namespaces()


@pytest.fixture(autouse=True)
def _quiet_log(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    expected = [marker.args[0] for marker in request.node.iter_markers("expect_log")]
    records: list[logging.LogRecord] = caplog.get_records("setup") + caplog.get_records("call")
    unexpected = [
        f"{record.levelname} {record.name}: {record.getMessage()}"
        for record in records
        if record.levelname in {"WARNING", "ERROR", "CRITICAL"}
        and record.name.partition(".")[0] == "datfs"
        and not any(re.search(pattern, record.getMessage()) for pattern in expected)
    ]
    if unexpected:
        pytest.fail("unexpected log lines:\n" + "\n".join(unexpected), pytrace=False)


@pytest.fixture(scope="session")
def peers() -> Path:
    """The folder of the JavaScript drivers, installed."""
    return node_peers()


@pytest.fixture(scope="session")
def fast_peers() -> Path:
    """The same with native libsodium."""
    return native_peers()


@pytest.fixture
def two_hosts() -> Iterator[list[Host]]:
    """Two network namespaces joined by a cable."""
    with network(2) as hosts:
        yield hosts
