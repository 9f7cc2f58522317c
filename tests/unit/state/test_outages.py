"""When Redis was away, as one process noticed it."""

from optimizer_state.budget import REJOIN_S, REMIND_S
from optimizer_state.outages import TOGETHER_S, Outages
from optimizer_state.presence import HEARTBEAT_S
from optimizer_state.presence import REJOIN_S as ROSTER_REJOIN_S
from optimizer_state.store import CONNECT_TIMEOUT_S, PROBE_JITTER, PROBE_S, TIMEOUT_S


def outages(*times):
    """Outages that began and ended at these times."""
    made = Outages()
    for left_s, back_s in zip(times[::2], times[1::2], strict=True):
        made.left(left_s)
        made.back(back_s)
    return made


def test_no_outage():
    """Without an outage there is nothing to wait for."""
    assert (Outages().length_ms(1e9, 5.0), Outages().rest_ms(1e9, 5.0)) == (0, 0)


def test_after_an_outage():
    """An outage is told with its length for as long as is asked after its end."""
    made = outages(100.0, 106.0)

    assert (made.length_ms(3.0, 107.0), made.rest_ms(3.0, 107.0)) == (6_000, 2_000)
    assert (made.length_ms(3.0, 109.0), made.rest_ms(3.0, 109.0)) == (0, 0)


def test_in_an_outage():
    """An outage that lasts has not ended, and neither has one just before it."""
    made = outages(100.0, 106.0)
    made.left(106.5)

    assert (made.length_ms(3.0, 107.0), made.rest_ms(3.0, 107.0)) == (0, 0)


def test_short_outages_soon_after():
    """A short outage soon after a long one is part of it: what waits for its end waits longer, never shorter."""
    made = outages(100.0, 106.0, 107.0, 107.0)

    assert (made.length_ms(3.0, 108.0), made.rest_ms(3.0, 108.0)) == (7_000, 2_000)


def test_outages_long_after():
    """An outage long after another one is one of its own."""
    back = 106.0 + TOGETHER_S + 3.0
    made = outages(100.0, 106.0, back - 2.0, back)

    assert made.length_ms(3.0, back) == 2_000


def test_outages_that_were_missed():
    """An outage that is noticed when it is over counts as one, however short; in an outage nothing is over."""
    made = Outages()
    made.missed(50.0)
    away = Outages()
    away.left(49.0)
    away.missed(50.0)

    assert (made.length_ms(3.0, 51.0), made.rest_ms(3.0, 51.0)) == (1, 2_000)
    assert away.rest_ms(3.0, 51.0) == 0


def test_everybody_has_noticed():
    """The waits after an outage are longer than the longest time until a worker has noticed its end and said so."""
    longest = PROBE_S * PROBE_JITTER + CONNECT_TIMEOUT_S + 2 * TIMEOUT_S

    assert longest + REMIND_S < REJOIN_S
    assert longest + HEARTBEAT_S < ROSTER_REJOIN_S
