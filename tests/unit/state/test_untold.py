"""What Redis does not know of a worker, judged by a Redis that adds up what it is told."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from optimizer_state.budget_steps import Stops
from optimizer_state.untold import Untold
from optimizer_state.windows import Window

TPM = Window("tpm", 1_000, 60_000, "tokens")
NOW = 1_000
NOTHING = Stops(0, "", 0, {})


class Told:
    """What a Redis has taken down of one worker: the rules of `lua/restore.lua` and `lua/settle.lua` in short."""

    def __init__(self):
        self.forget()

    def forget(self):
        self.known, self.number, self.used, self.held = False, 0, Counter(), {}

    def reserve(self, name, amount):
        self.held[name] = amount

    def settle(self, name, amount):
        if name not in self.held:
            return False
        del self.held[name]
        self.used["all"] += amount
        return True

    def restore(self, telling, endings, *, repeated):
        if repeated and not self.known:
            return False
        if not self.known or self.number < telling.number:
            self.used["all"] += sum(slot.unreported if self.known else slot.amount for slot in telling.slots)
        for part in telling.parts:
            if not self.known or part.reservation in telling.alone:
                self.held.setdefault(part.reservation, part.amount)
        self.known, self.number = True, max(self.number, telling.number)
        for name in endings:
            self.held.pop(name, None)
        return True


class Worker:
    """A worker whose calls begin and end, and its Redis, which may be away, lose answers, or forget."""

    def __init__(self):
        self.redis, self.untold, self.flying, self.used, self.number = Told(), Untold([TPM]), [], 0, 0

    def begin(self, *, away=False):
        name, self.number = str(self.number), self.number + 1
        # A worker that Redis does not know is not granted anything before it has told.
        alone = away or not self.redis.known or self.untold.must_tell
        self.untold.hold(name, {"tpm": 10}, NOW, alone=alone)
        self.flying.append(name)
        if not alone:
            self.redis.reserve(name, 10)

    def end(self, *, away=False):
        if not self.flying:
            return
        name, self.used = self.flying.pop(0), self.used + 7
        reported = not away and not self.untold.is_alone(name) and self.redis.settle(name, 7)
        if not reported:
            self.untold.ghost(name, NOW)
        self.untold.settle(name, NOW, NOW, {"tpm": 7}, reported=reported)

    def tell(self, *, lost=False):
        telling, repeated = self.untold.telling(NOTHING, NOW)
        endings = self.untold.endings(telling, NOW)
        understood = self.redis.restore(telling, endings, repeated=repeated)
        if lost:
            return
        if understood:
            self.untold.confirmed(telling, endings, NOW)
        else:
            self.untold.withdraw()
            self.tell()


HAPPENINGS = {
    "begin": Worker.begin,
    "begin alone": lambda worker: worker.begin(away=True),
    "end": Worker.end,
    "end away": lambda worker: worker.end(away=True),
    "tell": Worker.tell,
    "tell, answer lost": lambda worker: worker.tell(lost=True),
    "forget": lambda worker: worker.redis.forget(),
}


@given(st.lists(st.sampled_from(sorted(HAPPENINGS)), max_size=40))
def test_all_is_counted_once(happenings):
    """Whatever is lost, in the end Redis has counted each call once, and holds what is in flight."""
    worker = Worker()
    for happening in [*happenings, "tell", "tell"]:
        HAPPENINGS[happening](worker)

    assert worker.redis.used["all"] == worker.used
    assert set(worker.redis.held) == set(worker.flying)
    assert not worker.untold.must_tell
