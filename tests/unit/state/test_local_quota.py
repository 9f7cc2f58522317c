"""What a coordinator lets through on its own while Redis is away."""

import pytest

from optimizer_config.model import Reset
from optimizer_state.local_quota import LocalQuota
from optimizer_state.windows import Window

MINUTE = Window("agent:blue/anna:rpm", 10, 60_000)


def let_through(local, window, count, now_ms, *, coordinators=1, amount=1):
    """How many of so many pass, one after another."""
    passed = 0
    for _ in range(count):
        if local.wait_ms(window, amount, coordinators, now_ms) == 0:
            local.add({window: amount}, now_ms)
            passed += 1
    return passed


@pytest.mark.parametrize(("coordinators", "share"), [(0, 8), (1, 8), (2, 4), (3, 2), (8, 1), (100, 1)])
def test_share(coordinators, share):
    """Each of several takes its part of 0.8 of a quota, and one request at least."""
    assert let_through(LocalQuota(), MINUTE, 20, 0, coordinators=coordinators) == share


def test_room_again():
    """There is room again exactly when enough has left the window."""
    local = LocalQuota()
    assert let_through(local, MINUTE, 5, 1_000) == 5
    assert let_through(local, MINUTE, 5, 11_000) == 3

    assert local.wait_ms(MINUTE, 1, 1, 11_000) == 50_000
    assert let_through(local, MINUTE, 20, 60_999) == 0
    assert let_through(local, MINUTE, 20, 61_001) == 5


def test_what_takes_more():
    """Tokens wait until as much has left as they take; more than the share passes only when nothing else counts."""
    local = LocalQuota()
    tokens = Window("tpm", 1_000, 60_000, "tokens")
    local.add({tokens: 300}, 0)
    local.add({tokens: 300}, 20_000)

    assert local.wait_ms(tokens, 200, 1, 30_000) == 0
    assert local.wait_ms(tokens, 201, 1, 30_000) == 30_000
    assert local.wait_ms(tokens, 5_000, 1, 30_000) == 50_000


def test_fixed_window():
    """A quota that begins anew at midnight does so here too."""
    day = 86_400_000
    local = LocalQuota()
    daily = Window("rpd", 10, day, reset=Reset())

    assert let_through(local, daily, 20, day + 1_000) == 8
    assert local.wait_ms(daily, 1, 1, day + 1_000) == day - 1_000
    assert let_through(local, daily, 20, 2 * day) == 8
