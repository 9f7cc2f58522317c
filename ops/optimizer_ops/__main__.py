"""`python -m optimizer_ops` is `optimizer`."""

from optimizer_ops.entry import main

main()
