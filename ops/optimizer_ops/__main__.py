"""`python -m optimizer_ops` is `optimizer`."""

from optimizer_ops.cli import main

main()
