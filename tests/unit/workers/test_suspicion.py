"""What the broker's count of deliveries says of a call."""

import pytest

from optimizer_wire.messages import Call, Hop, Waiter
from optimizer_workers.job import Job
from optimizer_workers.suspicion import by_deliveries


@pytest.mark.parametrize(
    ("deliveries", "before", "suspect", "verdict"),
    [
        (0, 0, False, "run"),
        (1, 0, False, "run"),
        (2, 0, False, "suspect"),
        (0, 2, False, "suspect"),
        (1, 1, False, "suspect"),
        (2, 0, True, "run"),
        (0, 9, True, "run"),
        (3, 0, True, "poison"),
        (3, 0, False, "poison"),
    ],
)
def test_by_deliveries(deliveries, before, suspect, verdict):
    """Delivered twice in vain in all it runs alone; only three times in vain as this very copy is it condemned."""
    waiter = Waiter("a", "r", 0, "agent", "tenant")
    call = Call(1, "f", 0, 1, waiter, {}, (Hop("b", "m"),), deliveries=before)
    job = Job(call, 1, deliveries > 0, 1, 0, deliveries=deliveries, suspect=suspect)

    assert by_deliveries(job) == verdict
