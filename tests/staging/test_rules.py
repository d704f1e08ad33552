from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.staging.rules import NoRules

if TYPE_CHECKING:
    from datfs.staging.rules import FileRules


def test_without_rules_everything_goes() -> None:
    rules: FileRules = NoRules()
    rules.may_create("/anything")
    assert rules.max_checked_size("/anything") is None
    assert rules.check("/anything", b"whatever") is None
    assert rules.form("/anything") is None
