"""The seed of a test that throws dice, printed when it fails.

`OPTIMIZER_TEST_SEED=12345` makes the same decisions again; the moments of other processes stay their own. `make test`
names one, so that what it says of a change is about the change; all other verbs have a new seed every time.
"""

import os
import random

SEED_VARIABLE = "OPTIMIZER_TEST_SEED"


def seed() -> int:
    """The seed that was asked for, or a new one."""
    wanted = os.environ.get(SEED_VARIABLE)
    return int(wanted) if wanted else random.SystemRandom().randrange(1_000_000)
