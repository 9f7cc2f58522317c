"""When alerts are raised, told again and cleared."""

from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer_ops.alerts.engine import FLAPPING_S, Engine, Past
from optimizer_ops.alerts.finding import Finding, over, under
from optimizer_ops.history.views import AlertRow

NAME = "optimizer.rate_limit"
STATES = ("bad", "between", "good")


def found(state="bad", subject="groq", severity="warning", **more):
    return {NAME: [Finding(name=NAME, subject=subject, state=state, severity=severity, **more)]}


def engine(**more):
    return Engine(**{"for_s": 60.0, "clear_s": 300.0, **more})


def whats(changes):
    return [change.what for change in changes]


def test_raised_after_for_s_and_cleared_after_clear_s():
    """It is raised when it was bad for `for_s` without a break, and cleared when it was good for `clear_s`."""
    judged = engine()

    assert judged.judge(0, found()) == []
    assert judged.judge(59, found()) == []
    assert whats(judged.judge(60, found())) == ["raised"]
    assert judged.judge(100, found("good")) == []
    assert judged.judge(399, found("good")) == []
    (cleared,) = judged.judge(400, found("good"))
    assert (cleared.what, cleared.told, cleared.alert.since, cleared.alert.until) == ("cleared", True, 60, 400)
    assert judged.open == []


def test_what_is_over_keeps_what_was_wrong():
    """A cleared alert says and counts what was wrong, not that it is well: that its end says."""
    judged = engine(for_s=0.0)
    judged.judge(0, found(message="groq has no worker.", value=3.0))
    judged.judge(1, found("good", message="groq serves.", value=0.0))

    (cleared,) = judged.judge(301, found("good", message="groq serves.", value=0.0))
    assert (cleared.what, cleared.alert.message, cleared.alert.value) == ("cleared", "groq has no worker.", 3.0)


def test_a_break_begins_anew():
    """What was not bad for a moment has to be bad for `for_s` again, and what was not good alike."""
    judged = engine()
    judged.judge(0, found())
    judged.judge(50, found("between"))

    assert judged.judge(70, found()) == []
    assert whats(judged.judge(130, found())) == ["raised"]
    judged.judge(140, found("good"))
    judged.judge(400, found("between"))
    assert judged.judge(500, found("good")) == []


def test_nobody_can_tell():
    """While nobody can tell how it is nothing is raised and nothing is cleared."""
    judged = engine()
    judged.judge(0, found())

    assert judged.judge(60, {NAME: None}) == []
    assert judged.judge(119, found()) == []
    judged.judge(179, found())
    assert judged.open
    judged.judge(200, found("good"))
    assert judged.judge(600, {NAME: None}) == []
    assert judged.open


def test_a_subject_that_is_gone_is_well():
    """An alert about something that is not watched any more is cleared, as if it were good."""
    judged = engine(for_s=0.0)
    judged.judge(0, found())
    judged.judge(10, {NAME: []})

    assert whats(judged.judge(310, {NAME: []})) == ["cleared"]


def test_worse_is_told_and_less_is_not():
    """An alert that becomes critical is told again, under the same id, and stays so until it is cleared."""
    judged = engine(for_s=0.0)
    (raised,) = judged.judge(0, found())
    (worse,) = judged.judge(10, found(severity="critical"))

    assert (worse.what, worse.told, worse.alert.id) == ("escalated", True, raised.alert.id)
    assert judged.judge(20, found(severity="warning")) == []
    assert judged.open[0].severity == "critical"


def test_told_again_while_it_lasts():
    """An open alert is told again every `repeat_s`; its value is written down in between, and not told."""
    judged = engine(for_s=0.0, repeat_s=1000.0)
    judged.judge(0, found(message="1"))

    assert [(c.what, c.told) for c in judged.judge(70, found(message="2"))] == [("changed", False)]
    assert judged.judge(999, found(message="2")) == []
    assert whats(judged.judge(1000, found(message="2"))) == ["still"]
    assert judged.judge(1999, found(message="2")) == []


def test_silenced():
    """Nobody is told of what is silenced, by name or with its subject; when that ends, of what is still open."""
    for silence in (NAME, f"{NAME}/groq"):
        judged = engine(for_s=0.0)
        (raised,) = judged.judge(0, found(), frozenset({silence}))

        assert (raised.what, raised.told) == ("raised", False)
        assert judged.judge(10, found(), frozenset({silence})) == []
        assert [(c.what, c.told) for c in judged.judge(20, found())] == [("still", True)]


def test_silenced_to_the_end():
    """Who was never told that it began is not told that it is over."""
    judged = engine(for_s=0.0)
    judged.judge(0, found(), frozenset({NAME}))
    judged.judge(10, found("good"), frozenset({NAME}))

    assert [(c.what, c.told) for c in judged.judge(310, found("good"))] == [("cleared", False)]


def test_flapping():
    """Each time that it comes back within an hour it has to be good twice as long before it is cleared."""
    judged, now, lasted = engine(for_s=0.0, clear_s=60.0), 0.0, []
    for _ in range(4):
        assert whats(judged.judge(now, found())) == ["raised"]
        began = now
        while not whats(judged.judge(now, found("good"))):
            now += 10
        lasted.append(now - began)

    assert lasted == [60, 120, 240, 480]
    judged.judge(now + 2 * FLAPPING_S, found())
    judged.judge(now + 2 * FLAPPING_S, found("good"))
    assert whats(judged.judge(now + 2 * FLAPPING_S + 60, found("good"))) == ["cleared"]


def test_after_a_restart():
    """What was open is neither raised nor told again, and is cleared under its id; what was never told is told."""
    alert = AlertRow(
        id="a", name=NAME, subject="groq", severity="warning", since=0, until=None, value=1, threshold=1, message="m"
    )
    known = engine(for_s=0.0, past=[Past(alert=alert, told=0.0)])

    assert known.judge(100, found(message="m")) == []
    known.judge(110, found("good"))
    assert [(c.what, c.alert.id) for c in known.judge(410, found("good"))] == [("cleared", "a")]
    untold = engine(for_s=0.0, past=[Past(alert=alert)])
    assert [(c.what, c.told) for c in untold.judge(100, found(message="m"))] == [("still", True)]


def test_a_clock_that_is_set_back():
    """A clock that was a day ahead and is right again makes nothing last longer, and raises nothing sooner."""
    judged = engine(for_s=60.0, clear_s=10.0)
    judged.judge(100_000, found())
    judged.judge(100_050, found())
    assert judged.judge(13_600, found()) == []
    assert judged.judge(13_609, found()) == []
    assert whats(judged.judge(13_610, found())) == ["raised"]

    judged.judge(13_611, found("good"))
    judged.judge(13_600, found("good"))
    assert whats(judged.judge(13_610, found("good"))) == ["cleared"]


def test_a_restart_after_the_clock_was_set_back():
    """What is known from before, by a clock that was a day ahead, is told again when it is due by the right one."""
    before = engine(for_s=0.0)
    (raised,) = before.judge(100_000, found())
    judged = engine(for_s=0.0, repeat_s=600.0, past=[Past(alert=raised.alert, told=100_000)])

    assert judged.judge(13_600, found()) == []
    assert whats(judged.judge(14_200, found())) == ["still"]


STEPS = st.lists(
    st.tuples(
        st.floats(0, 400),
        st.sampled_from(["groq", "mine"]),
        st.sampled_from([*STATES, "unknown", "gone"]),
        st.sampled_from(["info", "warning", "critical"]),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(0, 59), st.sampled_from([0.0, 30.0]), st.sampled_from([1.0, 120.0]))
def test_rules(steps, restart, for_s, clear_s):
    """Whatever happens, a restart too: one open alert of a subject, each raised one cleared or open, never too fast."""
    judged, now = engine(for_s=for_s, clear_s=clear_s, repeat_s=600.0), 1_000.0
    open_, ended, told = {}, {}, {}
    for number, (passed, subject, state, severity, silent) in enumerate(steps):
        now += passed
        if number == restart:
            past = [Past(alert=alert, told=told.get(alert.id)) for alert in [*open_.values(), *ended.values()]]
            judged = engine(for_s=for_s, clear_s=clear_s, repeat_s=600.0, past=past)
        now_found = (
            {NAME: None} if state == "unknown" else {NAME: []} if state == "gone" else found(state, subject, severity)
        )
        for change in judged.judge(now, now_found, frozenset({NAME} if silent else ())):
            key, alert = (change.alert.name, change.alert.subject), change.alert
            if change.what == "raised":
                assert key not in open_
                assert alert.id not in ended
            else:
                assert open_[key].id == alert.id
            if change.what == "cleared":
                assert alert.until == now
                assert alert.until - alert.since >= clear_s
                assert change.told == (alert.id in told)
                del open_[key]
                ended[alert.id] = alert
            else:
                assert alert.until is None
                assert not (change.told and silent)
                open_[key] = alert
                if change.told:
                    told[alert.id] = now
        assert sorted(alert.id for alert in judged.open) == sorted(alert.id for alert in open_.values())


def test_over_and_under():
    """Between where it is raised and where it is cleared a value is neither bad nor good."""
    assert [over(value, 10, 5) for value in (11, 10, 6, 5)] == ["bad", "between", "between", "good"]
    assert [under(value, 0.9, 0.95) for value in (0.89, 0.9, 0.94, 0.95)] == ["bad", "between", "between", "good"]
