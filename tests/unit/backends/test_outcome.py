"""The closed set of outcomes, and what follows from each."""

import pytest

from optimizer_backends.outcome import Outcome
from optimizer_wire.errors import CODES

# outcome: (counts for the breaker, another backend may mend it, the same may after a pause, code for the caller)
TABLE = {
    "answered": (False, False, False, ""),
    "throttled": (False, True, True, "backend_unavailable"),
    "ramp": (False, True, True, "backend_unavailable"),
    "quota_day": (False, True, False, "backend_unavailable"),
    "billing": (False, True, False, "backend_unavailable"),
    "overloaded": (True, True, True, "backend_unavailable"),
    "transient": (True, True, True, "backend_unavailable"),
    "timed_out": (True, True, True, "backend_unavailable"),
    "context_too_long": (False, True, False, "context_too_long"),
    "invalid": (False, False, False, "invalid_request"),
    "unknown_model": (False, True, False, "unknown_model"),
    "unauthorized": (False, True, False, "unauthorized"),
    "content_filtered": (False, False, False, "content_filtered"),
    "cancelled": (False, False, False, "cancelled"),
}


def test_the_set_is_closed():
    """There are exactly the outcomes of the design."""
    assert [outcome.value for outcome in Outcome] == list(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_what_follows(name):
    """Each outcome says whether the backend is ill, who may mend it, and what the caller is told."""
    outcome = Outcome(name)

    assert (outcome.counts_for_breaker, outcome.failover, outcome.retry_here, outcome.error_code) == TABLE[name]
    assert outcome.ok == (name == "answered")
    assert outcome.ok or outcome.error_code in CODES
