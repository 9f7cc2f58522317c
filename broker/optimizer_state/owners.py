"""Names of what a worker holds in Redis, a dispatch or a reservation: each tells whose it is, should its worker die."""

import itertools

# A worker's name is that of one process: numbers are enough.
_numbers = itertools.count(1)


def owned_by(worker: str) -> str:
    """A name that nobody has used, for something that this worker (one process, not its successor) holds."""
    return f"{prefix_of(worker)}{next(_numbers)}"


def prefix_of(worker: str) -> str:
    """What all names begin with of what this worker holds."""
    return f"{worker}/"


def owner_of(name: str) -> str:
    """The worker that holds what is called so; empty if the name does not tell."""
    return name.rpartition("/")[0]
