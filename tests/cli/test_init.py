from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datfs.store.home import Home
    from tests.cli.conftest import Command


def test_init_makes_an_identity_once(run: Command, home: Home) -> None:
    made = json.loads(run("init", "--name", "Alice", "--json").out)
    assert made["store"] == str(home.folder)
    assert home.identity_file.read_text() == made["identity"] + "\n"
    assert home.archive_folder(bytes.fromhex(made["identity"])).is_dir()
    secrets = list(home.folder.rglob("*secret_key"))
    assert secrets
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}

    again = run("init", "--name", "Bob")
    assert again.code != 0
    assert made["identity"] in again.err


def test_init_does_not_take_a_store_from_its_holder(run: Command, home: Home) -> None:
    with home.lock():
        outcome = run("init", "--name", "Alice")
    assert outcome.code == 75
    assert "is in use by process" in outcome.err
    assert not home.identity_file.exists()
