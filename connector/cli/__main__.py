"""`python -m connector.cli` is `rollcall`."""

from connector.cli import main

main()
