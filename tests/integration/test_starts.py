"""Counting the starts of a call that died, on a real Redis: what counts as a death, and what follows from it."""

from itertools import count

import pytest

from optimizer_state.admission import Admission, Lead
from optimizer_state.answer import Answer
from optimizer_state.starts import MOST_STARTS
from optimizer_wire.messages import Call, Hop, Waiter

FINGERPRINT = "f" * 32


async def lead(flights, store, name="a"):
    """A call of a flight of its own."""
    waiter = Waiter(name, f"replies.{name}", store.clock.now_ms() + 30_000, "agent", "tenant")
    (admitted,) = await flights.admit([Admission(FINGERPRINT, waiter, may_read=False)])
    assert isinstance(admitted, Lead)
    return Call(1, FINGERPRINT, admitted.flight, 1, waiter, {}, (Hop("b", "m"),))


owners = count()


async def begin(flights, call, *, after=None, **more):
    """Begin as a new owner, which takes over from a dead one; returns the owner and the verdict."""
    owner = f"w/{next(owners)}"
    begun = await flights.begin(call, owner, redelivered=True, dead_owner=after or "", **more)
    return owner, begun.verdict


async def die(flights, call, times, after=None):
    """So many starts that die; returns the last owner."""
    for _ in range(times):
        after, verdict = await begin(flights, call, after=after, alone=True)
        assert verdict == "run"
    return after


def answer(*, ok):
    return Answer(ok=ok, leader="a", stored_ms=1)


async def test_the_last_start_is_made_alone_and_then_none(flights, store):
    """After two deaths a call is a suspect that runs only alone, after three it is poison, whoever asks how often."""
    call = await lead(flights, store)
    last = await die(flights, call, MOST_STARTS - 1)
    for _ in range(2):
        assert (await begin(flights, call, after=last))[1] == "suspect"
    assert (await begin(flights, call, after=last, look=True))[1] == "suspect"

    last, verdict = await begin(flights, call, after=last, alone=True)
    assert verdict == "run"
    begun = await flights.begin(call, "x", redelivered=True, dead_owner=last)

    assert (begun.verdict, begun.deaths) == ("poison", MOST_STARTS)
    assert (await flights.complete(call, "x", answer(ok=False), store_ttl_ms=0)).mine


async def test_poison_is_known_by_its_question(flights, store):
    """The same question under another id is poison from the start, until somebody forgives it or it was answered."""
    call = await lead(flights, store)
    await begin(flights, call, after=await die(flights, call, MOST_STARTS))
    again = await _next_flight(flights, store, call)
    assert (await begin(flights, again))[1] == "poison"

    await flights.forgive(FINGERPRINT)
    assert (await begin(flights, await _next_flight(flights, store, again)))[1] == "run"


async def _next_flight(flights, store, call):
    """End the flight that is open with an error, and open the next."""
    owner = (await store.command("HGET", f"{store.prefix}:{{{FINGERPRINT}}}:flight", "o")).decode()
    assert (await flights.complete(call, owner, answer(ok=False), store_ttl_ms=0)).mine
    return await lead(flights, store, f"n{next(owners)}")


@pytest.mark.parametrize("sign", ["renew", "complete", "release"])
async def test_a_sign_of_life_takes_the_death_back(flights, store, sign):
    """An owner that was frozen or had lost its connection is no death once it is heard of again, however late."""
    call = await lead(flights, store)
    frozen = await die(flights, call, MOST_STARTS - 1)
    other, _ = await begin(flights, call, after=frozen, alone=True)

    if sign == "complete":
        await flights.complete(call, frozen, answer(ok=False), store_ttl_ms=0)
    else:
        await getattr(flights, sign)(call, frozen)

    assert (await begin(flights, call, after=other))[1] == "suspect"  # two deaths, not three


async def test_what_is_no_death(flights, store):
    """A dispatch that was given back, one that rests after its call has ended, and a repeated begin are no deaths."""
    call = await lead(flights, store)
    for _ in range(MOST_STARTS):
        owner, verdict = await begin(flights, call)
        assert verdict == "run"
        assert (await flights.begin(call, owner, redelivered=False)).verdict == "run"
        assert await flights.release(call, owner, keep=True) == 1

    after = None
    for _ in range(MOST_STARTS):
        after, verdict = await begin(flights, call, after=after)
        assert verdict == "run"
        assert await flights.renew(call, after, rests=True) == "ok"
    assert (await begin(flights, call, after=after))[1] == "run"


async def test_an_answer_clears_the_question(flights, store):
    """A suspect that is answered is an innocent one: its deaths are forgotten."""
    call = await lead(flights, store)
    owner = await die(flights, call, MOST_STARTS)
    assert (await flights.complete(call, owner, answer(ok=True), store_ttl_ms=0)).mine

    assert (await begin(flights, await lead(flights, store, "b")))[1] == "run"
