"""`python -m datfs`, the same as the `datfs` command."""

from datfs.cli import main

main()
