"""Turns at the gate: who passes, who waits for how long, who is sent away, and whose call is taken back."""

import msgspec
import pytest

from optimizer_coordinator.intake import Intake
from optimizer_coordinator.turns import AWAY_MS, LONGEST_MS, NEEDED_MS, STEP_MS, TurnBarrier
from optimizer_state.admission import Admission
from optimizer_state.store import RedisAway
from optimizer_state.turns import Turns
from optimizer_wire.errors import Cancelled
from optimizer_wire.messages import Request, Waiter

OLDER = Waiter("older", "replies", 90_000, "agent", "t")
DEADLINE_MS = 100_000


class Clock:
    """Stands still unless moved."""

    now = 1_000

    def now_ms(self):
        """Now."""
        return self.now


class Record:
    """Whatever is asked of it is noted; `others` is what withdrawing says."""

    prefix = "p"

    def __init__(self):
        self.clock = Clock()
        self.noted = []
        self.others = 0

    async def run(self, steps):
        """A store's."""
        self.noted += [("leave", step.arguments[0].partition("\n")[0], step.arguments[2]) for step in steps]
        return [[b"left"] for _ in steps]

    async def withdraw(self, fingerprint, waiter):
        """Of the flights."""
        self.noted.append(("withdraw", waiter.id))
        if self.others == "away":
            raise RedisAway
        return self.others

    async def withdrawn(self, waiter, error):
        """Of the speaker."""
        self.noted.append(("told", waiter.id, error.code))


@pytest.fixture
def record():
    return Record()


@pytest.fixture
def barrier(record):
    return TurnBarrier(Turns(record), record, record, record.clock)


def asking(key="k", **more):
    """A request at the gate."""
    request = Request(1, "me", "agent", {}, ordering_key=key, **more)
    return Intake(request, "general", Admission("f" * 32, Waiter("me", "replies", DEADLINE_MS, "agent", "t"), True))


def waits(before, older=None):
    """What Redis says to one that waits."""
    held = [] if older is None else [b"f" * 32, msgspec.msgpack.encode(older)]
    return [[b"wait", b"77", before, *held]]


def test_only_keyed_requests_are_concerned(barrier):
    """Without an ordering key there is nothing to wait for; an empty one is none."""
    assert [barrier.concerns(asking(key)) for key in ("k", "", None)] == [True, False, False]


async def test_whoever_is_further_behind_asks_less_often(barrier):
    """The time to the next look grows with those who come first, up to half a second."""
    held = [await barrier.heard(asking(), waits(before)) for before in (0, 1, 4, 999)]

    assert [each.ms for each in held] == [STEP_MS, STEP_MS, 4 * STEP_MS, LONGEST_MS]
    assert await barrier.heard(asking(), [[b"go"]]) is None


async def test_its_place_is_told_to_a_redis_that_may_have_forgotten_it(barrier):
    """Who was told a place says it when it asks again; it is forgotten when it goes."""
    intake = asking()

    def place():
        (step,) = barrier.steps(intake)
        return step.arguments[-1]

    assert place() == 0
    await barrier.heard(intake, waits(1))
    assert place() == 77
    await barrier.heard(intake, [[b"go"]])
    assert place() == 0


async def test_superseded(barrier):
    """A request whose place a newer one took is told which key it was."""
    with pytest.raises(Cancelled, match="newer request of the ordering key 'k' took its place"):
        await barrier.heard(asking(), [[b"superseded"]])


async def test_an_older_call_that_has_not_begun_is_taken_back_once(barrier, record):
    """The one that has the turn is withdrawn, leaves and is told, at the first look that names it."""
    for _ in range(3):
        await barrier.heard(asking(supersede=True), waits(1, OLDER))

    assert record.noted == [("withdraw", "older"), ("leave", "older", 0), ("told", "older", "cancelled")]


@pytest.mark.parametrize(
    ("others", "noted"),
    [
        (None, [("withdraw", "older")]),
        (2, [("withdraw", "older"), ("told", "older", "cancelled")]),
        ("away", [("withdraw", "older")] * 2),
    ],
)
async def test_an_older_call_that_is_needed_keeps_its_turn(barrier, record, others, noted):
    """One that has begun is left alone; one that others wait for goes on without it; unknown is tried again."""
    record.others = others
    for _ in range(2):
        await barrier.heard(asking(supersede=True), waits(1, OLDER))

    assert record.noted == noted


async def test_without_redis_everybody_waits_for_it_first(barrier, record):
    """A short absence breaks no order; a long one, or a deadline that comes near, lets requests through."""
    urgent = msgspec.structs.replace(asking(), admission=Admission("f", Waiter("u", "r", 5_000, "agent", "t"), True))
    assert barrier.alone(asking()).ms == barrier.alone(urgent).ms == STEP_MS

    record.clock.now += 5_000 - 1_000 - NEEDED_MS
    assert barrier.alone(urgent) is None
    assert barrier.alone(asking()) is not None
    record.clock.now = 1_000 + AWAY_MS
    assert barrier.alone(asking()) is None

    await barrier.heard(asking(), waits(1))
    assert barrier.alone(asking()) is not None


@pytest.mark.parametrize(("others", "only_waiting"), [(0, 0), (3, 1), (None, 1), ("away", 1)])
async def test_cancelled(barrier, record, others, only_waiting):
    """A cancelled request leaves its line; it keeps the turn only for a call that has begun or that others want."""
    record.others = others
    await barrier.cancelled(asking())
    await barrier.cancelled(asking(None))

    assert record.noted == [("withdraw", "me"), ("leave", "me", only_waiting)]


async def test_what_needs_no_call_passes_by(barrier, record):
    """A hit of an ordering key is told to Redis, so that nobody waits for it; others are not."""
    await barrier.pass_by(asking(after="before"))
    await barrier.pass_by(asking(None))

    assert record.noted == [("leave", "me", 1)]


async def test_whoever_goes_no_further_gives_its_turn_back(barrier, record):
    """A request that passed, and is not called after all, leaves its turn to the next."""
    await barrier.leave(asking())

    assert record.noted == [("leave", "me", 0)]
