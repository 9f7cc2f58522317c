"""What the budget scripts are told."""

from optimizer_config.amounts import Remaining
from optimizer_config.model import BreakerSettings, Reset
from optimizer_state.budget_steps import Ending, matching, reserve_step, settle_step
from optimizer_state.windows import Window

RPM = Window("rpm", 60, 60_000)
TPM = Window("tpm", 1_000, 60_000, "tokens")
RPD = Window("rpd", 100, 86_400_000, reset=Reset())


def test_headers_match_by_dimension_and_time():
    """A header speaks of the limits of its dimension over its time, whatever they are called."""
    said = [Remaining("requests", 60.0, 5), Remaining("tokens", 60.0, 6), Remaining("requests", 86_400.0, 7)]

    assert [(window.name, each.remaining) for window, each in matching([RPM, TPM, RPD], said)] == [
        ("rpm", 5),
        ("tpm", 6),
        ("rpd", 7),
    ]
    assert list(matching([RPM], [Remaining("tokens", 60.0, 1), Remaining("requests", 1.0, 1)])) == []


def test_a_reservation_names_what_it_takes():
    """A reservation tells the windows that it takes of, sliding ones by length and fixed ones by period."""
    step = reserve_step("k", "r", [RPM, TPM, RPD], {"rpm": 1, "rpd": 1}, 90_000_000, lease_ms=5)

    assert list(step.arguments) == [
        *("r", "", 5, 0),
        *("rpm", 60, 1, 60_000, 250, 0, 0),
        *("rpd", 100, 1, 0, 250, 86_400_000, 172_800_000),
    ]


def test_a_settlement():
    """A settlement tells when the request was written, if ever, and what the call really took."""
    breaker = BreakerSettings(5, 1.0, 2.0)
    sent = settle_step("k", "r", Ending(3.6, health="well"), breaker, {"rpm": 1}, [(TPM, Remaining("tokens", 60.0, 9))])
    unsent = settle_step("k", "r", Ending(), breaker)

    assert list(sent.arguments) == ["r", 4, 0, "well", 5, 1_000, 2_000, 1, "rpm", 1, "tpm", 1_000, 9]
    assert list(unsent.arguments) == ["r", "unsent", 0, "unknown", 5, 1_000, 2_000, 0]
