"""The history: what the fleet asked, called and paid, in a database."""
