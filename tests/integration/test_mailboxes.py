"""Mailboxes on a real Redis: the first end stays, nobody finds another's; and messages are kept until it is there."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace

import msgspec
import pytest

from optimizer_coordinator import custody
from optimizer_coordinator.custody import Custody
from optimizer_service.outbox import Outbox
from optimizer_state.admission import Admission
from optimizer_state.answer import Answer
from optimizer_state.flights import KEEP_MS, Flights
from optimizer_state.mailboxes import Mailboxes, Seen, Submission, address_of, is_mailbox, keys_of
from optimizer_state.places import ASKED_MS, TOLD_MS, Place, Places
from optimizer_state.presence import Presence
from optimizer_state.store import RedisAway, Store
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import DeadlineExceeded
from optimizer_wire.messages import Call, Hop, Reply, Waiter
from optimizer_wire.topology import Names

ANNA = address_of("anna", "acme")
FINGERPRINT = "f" * 32


@pytest.fixture
def mailboxes(store):
    return Mailboxes(store)


def submission(store, request_id="a", *, address=ANNA, fingerprint=FINGERPRINT, left_ms=30_000):
    now_ms = store.clock.now_ms()
    waiter = Waiter(request_id, address, now_ms + left_ms, "agent", "acme", since_ms=now_ms)
    return Submission(waiter, fingerprint, "auto", "general")


def reply(request_id="a", text="hello"):
    return Reply(1, request_id, ok=True, result=msgspec.Raw(msgspec.msgpack.encode(text)))


async def left_ms(store, address, request_id="a"):
    return await store.command("PTTL", f"{store.prefix}:{{{address}}}:{request_id}")


def test_addresses_are_of_one_user_and_tenant():
    """Every user and tenant has an address of its own, which no reply queue can have."""
    pairs = [("anna", "acme"), ("anna", "other"), ("bert", "acme"), ("a", "nnaacme"), ("annaa", "cme")]
    addresses = {address_of(*pair) for pair in pairs}

    assert len(addresses) == len(pairs)
    assert all(is_mailbox(address) for address in addresses)
    assert not is_mailbox(Names("mailbox").reply_queue("anna", "1"))
    # What is before the last dot names the owner of a waiter in its flight.
    assert len({address.rpartition(".")[0] for address in addresses}) == len(pairs)


async def test_the_first_end_stays(mailboxes, store):
    """Of several ends the first is kept, for 15 minutes, and every later one hears which that is."""
    assert await mailboxes.put(ANNA, [reply(text="first")]) == [reply(text="first")]
    assert await mailboxes.put(ANNA, [reply(text="second")]) == [reply(text="first")]

    assert await mailboxes.look(ANNA, "a") == Seen(reply(text="first"))
    assert KEEP_MS - 5_000 < await left_ms(store, ANNA) <= KEEP_MS


async def test_a_request_that_comes_again_keeps_its_deadline(mailboxes, store):
    """A copy of a submitted request finds the mailbox of the first, with its deadline, or that it has ended."""
    first, later = submission(store), submission(store, left_ms=90_000)
    (new,) = await mailboxes.open([first])
    (again,) = await mailboxes.open([later])
    await mailboxes.put(ANNA, [reply()])
    (over,) = await mailboxes.open([later])

    assert [(each.verdict, each.new, each.submission) for each in (new, again, over)] == [
        ("open", True, first),
        ("open", False, first),
        ("ended", False, None),
    ]
    assert (await mailboxes.look(ANNA, "a")).submission == first


async def test_what_waits_is_kept_until_after_its_deadline(mailboxes, store):
    """A mailbox without a reply lives for 15 minutes beyond the deadline of its request."""
    await mailboxes.open([submission(store, left_ms=600_000)])

    assert KEEP_MS + 595_000 < await left_ms(store, ANNA) <= KEEP_MS + 601_000


async def test_an_id_belongs_to_one_request(mailboxes, store):
    """Another request under an id that is taken is a conflict, unless it is another user's."""
    await mailboxes.open([submission(store)])
    theirs = address_of("bert", "acme")
    other, another = await mailboxes.open(
        [submission(store, fingerprint="e" * 32), submission(store, address=theirs, fingerprint="e" * 32)]
    )

    assert (other.verdict, another.verdict) == ("conflict", "open")


async def test_nobody_finds_what_is_anothers(mailboxes, store):
    """What one user has submitted is not there for another user, nor for the same name in another tenant."""
    await mailboxes.open([submission(store)])
    await mailboxes.put(ANNA, [reply()])

    for address in (address_of("bert", "acme"), address_of("anna", "other")):
        assert await mailboxes.look(address, "a") == Seen()


@pytest.mark.parametrize("tenant", ["acme", "a[c]me*"])
async def test_a_tenant_has_its_mailboxes(mailboxes, store, tenant):
    """All mailboxes of a tenant are found by the beginning of their keys, and no others."""
    await mailboxes.put(address_of("anna", tenant), [reply("x"), reply("y")])
    await mailboxes.put(address_of("anna", f"{tenant}2"), [reply("z")])
    _, found = await store.command("SCAN", 0, "MATCH", keys_of(store.prefix, tenant), "COUNT", 100_000)

    assert sorted(key.decode()[-2:] for key in found) == [":x", ":y"]


async def test_the_fate_of_a_request(store):
    """A request in a flight waits, runs, is done or gone, and one that Redis does not know is none of that."""
    flights, one = Flights(store), submission(store).waiter
    assert (await flights.fate(FINGERPRINT, one)).verdict == "none"
    (lead,) = await flights.admit([Admission(FINGERPRINT, one, may_read=True)])
    assert (await flights.fate(FINGERPRINT, one)).verdict == "waiting"
    call = Call(1, FINGERPRINT, lead.flight, 1, one, {}, (Hop("b", "m"),))
    await flights.begin(call, "owner", redelivered=False)
    assert (await flights.fate(FINGERPRINT, one)).verdict == "running"
    await flights.complete(call, "owner", Answer(ok=True, leader="a", stored_ms=1), store_ttl_ms=0)
    fate = await flights.fate(FINGERPRINT, one)
    assert (fate.verdict, fate.answer.ok) == ("done", True)

    gone = submission(store, "gone").waiter
    await flights.cancel(FINGERPRINT, gone)
    assert (await flights.fate(FINGERPRINT, gone)).why == "cancelled"


async def test_places_are_told_while_somebody_asks(store):
    """Workers are asked for their places for ten seconds; what they told is gone two seconds later."""
    places, one, two = Places(store), Presence("b", "1"), Presence("b", "2")
    assert not await places.wanted()
    await places.ask()
    assert await places.wanted()
    assert await store.command("PTTL", f"{store.prefix}:places:asked") > ASKED_MS - 2_000

    await places.tell(one, {"x": Place(2, 2_000), "y": Place(0, 500)})
    await places.tell(two, {"x": Place(0, 900)})
    assert await places.of("x", [one, two]) == (two, Place(0, 900))
    await places.tell(two, {})
    assert await places.of("x", [one, two]) == (one, Place(2, 2_000))
    assert await places.of("z", [one, two]) is None
    assert await places.of("x", []) is None
    assert 0 < await store.command("PTTL", f"{store.prefix}:places:b 1") <= TOLD_MS


# --- what a coordinator keeps unacked


@dataclass
class Line:
    """A channel, and those that custody hands messages to."""

    acked: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    sent_back: list[int] = field(default_factory=list)

    async def ack(self, tag):
        self.acked.append(tag)

    async def send_back(self, message, _waiter):
        self.sent_back.append(message.tag)


class Late:
    """A speaker that only tells who is late."""

    def __init__(self, store):
        self.outbox = Outbox(SimpleNamespace(before_writing=lambda _: None), Names(), store)

    async def late(self, waiter, error):
        await self.outbox.reply(waiter.reply_to, Reply(1, waiter.id, ok=False, error=error.info))


def message(tag):
    return Delivery(tag, False, b"", b"")


@pytest.fixture
def line():
    return Line()


@pytest.fixture
def kept(store, line):
    return Custody(store, line, Late(store), 900.0, lambda each: line.again.append(each.tag), line.send_back)


async def test_a_joined_request_is_kept_until_it_has_ended(kept, line, mailboxes, store):
    """A message is acked once, when its request's mailbox has a reply, whatever else would ack it."""
    await mailboxes.open([submission(store)])
    assert kept.joined(message(1), submission(store))
    await kept.look()
    assert (len(kept), line.acked) == (1, [])
    await mailboxes.put(ANNA, [reply()])
    await kept.look()

    assert (len(kept), line.acked, line.again) == (0, [1], [])
    assert not kept.settle(message(1))
    assert kept.settle(message(2))


async def test_what_redis_forgot_is_admitted_again(kept, line, mailboxes, store):
    """If Redis has lost a mailbox its request is admitted again at once, with its old deadline."""
    one = submission(store)
    kept.joined(message(1), one)
    await kept.look()

    assert line.again == [1]
    assert (await mailboxes.look(ANNA, "a")).submission == one
    await kept.look()
    assert line.again == [1]


async def test_silence_is_answered_by_admitting_again(kept, line, mailboxes, store, monkeypatch):
    """A request that hears nothing is admitted again, and then after twice as long, as a waiting client does it."""
    await mailboxes.open([submission(store)])
    monkeypatch.setattr(custody, "SILENCE_MS", -1)
    kept.joined(message(1), submission(store))
    await kept.look()
    assert line.again == [1]
    kept.joined(message(1), submission(store))
    await kept.look()
    assert (len(kept), line.again) == (1, [1])


async def test_who_is_late_is_told(kept, line, mailboxes, store):
    """A request whose deadline has passed without an end gets one, which is fetched from its mailbox."""
    one = submission(store, left_ms=-custody.LATE_MS - 1)
    await mailboxes.open([one])
    kept.joined(message(1), one)
    await kept.look()

    assert line.acked == [1]
    assert (await mailboxes.look(ANNA, "a")).reply.error.code == DeadlineExceeded.code


async def test_there_is_room_for_others(kept, store, monkeypatch):
    """When as many are kept as may be, further ones are not."""
    monkeypatch.setattr(custody, "MOST_HELD", 2)

    assert [kept.joined(message(tag), submission(store, str(tag))) for tag in (1, 2, 3)] == [True, True, False]


async def test_a_message_that_was_kept_for_long_goes_back(line, mailboxes, store):
    """Before RabbitMQ would lose patience a message goes to the end of its queue."""
    await mailboxes.open([submission(store)])
    kept = Custody(store, line, Late(store), 0.0, lambda _: None, line.send_back)
    kept.joined(message(1), submission(store))
    store.clock.now_ms, now_ms = (lambda: now_ms + 5), store.clock.now_ms()
    await kept.look()

    assert line.sent_back == [1]


async def test_without_redis_everything_is_kept(kept, line, private_redis, prefix):
    """While Redis is away nothing is decided; what could not be told is admitted again as soon as it is back."""
    own = Store(private_redis.url, prefix)
    kept = Custody(own, line, Late(own), 900.0, lambda each: line.again.append(each.tag), line.send_back)
    await own.synchronise_clock()
    private_redis.kill()
    with pytest.raises(RedisAway):
        await Mailboxes(own).look(ANNA, "a")
    kept.untold(message(1))
    await kept.look()
    assert (len(kept), line.again) == (1, [])
    private_redis.start()
    async with asyncio.timeout(10):
        while not line.again:
            await asyncio.sleep(0.05)
            await kept.look()

    assert line.again == [1]
    await own.close()
