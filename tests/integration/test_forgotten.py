"""Forgetting a tenant in Redis: everything of theirs goes, nothing of anybody else, and nothing comes back."""

import msgspec
import redis

from optimizer_state.admission import Admission, Gone, Hit, Join, Lead
from optimizer_state.answer import Answer
from optimizer_state.flights import Flights
from optimizer_state.forgotten import Erasure, Forgotten
from optimizer_state.mailboxes import Mailboxes, Submission, address_of
from optimizer_wire.messages import VERSION, Call, Hop, Reply, Waiter

MARGIN_MS = 100
OURS, OTHERS, SHARED = "a" * 32, "b" * 32, "c" * 32


def waiter(store, name, tenant):
    """Who waits for half a minute."""
    now_ms = store.clock.now_ms()
    return Waiter(name, f"replies.{tenant}.{name}", now_ms + 30_000, "agent", tenant, since_ms=now_ms)


async def lead(store, fingerprint, name, tenant):
    """The call of a request that opens a flight."""
    who = waiter(store, name, tenant)
    (admitted,) = await Flights(store).admit([Admission(fingerprint, who, may_read=True)])
    assert isinstance(admitted, Lead)
    return Call(VERSION, fingerprint, admitted.flight, 1, who, {}, (Hop("b", "m"),))


async def fly(store, fingerprint, name, tenant, *, ends=True):
    """A flight that runs, and (`ends`) is answered."""
    flights, call = Flights(store), await lead(store, fingerprint, name, tenant)
    assert (await flights.begin(call, "o", redelivered=False)).verdict == "run"
    if ends:
        await flights.complete(call, "o", answer(name), store_ttl_ms=60_000)
    return call


def answer(text):
    """An answer with a text."""
    return Answer(ok=True, leader=text, stored_ms=1, result=msgspec.Raw(msgspec.msgpack.encode(f"answer to {text}")))


def content(redis_url, prefix):
    """Everything that Redis holds under a prefix, as one text, but for the marks that keep late copies out."""
    with redis.Redis.from_url(redis_url) as client:
        keys = [key for key in sorted(client.scan_iter(f"{prefix}:*")) if b":id:" not in key]
        values = [
            sorted(client.hgetall(key).items()) if client.type(key) == b"hash" else client.get(key) for key in keys
        ]
    return repr(keys) + repr(values)


async def until(store):
    """A moment after everything so far, also for a clock that was off by some milliseconds."""
    return await Forgotten(store).mark("acme") + MARGIN_MS


async def test_answers_and_outcomes(store, flights, redis_url, prefix):
    """The answers and outcomes of the tenant are gone, and those of the other one are not."""
    await fly(store, OURS, "mine", "acme")
    await fly(store, OTHERS, "yours", "other")

    found = await Erasure(store, "acme").flights(await until(store))

    assert (found.answers, found.outcomes, found.requests, found.open_flights) == (1, 1, 0, 0)
    text = content(redis_url, prefix)
    assert "answer to mine" not in text
    assert "replies.acme" not in text
    (admitted,) = await flights.admit([Admission(OTHERS, waiter(store, "later", "other"), may_read=True)])
    assert isinstance(admitted, Hit)
    assert (await Erasure(store, "acme").flights(await until(store))).nothing


async def test_only_count(store, redis_url, prefix):
    """Counting changes nothing."""
    await fly(store, OURS, "mine", "acme")
    await lead(store, SHARED, "waits", "acme")
    before = content(redis_url, prefix)

    found = await Erasure(store, "acme").flights(store.clock.now_ms(), only_count=True)

    assert (found.answers, found.outcomes, found.requests) == (1, 1, 1)
    assert content(redis_url, prefix) == before


async def test_each_question_counts_once(store, redis_url, prefix):
    """A question counts once, counted or removed, although Redis lists its keys far apart among many others."""
    with redis.Redis.from_url(redis_url) as client:
        client.mset({f"{prefix}:other:{number}": "" for number in range(5_000)})
    for number in range(20):
        await fly(store, f"{number:032}", str(number), "acme")
        await fly(store, f"{number:031}x", f"open {number}", "acme", ends=False)

    counted = await Erasure(store, "acme").flights(store.clock.now_ms() + MARGIN_MS, only_count=True)
    removed = await Erasure(store, "acme").flights(await until(store))

    assert (counted.answers, counted.outcomes, counted.requests) == (20, 20, 20)
    assert (removed.answers, removed.outcomes, removed.requests, removed.open_flights) == (20, 20, 20, 20)


async def test_what_runs_is_not_stored(store, flights, redis_url, prefix):
    """A call that ran when its tenant was forgotten ends without a trace, also if its worker completes it twice."""
    call = await fly(store, OURS, "mine", "acme", ends=False)
    found = await Erasure(store, "acme").flights(await until(store))
    assert [each.id for each in found.waiters] == ["mine"]
    assert found.open_flights == 1

    for _ in range(2):
        ended = await flights.complete(call, "o", answer("mine"), store_ttl_ms=60_000)
        assert (ended.mine, ended.waiters) == (True, ())

    assert "answer to mine" not in content(redis_url, prefix)
    assert (await Erasure(store, "acme").flights(await until(store))).nothing


async def test_what_was_broken_off_is_not_stored(store, flights, redis_url, prefix):
    """A call that ends after its flight was given up, even beside a new flight of the question, stores nothing."""
    call = await fly(store, OURS, "mine", "acme", ends=False)
    await Erasure(store, "acme").flights(await until(store))
    assert await flights.renew(call, "o") == "nobody"
    await flights.complete(call, "o", answer("mine"), store_ttl_ms=60_000)
    assert "answer to mine" not in content(redis_url, prefix)

    await lead(store, OURS, "new", "acme")
    await flights.complete(call, "o", answer("mine"), store_ttl_ms=60_000)
    assert "answer to mine" not in content(redis_url, prefix)


async def test_what_waits_is_let_go(store, flights):
    """A worker that holds a call of the tenant learns that nobody waits, and late copies of it are kept out."""
    call = await lead(store, OURS, "mine", "acme")
    await Erasure(store, "acme").flights(await until(store))

    assert (await flights.begin(call, "o", redelivered=False, look=True)).verdict == "nobody"
    assert (await Erasure(store, "acme").flights(await until(store))).open_flights == 0
    (admitted,) = await flights.admit([Admission(OURS, call.waiter, may_read=True)])
    assert admitted == Gone("cancelled")
    assert (await flights.begin(call, "o", redelivered=True)).verdict == "nobody"


async def test_a_shared_flight_goes_on(store, flights, redis_url, prefix):
    """A flight that both tenants wait in goes on for the other one, and its answer is not kept in the cache."""
    call = await lead(store, SHARED, "mine", "acme")
    yours = waiter(store, "yours", "other")
    (admitted,) = await flights.admit([Admission(SHARED, yours, may_read=True)])
    assert isinstance(admitted, Join)

    found = await Erasure(store, "acme").flights(await until(store))
    assert [each.id for each in found.waiters] == ["mine"]
    assert found.open_flights == 0

    assert (await flights.begin(call, "o", redelivered=False)).verdict == "run"
    ended = await flights.complete(call, "o", answer("mine"), store_ttl_ms=60_000)
    assert [each.id for each in ended.waiters] == ["yours"]
    (admitted,) = await flights.admit([Admission(SHARED, waiter(store, "later", "other"), may_read=True)])
    assert isinstance(admitted, Lead)
    assert "replies.acme" not in content(redis_url, prefix)


async def test_what_is_asked_later_stays(store, flights):
    """What the tenant asks after the moment is new: neither its flight nor its answer is touched."""
    until_ms = await Forgotten(store).mark("acme") - MARGIN_MS
    await fly(store, OURS, "new", "acme")
    call = await lead(store, SHARED, "newer", "acme")

    assert (await Erasure(store, "acme").flights(until_ms)).nothing
    assert (await flights.begin(call, "o", redelivered=False)).verdict == "run"


async def test_answers_of_nobody(store, redis_url, prefix):
    """An answer that names no tenant, from before answers did, is kept for nobody."""
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"{prefix}:{{{OURS}}}:answer", msgspec.msgpack.encode({"ok": True, "leader": "x", "stored_ms": 1}))
        client.set(f"{prefix}:{{{OTHERS}}}:answer", b"\xc1 this is not msgpack")

    assert (await Erasure(store, "acme").flights(await until(store))).answers == 2


async def test_submitted_requests(store, redis_url, prefix):
    """What the tenant submitted is gone with its answer, what another one submitted is not."""
    boxes = Mailboxes(store)
    for tenant, user in (("acme", "u"), ("other", "u"), ("acme", "silent")):
        address = address_of(user, tenant)
        who = Waiter("id", address, store.clock.now_ms(), "agent", tenant, since_ms=store.clock.now_ms())
        if user == "u":
            await boxes.open([Submission(who, OURS, "auto", "code")])
        result = msgspec.Raw(msgspec.msgpack.encode(f"answer to {tenant}"))
        await boxes.put(address, [Reply(VERSION, "id", ok=True, result=result)])

    found = await Erasure(store, "acme", ["silent"]).flights(await until(store))

    assert found.submitted == 2
    text = content(redis_url, prefix)
    assert "answer to acme" not in text
    assert "answer to other" in text


async def test_turns_and_quotas(store, redis_url, prefix):
    """The keys of the tenant's turns and quotas go, and those of a tenant with a similar name stay."""
    theirs = ["{turn:acme:" + "0" * 32 + "}:line", "{quota}:window:tenant:acme:rpm"]
    theirs += ["{quota}:window:agent:acme/a:rpm", "{quota}:mean:acme/a"]
    with redis.Redis.from_url(redis_url) as client:
        for key in theirs:
            client.hset(f"{prefix}:{key}", "x", 1)
            client.hset(f"{prefix}:{key.replace('acme', 'acme2')}", "x", 1)

    assert await Erasure(store, "acme").places(only_count=True) == 4
    assert await Erasure(store, "acme").places() == 4
    assert content(redis_url, prefix).count("acme2") == 4
    assert await Erasure(store, "acme").places() == 0


async def test_who_was_forgotten_is_known_for_a_day(store, redis_url, prefix):
    """Workers find the moment for each tenant, as long as a request may live."""
    until_ms = await Forgotten(store).mark("acme")

    assert await Forgotten(store).all() == {"acme": until_ms}
    with redis.Redis.from_url(redis_url) as client:
        assert 86_000_000 < client.pttl(f"{prefix}:forgotten") <= 86_400_000
