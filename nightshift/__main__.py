"""`python -m nightshift`, the same as the command `nightshift`."""

from nightshift.cli import main

main()
