"""The datfs command."""

from datfs.cli.command import main

__all__ = ["main"]
