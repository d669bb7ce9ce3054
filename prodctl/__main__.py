"""``python -m prodctl``: for programs that know an interpreter and not where it keeps its commands."""

from prodctl.cli import main

main()
