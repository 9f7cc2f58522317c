"""The budget scripts on a real Redis."""

import asyncio

import msgspec

from optimizer_config.model import Backend, Limit
from optimizer_state.budget import Ask, Budget, Grant, Settled, Wait
from optimizer_state.store import Store


def backend(*, count=5, per_s=60.0, concurrency=100, max_workers=8):
    limit = Limit("rpm", "requests", count, per_s)
    return Backend("b", "openai", "http://localhost", ("m",), (limit,), concurrency, max_workers=max_workers)


async def worker(store, name="w1", **limits):
    budget = Budget(store, backend(**limits), name)
    await budget.restore()
    # The first worker to speak leaves time for others to tell what they used; these tests have no others.
    await end_grace(store)
    return budget


async def end_grace(store):
    await store.command("HDEL", f"{store.prefix}:{{backend:b}}:gate", "grace")


async def test_never_more_than_the_limit(store):
    """Many workers asking at once are granted exactly the limit, and the next is told how long to wait."""
    workers = [await worker(store, f"w{i}") for i in range(4)]

    verdicts = await asyncio.gather(*(w.reserve(Ask(f"r{i}-{j}")) for i, w in enumerate(workers) for j in range(5)))

    waits = [verdict for verdict in verdicts if isinstance(verdict, Wait)]
    assert len(verdicts) - len(waits) == 5
    assert {wait.limit for wait in waits} == {"rpm"}


async def test_reserving_is_idempotent(store):
    """The same reservation twice takes one part of the budget: its reply may have been lost."""
    budget = await worker(store, count=2)
    await budget.reserve(Ask("same"))
    await budget.reserve(Ask("same"))

    assert isinstance(await budget.reserve(Ask("other")), Grant)
    assert isinstance(await budget.reserve(Ask("third")), Wait)


async def test_unsent_reservations_are_given_back(store):
    """A call that never reached the backend gives its part back; one that did keeps it for the window."""
    budget = await worker(store, count=1)
    unsent = await budget.reserve(Ask("unsent"))
    await budget.settle(unsent, Settled(None))
    sent = await budget.reserve(Ask("sent"))
    await budget.settle(sent, Settled(5))

    wait = await budget.reserve(Ask("next"))

    assert isinstance(wait, Wait)
    assert 59_000 < wait.ms <= 61_300


async def test_flying_reservations_never_leave_the_window(store):
    """A call still in flight counts however long ago it was reserved."""
    budget = await worker(store, count=1, per_s=0.3)
    await budget.reserve(Ask("slow"))
    await asyncio.sleep(0.5)

    assert isinstance(await budget.reserve(Ask("next")), Wait)


async def test_window_slides(store):
    """What was used leaves the window after it, and not before."""
    budget = await worker(store, count=1, per_s=0.6)
    grant = await budget.reserve(Ask("first"))
    await budget.settle(grant, Settled(0))
    wait = await budget.reserve(Ask("second"))
    assert isinstance(wait, Wait)
    assert 500 < wait.ms <= 610

    await asyncio.sleep(wait.ms / 1000 + 0.02)

    assert isinstance(await budget.reserve(Ask("third")), Grant)


async def test_concurrency_is_shared(store):
    """Two workers together hold no more calls than the backend allows at once."""
    first = await worker(store, "w1", count=100, concurrency=3)
    second = await worker(store, "w2", count=100, concurrency=3)
    grants = [await first.reserve(Ask("a")), await second.reserve(Ask("b")), await first.reserve(Ask("c"))]
    assert all(isinstance(grant, Grant) for grant in grants)
    refused = await second.reserve(Ask("d"))
    await first.settle(grants[0], Settled(1))

    assert isinstance(refused, Wait)
    assert refused.limit == "concurrency"
    assert isinstance(await second.reserve(Ask("d")), Grant)


async def test_lapsed_lease_frees_the_slot_and_counts_the_request(store):
    """A worker that died frees its concurrency slot after the lease, and its request counts as made."""
    dead = await worker(store, "dead", count=2, concurrency=1)
    await dead.reserve(Ask("lost"))
    await store.command("ZADD", f"{store.prefix}:{{backend:b}}:leases", store.clock.now_ms() - 1_000, "lost")
    alive = await worker(store, "alive", count=2, concurrency=1)

    grant = await alive.reserve(Ask("next"))
    await alive.settle(grant, Settled(1))
    over = await alive.reserve(Ask("over"))

    assert isinstance(grant, Grant)
    assert isinstance(over, Wait)
    assert over.limit == "rpm"


async def test_workers_restore_what_redis_forgot(store):
    """After Redis lost its memory the live workers write back what they used before anything is granted again."""
    budget = await worker(store, count=2, max_workers=1)
    for name in ("a", "b"):
        await budget.settle(await budget.reserve(Ask(name)), Settled(1))
    for key in await store.command("KEYS", f"{store.prefix}:*"):
        await store.command("DEL", key)

    first = await budget.reserve(Ask("c"))
    await end_grace(store)
    second = await budget.reserve(Ask("c"))

    assert isinstance(first, Wait)
    assert isinstance(second, Wait)
    assert second.limit == "rpm"


async def test_first_after_a_loss_waits_for_the_others(store):
    """The first worker to speak after a loss gets nothing until the others had time to tell what they used."""
    first = Budget(store, backend(), "first")
    second = Budget(store, backend(), "second")
    await first.restore()
    early = await first.reserve(Ask("a"))
    await second.restore()

    assert isinstance(early, Wait)
    assert early.limit == "restored"
    assert early.ms <= 1_500


async def test_block_holds_for_every_worker(store):
    """What one worker was told by the backend holds for all of them."""
    one, other = await worker(store, "w1"), await worker(store, "w2")
    await one.block(5.0, "slow down")

    wait = await other.reserve(Ask("a"))

    assert isinstance(wait, Wait)
    assert 4_000 < wait.ms <= 5_000


async def test_share_while_redis_is_away(store, prefix):
    """Without Redis a worker lives on its share of the limit: 0.8 of it, divided by the workers last seen."""
    budget = await worker(store, count=10)
    budget.workers_seen = 2
    budget._store = Store("redis://127.0.0.1:1/0", prefix)
    verdicts = [await budget.reserve(Ask(f"r{i}")) for i in range(6)]
    await budget._store.close()

    assert [isinstance(verdict, Grant) for verdict in verdicts] == [True] * 4 + [False] * 2


async def test_a_worker_that_never_saw_redis(prefix):
    """A worker that never saw Redis takes its part of the limit among the most workers that are configured."""
    store = Store("redis://127.0.0.1:1/0", prefix)
    budget = Budget(store, msgspec.structs.replace(backend(count=10), max_workers=3), "w1")
    verdicts = [await budget.reserve(Ask(f"r{i}")) for i in range(5)]
    await store.close()

    assert [isinstance(verdict, Grant) for verdict in verdicts] == [True] * 3 + [False] * 2


async def test_use_during_an_outage_is_charged_afterwards(store, prefix):
    """What a worker used while Redis was away is charged when it is back."""
    budget = await worker(store, count=4)
    real, budget._store = budget._store, Store("redis://127.0.0.1:1/0", prefix)
    grants = [await budget.reserve(Ask(f"r{i}")) for i in range(3)]
    for grant in grants:
        await budget.settle(grant, Settled(1))
    await budget._store.close()
    budget._store = real

    other = await worker(store, "w2", count=4)
    await budget.restore()
    verdicts = [await other.reserve(Ask(f"o{i}")) for i in range(2)]

    assert [isinstance(verdict, Grant) for verdict in verdicts] == [True, False]


async def without_redis(budget, prefix):
    """Take Redis away from a worker; returns what brings it back."""
    real, budget._store = budget._store, Store("redis://127.0.0.1:1/0", prefix)
    await budget.reserve(Ask("notices"))  # and may be granted

    async def back():
        await budget._store.close()
        budget._store = real
        await budget.restore()

    return back


async def test_calls_in_flight_after_an_outage_are_held(store, prefix):
    """Calls that a worker began while Redis was away, and that still run when it is back, take their part of it."""
    budget, other = await worker(store, count=4), await worker(store, "w2", count=4)
    back = await without_redis(budget, prefix)
    grants = [await budget.reserve(Ask(f"r{i}")) for i in range(2)]
    await back()

    during = [await other.reserve(Ask(f"o{i}")) for i in range(2)]
    for grant in grants:
        await budget.settle(grant, Settled(1))
    await budget.restore()
    afterwards = await other.reserve(Ask("afterwards"))

    assert all(isinstance(grant, Grant) for grant in grants)
    assert [isinstance(verdict, Grant) for verdict in during] == [True, False]
    assert isinstance(afterwards, Wait)
    assert await store.command("HGETALL", f"{store.prefix}:{{backend:b}}:flying") == {b"rpm": b"2"}


async def test_calls_that_ended_in_an_outage_are_not_held(store, prefix):
    """A call that ended while Redis was away is counted, and holds no slot once Redis is back."""
    budget = await worker(store, count=3, concurrency=1)
    grant = await budget.reserve(Ask("before"))
    back = await without_redis(budget, prefix)
    await budget.settle(grant, Settled(1))
    await back()

    assert isinstance(await budget.reserve(Ask("after")), Grant)
    key = f"{store.prefix}:{{backend:b}}"
    assert await store.command("ZRANGE", f"{key}:leases", 0, -1) == [b"after"]
    assert await store.command("HGET", f"{key}:window:rpm", "sum") == b"1"
