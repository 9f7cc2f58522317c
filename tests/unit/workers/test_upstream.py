"""An upstream call: settled whatever becomes of it, priced, and made into an answer."""

import asyncio

import msgspec
import pytest

from optimizer_backends.outcome import Outcome
from optimizer_backends.prices import Prices
from optimizer_backends.result import CallResult
from optimizer_config.model import Backend
from optimizer_state.budget import Grant
from optimizer_state.estimates import Estimates
from optimizer_wire.codec import MAX_BODY_BYTES, encode
from optimizer_wire.messages import NO_RESULT, VERSION, Call, Hop, Reply, Usage, Waiter
from optimizer_workers.estimate import Estimator
from optimizer_workers.job import Job
from optimizer_workers.upstream import MAX_RESULT_BYTES, Upstream, answer_of

GRANT = Grant("g")
WAITER = Waiter("r", "q", 99_000, "agent", "tenant")


class Client:
    """A backend that gives this result, or never ends."""

    def __init__(self, result=None):
        self.result = result
        self.timeouts = []

    async def call(self, op, model, params, timeout_s, on_written=None, call_id=None, trace=""):
        self.timeouts.append(timeout_s)
        if self.result is None:
            await asyncio.Event().wait()
        return self.result


class Allowance:
    """Notes what is settled and blocked, in order."""

    def __init__(self):
        self.settled = []
        self.blocked = []

    def written(self, grant):
        pass

    def reset_s(self):
        return None

    async def settle(self, grant, settled):
        self.settled.append((grant, settled))

    async def block(self, grant, block):
        assert not self.settled
        self.blocked.append(block)
        return 1.0


class Flights:
    """Says the same to every renewal."""

    def __init__(self, says="ok"):
        self.says = says

    async def renew(self, call, owner):
        return self.says


def upstream(client, allowance=None, flights=None, **fields):
    backend = Backend("b", "openai", "http://x", ("m",), **{"timeout_s": 50.0, **fields})
    prices = Prices(None)
    estimator = Estimator(backend, prices, Estimates(("m",)))
    return Upstream(backend, client, prices, allowance or Allowance(), estimator, flights or Flights())


def job(*route, attempts=0):
    call = Call(VERSION, "f", 1, 1, WAITER, {}, route or (Hop("b", "m"),), task="code", attempts=attempts)
    return Job(call, 1, redelivered=False, stage=1, deadline_ms=99_000)


def answered(body, **fields):
    return CallResult(Outcome.answered, 200, body, usage=Usage(3, 2), written_at=0.0, **fields)


async def test_answer():
    """An answer carries the result, who made it, what it used, and all attempts so far."""
    finding = await upstream(Client(answered({"choices": []}, model="m-2026"))).call(
        asked := job(attempts=2), GRANT, fly=True, left_s=10.0
    )
    answer = answer_of(asked, finding, 5_000)

    assert msgspec.msgpack.decode(answer.result) == {"choices": []}
    assert (answer.ok, answer.leader, answer.backend, answer.model, answer.task) == (True, "r", "b", "m-2026", "code")
    assert (answer.usage, answer.attempts, answer.stored_ms) == (Usage(3, 2), 3, 5_000)


async def test_unpriced_is_not_free():
    """A model whose price is not known has no cost, rather than none to pay."""
    finding = await upstream(Client(answered({"choices": []}))).call(job(), GRANT, fly=True, left_s=10.0)

    assert finding.cost_usd is None


@pytest.mark.parametrize(("size", "ok"), [(MAX_RESULT_BYTES - 20, True), (MAX_RESULT_BYTES, False)])
async def test_answer_that_no_reply_can_carry(size, ok):
    """An answer too large for a reply is a failed call with the reason; the largest that fits makes a reply."""
    asked = job()
    finding = await upstream(Client(answered({"choices": "x" * size}))).call(asked, GRANT, fly=True, left_s=10.0)

    answer = answer_of(asked, finding, 0)
    assert answer.ok is ok
    if ok:
        assert (
            len(encode(Reply(VERSION, "r" * 200, ok=True, result=answer.result, usage=Usage(raw={})))) < MAX_BODY_BYTES
        )
    else:
        assert finding.result.outcome is Outcome.invalid
        assert "8,323,072 fit into a reply" in finding.result.message
        assert answer.result == NO_RESULT


@pytest.mark.parametrize("outcome", [Outcome.answered, Outcome.transient])
async def test_settled_once(outcome):
    """A call that was written is settled once, with how long ago it was written; one that was not, as unused."""
    for written_at, used in ((0.0, True), (None, False)):
        allowance = Allowance()
        result = CallResult(outcome, body={"choices": []}, written_at=written_at)
        made = upstream(Client(result), allowance)
        await made.settle(GRANT, await made.call(job(), GRANT, fly=True, left_s=10.0))

        ((grant, settled),) = allowance.settled
        assert grant is GRANT
        assert (settled.written_ago_ms is not None) is used


async def test_cancelled_by_a_stopping_process():
    """A call that a stopping process cancels is settled as used, and the cancellation goes on."""
    allowance = Allowance()
    calling = asyncio.ensure_future(upstream(Client(), allowance).call(job(), GRANT, fly=True, left_s=10.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling

    ((_, settled),) = allowance.settled
    assert settled.written_ago_ms >= 0


async def test_nobody_waits(monkeypatch):
    """A call that nobody waits for any more is given up at the next renewal, and settled as used."""
    monkeypatch.setattr("optimizer_workers.upstream.RENEW_S", 0.01)
    allowance = Allowance()
    finding = await upstream(Client(), allowance, Flights("nobody")).call(job(), GRANT, fly=True, left_s=10.0)

    assert finding.abandoned
    assert finding.result.outcome is Outcome.cancelled
    assert len(allowance.settled) == 1


@pytest.mark.parametrize(
    ("route", "fly", "left_s", "timeout_s"),
    [
        # The last backend of a flight: a later waiter may join, so that the leader's deadline does not end it.
        (1, True, 10.0, 50.0),
        (1, False, 10.0, 10.0),
        (1, False, -1.0, 0.001),
        # The route goes on: the next backend needs time as well.
        (2, True, 40.0, 24.0),
        (2, True, 80.0, 48.0),
        (2, True, 600.0, 50.0),
    ],
)
async def test_time_for_a_call(route, fly, left_s, timeout_s):
    """A call gets the backend's time, the time that is left, or a share of it if the route goes on."""
    client = Client(answered({"choices": []}))
    hops = (Hop("b", "m"), Hop("c", "m"))[:route]
    await upstream(client).call(job(*hops), GRANT, fly=fly, left_s=left_s)

    assert client.timeouts == [timeout_s]


async def test_a_backend_that_is_known_to_take_long_gets_its_time():
    """Of the time that is left a backend gets more than its share if its answers usually take longer."""
    made = upstream(Client(answered({"choices": []})))
    made.latency.add(20_000.0)
    await made.call(job(Hop("b", "m"), Hop("c", "m")), GRANT, fly=True, left_s=40.0)

    assert made._client.timeouts == [30.0]


@pytest.mark.parametrize(
    ("outcome", "known_ms", "health"),
    [
        (Outcome.answered, 0, "well"),
        (Outcome.invalid, 0, "well"),
        (Outcome.transient, 0, "ill"),
        (Outcome.overloaded, 0, "ill"),
        (Outcome.timed_out, 0, "ill"),
        # It was given less time than its answers usually take: that is not its fault.
        (Outcome.timed_out, 9_000, "unknown"),
        (Outcome.throttled, 0, "unknown"),
        (Outcome.quota_day, 0, "unknown"),
    ],
)
async def test_what_an_outcome_says_of_the_backends_health(outcome, known_ms, health):
    """Failures count for the breaker, answers of any kind against it, refusals and hurried calls not at all."""
    allowance = Allowance()
    made = upstream(Client(CallResult(outcome, body={"choices": []}, written_at=0.0)), allowance)
    if known_ms:
        made.latency.add(known_ms)
    await made.settle(GRANT, await made.call(job(), GRANT, fly=False, left_s=10.0))

    ((_, settled),) = allowance.settled
    assert settled.health == health


async def test_refusals_block_before_they_are_settled():
    """Between a refusal and its settlement no other call may start, so the block comes first."""
    allowance = Allowance()
    result = CallResult(Outcome.throttled, 429, retry_after_s=3.0, written_at=0.0)
    made = upstream(Client(result), allowance)
    finding = await made.call(job(), GRANT, fly=True, left_s=10.0)
    await made.settle(GRANT, finding)

    assert [block.for_s for block in allowance.blocked] == [3.0]
    assert finding.blocked_s == 1.0
    ((_, settled),) = allowance.settled
    assert settled.used.of("tokens") == 0
