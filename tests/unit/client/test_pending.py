"""The table of unanswered requests: each ends exactly once, and silence is answered with the same request again."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from optimizer_client.pending import LONGEST_SILENCE_S, SHORTEST_SILENCE_S, Pending
from optimizer_wire.messages import VERSION, Fetch, Request, SubmittedRequest


def request(request_id="a", timeout_s=60.0, key=None):
    """A request with a deadline."""
    timeout_ms = max(1, round(timeout_s * 1000))
    return Request(VERSION, request_id, "agent", {"messages": []}, timeout_ms=timeout_ms, ordering_key=key)


def walk(pending, *, sent=True):
    """Ring alarm after alarm until there is none; returns when something was sent again, and when it expired."""
    resent, expired = [], []
    for entry in pending:
        entry.sent = int(sent)
    while (now := pending.next_alarm()) is not None:
        due = pending.due(now)
        resent += [now] * len(due.resubmit)
        expired += [now] * len(due.expired)
    return resent, expired


@pytest.mark.parametrize(
    ("timeout_s", "expected"),
    [
        (60, [30]),
        (10, [5]),
        (200, [30, 90]),
        (600, [30, 90, 210, 450]),
        (0.6, [0.5]),
        (0.4, []),
    ],
)
def test_silence_is_half_of_the_time_at_most_30_s_then_doubling(timeout_s, expected):
    """A request is sent again after half of its time, at most 30 s, then after twice as long, until its deadline."""
    pending = Pending()
    pending.add(request(timeout_s=timeout_s), "token", 0.0)

    resent, expired = walk(pending)

    assert resent == pytest.approx(expected)
    assert expired == [timeout_s]


def test_a_request_that_was_never_sent_ends_with_its_patience():
    """A request that finds no connection gives up long before its deadline."""
    pending = Pending()
    pending.add(request(timeout_s=60), "token", 0.0, patience_s=5)

    _, expired = walk(pending, sent=False)

    assert expired == [5.0]


def test_a_request_that_was_sent_has_until_its_deadline():
    """Once it was sent, patience for a connection no longer counts."""
    pending = Pending()
    pending.add(request(timeout_s=60), "token", 0.0, patience_s=5)

    resent, expired = walk(pending)

    assert resent == [30.0]
    assert expired == [60.0]


def test_patience_never_outlasts_the_deadline():
    """The deadline counts from when it was asked, whatever the patience."""
    pending = Pending()
    pending.add(request(timeout_s=2), "token", 0.0, patience_s=5)

    _, expired = walk(pending, sent=False)

    assert expired == [2.0]


def test_a_resubmission_carries_the_time_that_is_left():
    """What is sent again says how much time is left, at least a millisecond and never more than at first."""
    entry = Pending().add(request(timeout_s=10), "token", 100.0)

    assert [entry.at(now).timeout_ms for now in (99.0, 100.0, 106.0, 120.0)] == [10_000, 10_000, 4_000, 1]


def test_the_same_id_cannot_wait_twice():
    """Asking under an id that waits already is refused."""
    pending = Pending()
    pending.add(request("a"), "token", 0.0)

    with pytest.raises(ValueError, match="on its way"):
        pending.add(request("a"), "token", 0.0)


def test_a_refusal_of_a_later_copy_says_nothing():
    """A request whose first copy the broker has taken is not ended by the refusal of a second."""
    pending = Pending()
    entry = pending.add(request("a"), "token", 0.0)

    pending.accepted("a", 0.0)
    refused = pending.refused("a")

    assert refused is None
    assert pending.resolve("a") is entry


def test_a_refusal_ends_what_was_never_accepted():
    """A refused request is taken out; a second refusal finds nothing."""
    pending = Pending()
    entry = pending.add(request("a"), "token", 0.0)

    assert pending.refused("a") is entry
    assert pending.refused("a") is None


def test_a_copy_on_its_way_is_not_sent_again():
    """While a copy is unconfirmed none is sent; after a late confirm, half of the time that is left then is silence."""
    pending = Pending()
    entry = pending.add(request("a", timeout_s=60), "token", 0.0)
    entry.published()

    assert pending.due(30.0).resubmit == []
    pending.accepted("a", 40.0)
    assert pending.due(49.9).resubmit == []
    assert pending.due(50.0).resubmit == [entry]


def test_a_late_confirm_begins_the_silence():
    """The time until the confirm is the network's, and no silence of the optimizer."""
    pending = Pending()
    entry = pending.add(request("a", timeout_s=200), "token", 0.0)
    entry.published()
    pending.accepted("a", 29.0)

    assert pending.due(58.9).resubmit == []
    assert pending.due(59.0).resubmit == [entry]


def test_a_copy_that_never_gets_confirmed_expires():
    """A request whose copy stays unconfirmed ends at its deadline, after a few alarms and no second copy."""
    pending = Pending()
    entry = pending.add(request("a", timeout_s=60), "token", 0.0)
    entry.published()
    alarms = []

    while (now := pending.next_alarm()) is not None:
        alarms.append(now)
        assert pending.due(now).resubmit == []

    assert alarms[-1] == 60.0
    assert len(alarms) < 10


def test_late_and_duplicate_replies_are_counted():
    """A reply to what does not wait any more is counted and dropped."""
    pending = Pending()
    pending.add(request("a"), "token", 0.0)
    pending.resolve("a")

    assert pending.resolve("a") is None
    assert pending.resolve("never asked") is None
    assert pending.strays == 2


def test_a_new_request_does_not_inherit_the_alarms_of_its_id():
    """An id that is used again starts anew: the alarms of its first life do not count."""
    pending = Pending()
    pending.add(request("a", timeout_s=4), "first", 0.0)
    pending.resolve("a")
    pending.add(request("a", timeout_s=60), "second", 1.0).sent = 1

    assert pending.next_alarm() == 31.0
    assert pending.due(30.9).resubmit == []


def test_alarms_of_answered_requests_are_forgotten():
    """Nothing rings for requests that have their answer."""
    pending = Pending()
    for number in range(100):
        pending.add(request(str(number)), "token", 0.0)
    for number in range(100):
        pending.resolve(str(number))

    assert pending.next_alarm() is None


def test_a_keyed_request_names_the_unanswered_one_before_it():
    """What has an ordering key says after which request of its key it comes; others do not count."""
    pending = Pending()
    first, other, _, second, third = (
        pending.add(request(name, key=key), "token", 0.0)
        for name, key in [("a1", "a"), ("b1", "b"), ("none", None), ("a2", "a"), ("a3", "a")]
    )

    assert [entry.at(0.0).after for entry in (first, other, second, third)] == [None, None, "a1", "a2"]


def test_what_has_ended_is_named_no_more():
    """Sent again, a keyed request comes after what is unanswered then: nothing, or what its predecessor came after."""
    pending = Pending()
    first, second, third = (pending.add(request(name, key="k"), "token", 0.0) for name in ("1", "2", "3"))

    pending.discard("2")
    assert (first.at(0.0).after, third.at(0.0).after) == (None, "1")
    pending.resolve("1")
    assert third.at(0.0).after is None
    pending.resolve("3")
    assert pending.add(request("4", key="k"), "token", 0.0).at(0.0).after is None
    assert second.at(0.0).after == "1"


class EveryRequestEndsOnce(RuleBasedStateMachine):
    """Whatever happens in whatever order, each request leaves the table exactly once, and never before its time."""

    def __init__(self):
        super().__init__()
        self.pending = Pending()
        self.now = 0.0
        self.made = 0
        self.open = {}
        self.ended = []

    def end(self, entry, *, at_most_once=True):
        """Note that a request ended."""
        assert entry.token not in self.ended
        self.ended.append(entry.token)
        del self.open[entry.request.id]

    @rule(
        timeout_s=st.floats(0.01, 500),
        patience_s=st.sampled_from([math.inf, 0.5, 5.0]),
        key=st.sampled_from([None, "k", "l"]),
    )
    def ask(self, timeout_s, patience_s, key):
        """A new request."""
        self.made += 1
        entry = self.pending.add(request(f"id{self.made}", timeout_s, key), self.made, self.now, patience_s)
        self.open[entry.request.id] = entry

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def send(self, data):
        """A copy is published, and perhaps confirmed."""
        entry = self.open[data.draw(st.sampled_from(sorted(self.open)))]
        entry.published()
        if data.draw(st.booleans()):
            self.pending.accepted(entry.request.id, self.now)

    @precondition(lambda self: self.made)
    @rule(data=st.data(), how=st.sampled_from(["resolve", "discard", "refused"]))
    def end_one(self, data, how):
        """A reply, a cancel or a refusal, of a request that may have ended before."""
        request_id = f"id{data.draw(st.integers(1, self.made))}"
        entry = getattr(self.pending, how)(request_id)
        if entry is not None:
            self.end(entry)
        else:
            assert request_id not in self.open or (how == "refused" and self.open[request_id].accepted)

    @rule(after_s=st.floats(0, 100))
    def wait(self, after_s):
        """Time passes, and the alarms ring when they should."""
        until = self.now + after_s
        while (alarm := self.pending.next_alarm()) is not None and alarm <= until:
            self.now = max(self.now, alarm)
            due = self.pending.due(self.now)
            assert due.expired or due.resubmit or self.pending.next_alarm() != alarm
            for entry in due.expired:
                assert entry.ends_at() <= self.now
                self.end(entry)
            for entry in due.resubmit:
                assert self.now < entry.deadline
                assert not entry.on_its_way
        self.now = until

    @rule()
    def close(self):
        """The client closes."""
        for entry in self.pending.clear():
            self.end(entry)

    @invariant()
    def knows_what_is_open(self):
        """The table holds what has not ended, and nothing is overdue."""
        assert sorted(entry.request.id for entry in self.pending) == sorted(self.open)
        assert len(self.pending) == len(self.open)

    @invariant()
    def rings_for_everything(self):
        """Whatever is open has an alarm no later than its end, and its silence is within bounds."""
        alarm = self.pending.next_alarm()
        for entry in self.open.values():
            assert alarm is not None
            assert alarm <= max(entry.ends_at(), self.now)
            assert entry.silence_s >= SHORTEST_SILENCE_S
            assert entry.resend_at - entry.silence_s <= self.now + LONGEST_SILENCE_S

    @invariant()
    def keeps_the_order_of_each_key(self):
        """Each keyed request names the one asked before it that is open."""
        for key in ("k", "l"):
            entries = [entry for entry in self.open.values() if entry.request.ordering_key == key]
            named = [entry.at(self.now).after for entry in entries]
            assert named == [None, *(entry.request.id for entry in entries[:-1])][: len(entries)]

    def teardown(self):
        """At the end of time, everything has ended."""
        self.wait(1_000)
        assert sorted(self.ended) == list(range(1, self.made + 1))


TestEveryRequestEndsOnce = EveryRequestEndsOnce.TestCase
TestEveryRequestEndsOnce.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_submitted_request_is_done_once_the_broker_has_it():
    """The broker's word takes a submitted request, and no other; sent again it keeps its kind."""
    pending = Pending()
    plain = pending.add(request("a"), "plain", 0.0)
    submitted = pending.add(SubmittedRequest(VERSION, "b", "agent", {}, timeout_ms=5_000), "submitted", 0.0)
    question = pending.add(Fetch(VERSION, "c", "agent", "b", timeout_ms=5_000), "question", 0.0)

    assert (plain.plain, submitted.plain, question.plain) == (True, False, False)
    assert type(submitted.at(1.0)) is SubmittedRequest
    assert (submitted.at(1.0).timeout_ms, question.at(2.0).timeout_ms) == (4_000, 3_000)
    assert [pending.accepted(name, 1.0) for name in "abc"] == [None, submitted, None]
    assert [name in pending for name in "abc"] == [True, False, True]


def test_a_submitted_request_comes_after_submitted_ones_only():
    """A request of an ordering key names the one before it if that is answered in the same place."""
    pending = Pending()
    pending.add(request("a", key="k"), "token", 0.0)
    second = pending.add(SubmittedRequest(VERSION, "b", "agent", {}, timeout_ms=5_000, ordering_key="k"), "token", 0.0)
    third = pending.add(SubmittedRequest(VERSION, "c", "agent", {}, timeout_ms=5_000, ordering_key="k"), "token", 0.0)

    assert (second.at(0.0).after, third.at(0.0).after) == (None, "b")
