"""``python -m prodctl``."""

from prodctl.cli import main

main()
