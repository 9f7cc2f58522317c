"""The flight scripts on a real Redis: the twelve rules of flights under crashes, one interleaving each."""

import msgspec
from tests.support.leftovers import delete_keys

from optimizer_state.admission import Admission, Gone, Hit, Join, Known, Lead
from optimizer_state.answer import Answer
from optimizer_wire.messages import Call, Hop, Priority, Waiter

FINGERPRINT = "f" * 32


def waiter(store, name, *, left_ms=30_000, priority=Priority.STANDARD):
    deadline = store.clock.now_ms() + left_ms
    return Waiter(name, f"replies.{name}", deadline, "agent", "tenant", priority, store.clock.now_ms())


def admission(store, name, *, may_read=True, **more):
    return Admission(FINGERPRINT, waiter(store, name, **more), may_read)


def call_of(store, name, flight, number=1, *, may_read=True, **more):
    route = (Hop("b", "m"), Hop("c", "m"))
    return Call(1, FINGERPRINT, flight, number, waiter(store, name, **more), {}, route, may_read=may_read)


def answer(text="hello", *, ok=True, leader="a"):
    return Answer(ok=ok, leader=leader, stored_ms=1, result=msgspec.Raw(msgspec.msgpack.encode({"text": text})))


async def lead(flights, store, name="a", **more):
    (admitted,) = await flights.admit([admission(store, name, **more)])
    assert isinstance(admitted, Lead)
    return call_of(store, name, admitted.flight)


async def run(flights, call, owner="o1"):
    begun = await flights.begin(call, owner, redelivered=False)
    assert begun.verdict == "run"


async def test_first_leads_the_rest_join(flights, store):
    """Of many requests with the same fingerprint in one batch the first leads and the others join its flight."""
    first, *others = await flights.admit([admission(store, name) for name in "abcd"])

    assert isinstance(first, Lead)
    assert all(isinstance(other, Join) and other.flight == first.flight and not other.publish_again for other in others)


async def test_completion_returns_every_waiter(flights, store):
    """Completing a flight returns all who wait and leaves the answer for later requests."""
    call = await lead(flights, store)
    await flights.admit([admission(store, name) for name in "bc"])
    await run(flights, call)

    ended = await flights.complete(call, "o1", answer(), store_ttl_ms=60_000)
    (later,) = await flights.admit([admission(store, "d")])

    assert ended.mine
    assert {w.id for w in ended.waiters} == {"a", "b", "c"}
    assert isinstance(later, Hit)
    assert msgspec.msgpack.decode(later.answer.result) == {"text": "hello"}


async def test_completion_is_repeatable(flights, store):
    """Completing again with the same owner returns the same waiters: its reply may have been lost (rule 12)."""
    call = await lead(flights, store)
    await run(flights, call)
    first = await flights.complete(call, "o1", answer(), store_ttl_ms=0)

    assert await flights.complete(call, "o1", answer(), store_ttl_ms=0) == first


async def test_redelivery_after_completion_answers_everybody(flights, store):
    """A redelivered call of a completed flight is answered to all its waiters again (rule 2)."""
    call = await lead(flights, store)
    await flights.admit([admission(store, "b")])
    await run(flights, call)
    await flights.complete(call, "o1", answer(), store_ttl_ms=0)

    begun = await flights.begin(call, "o2", redelivered=True)

    assert begun.verdict == "answered"
    assert {w.id for w in begun.waiters} == {"a", "b"}


async def test_second_copy_after_completion_answers_only_its_own(flights, store):
    """A second copy of the call that is no redelivery answers only the waiter it carries."""
    call = await lead(flights, store)
    await flights.admit([admission(store, "b")])
    await run(flights, call)
    await flights.complete(call, "o1", answer(), store_ttl_ms=0)

    begun = await flights.begin(call, "o2", redelivered=False)

    assert [w.id for w in begun.waiters] == ["a"]


async def test_uncacheable_result_is_found_by_request_id(flights, store):
    """A resubmission of a request whose answer was not cached gets the same result and no second call (rule 3)."""
    call = await lead(flights, store, may_read=False)
    await run(flights, call)
    await flights.complete(call, "o1", answer(), store_ttl_ms=0)

    (again,) = await flights.admit([admission(store, "a", may_read=False)])
    (other,) = await flights.admit([admission(store, "z", may_read=False)])

    assert isinstance(again, Known)
    assert isinstance(other, Lead)


async def test_same_id_publishes_again_only_while_nobody_runs(flights, store):
    """The same id again publishes the call again unless a live owner runs the flight (rule 4)."""
    call = await lead(flights, store)
    (waiting,) = await flights.admit([admission(store, "a")])
    await run(flights, call)
    (running,) = await flights.admit([admission(store, "a")])

    assert waiting == Join(call.flight, 1, publish_again=True, known=True)
    assert running == Join(call.flight, 1, publish_again=False, known=True)


async def test_more_urgent_joiner_publishes_again(flights, store):
    """A joiner of higher priority publishes the call again while nobody runs it; one of lower priority does not."""
    call = await lead(flights, store, priority=Priority.BATCH)
    (urgent,) = await flights.admit([admission(store, "b", priority=Priority.INTERACTIVE)])
    (patient,) = await flights.admit([admission(store, "c", priority=Priority.STANDARD)])

    assert urgent == Join(call.flight, 1, publish_again=True)
    assert patient == Join(call.flight, 1, publish_again=False)


async def test_live_owner_keeps_others_out(flights, store):
    """While an owner's lease lives, the same dispatch is busy for every other delivery (rules 5 and 6)."""
    call = await lead(flights, store)
    await run(flights, call)

    begun = await flights.begin(call, "o2", redelivered=True)

    assert begun.verdict == "busy"
    assert 0 < begun.busy_ms <= 15_000


async def test_dispatch_of_a_dead_worker_is_taken_over(flights, store):
    """An owner that is known to be dead keeps nobody out; one that took over meanwhile does, and repeating is safe."""
    call = await lead(flights, store)
    await run(flights, call)
    met = await flights.begin(call, "o2", redelivered=True, look=True)
    assert (met.verdict, met.owner) == ("busy", "o1")

    look = await flights.begin(call, "o2", redelivered=True, look=True, dead_owner="o1")
    taken = [await flights.begin(call, "o2", redelivered=True, dead_owner="o1") for _ in range(2)]
    late = await flights.begin(call, "o3", redelivered=True, dead_owner="o1")

    assert [begun.verdict for begun in (look, *taken)] == ["run"] * 3
    assert (late.verdict, late.owner) == ("busy", "o2")
    assert await flights.renew(call, "o1") == "lost"


async def test_lapsed_lease_is_taken_over(flights, store):
    """After its lease lapsed another delivery takes the dispatch over, and the first owner's completion is late."""
    call = await lead(flights, store)
    await run(flights, call)
    await store.command("HSET", f"{store.prefix}:{{{FINGERPRINT}}}:flight", "l", 1)

    begun = await flights.begin(call, "o2", redelivered=True)
    late_error = await flights.complete(call, "o1", answer(ok=False), store_ttl_ms=0)
    renewed = await flights.renew(call, "o1")
    ended = await flights.complete(call, "o2", answer(), store_ttl_ms=0)

    assert begun.verdict == "run"
    assert not late_error.mine
    assert renewed == "lost"
    assert ended.mine


async def test_late_success_is_kept(flights, store):
    """A success of an owner that lost its lease is cached, and the flight stays with its new owner (rule 7)."""
    call = await lead(flights, store)
    await run(flights, call)
    await store.command("HSET", f"{store.prefix}:{{{FINGERPRINT}}}:flight", "l", 1)
    await flights.begin(call, "o2", redelivered=True)

    late = await flights.complete(call, "o1", answer("late"), store_ttl_ms=60_000)
    (hit,) = await flights.admit([admission(store, "z")])

    assert not late.mine
    assert isinstance(hit, Hit)
    assert await flights.renew(call, "o2") == "ok"


async def test_release_fences_the_old_dispatch(flights, store):
    """A released dispatch counts up in the same step; an old copy of it cannot run beside the next (rule 8)."""
    call = await lead(flights, store)
    await run(flights, call)

    number = await flights.release(call, "o1")
    again = await flights.release(call, "o1")
    stale = await flights.begin(call, "o2", redelivered=False)
    following = await flights.begin(call_of(store, "a", call.flight, 2), "o3", redelivered=False)

    assert number == again == 2
    assert stale.verdict == "moved"
    assert following.verdict == "run"


async def test_redelivery_publishes_the_next_dispatch_again(flights, store):
    """If a worker died between releasing a dispatch and publishing the next, its redelivery publishes that one."""
    call = await lead(flights, store)
    await run(flights, call)
    await flights.release(call, "o1")

    begun = await flights.begin(call, "o2", redelivered=True)

    assert (begun.verdict, begun.number) == ("redispatch", 2)


async def test_waiters_survive_a_release(flights, store):
    """A retryable failure keeps all waiters for the next dispatch (rule 8)."""
    call = await lead(flights, store)
    await flights.admit([admission(store, "b")])
    await run(flights, call)
    await flights.release(call, "o1")
    following = call_of(store, "a", call.flight, 2)
    await run(flights, following, "o2")

    ended = await flights.complete(following, "o2", answer(), store_ttl_ms=0)

    assert {w.id for w in ended.waiters} == {"a", "b"}


async def test_flight_lives_until_its_latest_deadline(flights, store):
    """A held call is wanted until the latest deadline of its waiters, not its leader's (rule 9)."""
    call = await lead(flights, store, left_ms=-1_000)
    await flights.admit([admission(store, "a", left_ms=-1_000)])
    fresh = await lead(flights, store, "b", left_ms=5_000)
    await flights.admit([admission(store, "c", left_ms=60_000)])

    latest = await flights.latest_deadline(fresh)

    assert call.flight != fresh.flight
    assert latest > store.clock.now_ms() + 50_000


async def test_nobody_waits_ends_the_flight(flights, store):
    """With nobody left waiting, begin says so, ends the flight, and a late copy of its request is dropped (9, 10)."""
    call = await lead(flights, store, left_ms=1)
    await store.command("HSET", f"{store.prefix}:{{{FINGERPRINT}}}:flight", "d", 1)

    begun = await flights.begin(call, "o1", redelivered=False)
    (copy,) = await flights.admit([admission(store, "a")])

    assert begun.verdict == "nobody"
    assert copy == Gone("expired")


async def test_cancel_leaves_a_mark(flights, store):
    """A cancelled request leaves its flight, and a redelivered copy of it does not join again (rule 10)."""
    call = await lead(flights, store)
    await flights.cancel(FINGERPRINT, waiter(store, "a"))

    (copy,) = await flights.admit([admission(store, "a")])
    begun = await flights.begin(call, "o1", redelivered=False)

    assert copy == Gone("cancelled")
    assert begun.verdict == "nobody"


async def test_cancel_of_one_keeps_the_others(flights, store):
    """Cancelling one waiter leaves the flight to the others."""
    call = await lead(flights, store)
    await flights.admit([admission(store, "b")])
    await flights.cancel(FINGERPRINT, waiter(store, "a"))
    await run(flights, call)

    ended = await flights.complete(call, "o1", answer(), store_ttl_ms=0)

    assert {w.id for w in ended.waiters} == {"b"}


async def test_renewal_tells_that_all_cancelled(flights, store):
    """The renewal of a running call tells when its last waiter has cancelled."""
    call = await lead(flights, store)
    await run(flights, call)
    await flights.cancel(FINGERPRINT, waiter(store, "a"))

    assert await flights.renew(call, "o1") == "nobody"


async def test_forgotten_flight_is_run_for_its_carried_waiter(flights, store):
    """After Redis forgot everything, the call still runs, and newcomers join it (rule 6)."""
    call = await lead(flights, store)
    for key in await store.command("KEYS", f"{store.prefix}:*"):
        await store.command("DEL", key)

    begun = await flights.begin(call, "o1", redelivered=False)
    (newcomer,) = await flights.admit([admission(store, "b")])
    ended = await flights.complete(call, "o1", answer(), store_ttl_ms=0)

    assert begun.verdict == "run"
    assert isinstance(newcomer, Join)
    assert {w.id for w in ended.waiters} == {"a", "b"}


async def test_forgotten_while_running_is_remembered_by_id(flights, store):
    """If Redis forgets a flight that runs, its outcome is found by the id of the waiter that the call carries."""
    call = await lead(flights, store)
    await run(flights, call)
    for key in await store.command("KEYS", f"{store.prefix}:*"):
        await store.command("DEL", key)

    ended = await flights.complete(call, "o1", answer(), store_ttl_ms=0)
    (again,) = await flights.admit([admission(store, "a")])

    assert [w.id for w in ended.waiters] == ["a"]
    assert isinstance(again, Known)


async def test_carried_waiter_joins_another_flight(flights, store):
    """A call whose flight was lost and replaced lets its waiter join the flight that is open now (rule 6)."""
    old = call_of(store, "old", 1)
    current = await lead(flights, store, "new")

    begun = await flights.begin(old, "o1", redelivered=False)
    await run(flights, current, "o2")
    ended = await flights.complete(current, "o2", answer(), store_ttl_ms=0)

    assert begun.verdict == "moved"
    assert {w.id for w in ended.waiters} == {"new", "old"}


async def test_unpublished_call_ends_its_flight(flights, store):
    """A call that could not be published ends its flight for all waiters, unless somebody runs it (rule 11)."""
    call = await lead(flights, store)
    await flights.admit([admission(store, "b")])
    ended = await flights.complete(call, "", answer(ok=False), store_ttl_ms=0)
    following = await lead(flights, store, "c")
    await run(flights, following)
    running = await flights.complete(following, "", answer(ok=False), store_ttl_ms=0)

    assert {w.id for w in ended.waiters} == {"a", "b"}
    assert not running.mine


async def test_refresh_joins_but_does_not_read(flights, store):
    """A request that may not read the cache leads although an answer is stored, and joins what is on its way."""
    call = await lead(flights, store)
    await run(flights, call)
    await flights.complete(call, "o1", answer(), store_ttl_ms=60_000)

    first, second = await flights.admit([admission(store, name, may_read=False) for name in "rs"])

    assert isinstance(first, Lead)
    assert isinstance(second, Join)


async def test_sweep_removes_what_nobody_ended(flights, store):
    """A flight long past its deadline that nobody runs is swept; one that is wanted stays."""
    await lead(flights, store)
    kept = await flights.sweep()
    key = f"{store.prefix}:{{{FINGERPRINT}}}:flight"
    await store.command("HSET", key, "d", 1)

    assert kept == 0
    assert await flights.sweep() == 1
    assert await store.command("EXISTS", key) == 0


async def test_same_id_from_two_agents(flights, store):
    """Two who ask the same under the same id both wait; when one cancels, the other still does."""
    call = await lead(flights, store)
    other = msgspec.structs.replace(waiter(store, "a"), reply_to="replies.elsewhere")
    (joined,) = await flights.admit([Admission(FINGERPRINT, other, may_read=True)])
    await run(flights, call)
    await flights.cancel(FINGERPRINT, call.waiter)
    (still,) = await flights.admit([Admission(FINGERPRINT, other, may_read=True)])

    ended = await flights.complete(call, "o1", answer(), store_ttl_ms=0)

    assert isinstance(joined, Join)
    assert not joined.publish_again
    assert isinstance(still, Join)
    assert ended.waiters == (other,)


async def gated(flights, store, name, **more):
    (admitted,) = await flights.admit([msgspec.structs.replace(admission(store, name, **more), gated=True)])
    return admitted


async def at_gate(flights, store, name, flight, *, enter):
    (reply,) = await store.run([flights.gate_step(admission(store, name), flight, enter=enter)])
    return flights.gate_verdict(reply)


async def test_joiners_of_one_at_the_gate_may_go_first(flights, store):
    """While the one that leads waits at the gate, whoever joins may publish; the first who enters does, once."""
    lead = await gated(flights, store, "a")
    (join,) = await flights.admit([admission(store, "b")])
    assert isinstance(lead, Lead)
    assert join.publish_again
    assert join.gated
    assert await at_gate(flights, store, "a", lead.flight, enter=False) == "wait"

    assert await at_gate(flights, store, "b", lead.flight, enter=True) == "enter"
    assert await at_gate(flights, store, "b", lead.flight, enter=True) == "enter"
    assert await at_gate(flights, store, "b", lead.flight, enter=False) == "entered"
    assert await at_gate(flights, store, "a", lead.flight, enter=False) == "published"
    assert await at_gate(flights, store, "a", lead.flight, enter=True) == "published"
    (late,) = await flights.admit([admission(store, "c")])
    assert not late.publish_again
    assert not late.gated


async def test_flights_without_a_gate_are_published_at_once(flights, store):
    """Where nothing is to be waited for, joiners leave the publishing to the one that leads."""
    call = await lead(flights, store)

    assert await at_gate(flights, store, "a", call.flight, enter=False) == "published"
    (join,) = await flights.admit([admission(store, "b")])
    assert not join.publish_again


async def test_answered_while_at_the_gate(flights, store):
    """Who waits at the gate for a flight that has ended has been answered."""
    lead = await gated(flights, store, "a")
    await flights.admit([admission(store, "b")])
    await at_gate(flights, store, "b", lead.flight, enter=True)
    call = call_of(store, "b", lead.flight)
    await run(flights, call)
    ended = await flights.complete(call, "o1", answer(leader="b"), store_ttl_ms=0)

    assert {each.id for each in ended.waiters} == {"a", "b"}
    assert await at_gate(flights, store, "a", lead.flight, enter=False) == "published"


async def test_gate_of_a_flight_that_was_forgotten(flights, store, redis_url, prefix):
    """After Redis forgot a flight its request goes on waiting, and enters when its turn comes."""
    lead = await gated(flights, store, "a")
    delete_keys(redis_url, prefix)

    assert await at_gate(flights, store, "a", lead.flight, enter=False) == "wait"
    assert await at_gate(flights, store, "a", lead.flight, enter=True) == "enter"


async def test_cancelled_at_the_gate(flights, store):
    """A request that is cancelled while it waits at the gate learns it."""
    lead = await gated(flights, store, "a")
    await flights.cancel(FINGERPRINT, waiter(store, "a"))

    assert await at_gate(flights, store, "a", lead.flight, enter=True) == "cancelled"


async def test_refused_at_the_gate(flights, store):
    """A refused request leaves its flight to the others that wait there, and may ask again later."""
    await gated(flights, store, "a")
    await flights.admit([admission(store, "b")])

    assert await flights.leave(FINGERPRINT, waiter(store, "a")) == 1
    assert await flights.leave(FINGERPRINT, waiter(store, "b")) == 0
    assert isinstance(await gated(flights, store, "a"), Lead)
