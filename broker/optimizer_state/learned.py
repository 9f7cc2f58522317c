"""What the fleet has learned of a backend's models, kept in Redis. While it is away, a worker learns for itself."""

from optimizer_config.model import Backend
from optimizer_state.estimates import Estimates, Lesson
from optimizer_state.scripts import Step, backend_key
from optimizer_state.store import RedisAway, Store

EXCHANGE_S = 2.0
# When so many calls are known the old ones count half, so that estimates follow change.
HALVED_AFTER_CALLS = 1000
KEPT_MS = 30 * 24 * 3600 * 1000


def learned_key(prefix: str, backend: str, model: str) -> str:
    """The key of a model's lesson."""
    return f"{backend_key(prefix, backend)}:learned:{model}"


class Learned:
    """The estimates of one worker's backend, shared with the other workers by `exchange`."""

    def __init__(self, store: Store, backend: Backend) -> None:
        self.estimates = Estimates(backend.models, counts_max_tokens=backend.counts_max_tokens)
        self._store = store
        self._backend = backend.name

    async def exchange(self) -> bool:
        """Tell the fleet what was learned here and learn what it knows, in one round trip; every few seconds.

        False if Redis is away: it is told later. To be told twice, if an answer is lost, does no harm.
        """
        untold = self.estimates.take_untold()
        try:
            answers = await self._store.run([self._step(model, untold.get(model)) for model in self.estimates.models])
        except RedisAway:
            self.estimates.put_back(untold)
            return False
        for model, answer in zip(self.estimates.models, answers, strict=True):
            self.estimates.know(model, lesson_of(answer))
        return True

    def _step(self, model: str, lesson: Lesson | None) -> Step:
        told = lesson.fields() if lesson else {}
        sums = (part for pair in told.items() for part in pair)
        key = learned_key(self._store.prefix, self._backend, model)
        return Step("learn", key, (HALVED_AFTER_CALLS, KEPT_MS, *sums))


def lesson_of(answer: list[bytes]) -> Lesson:
    """The lesson in the fields and values of its hash."""
    fields = zip(answer[::2], answer[1::2], strict=True)
    return Lesson.of_fields({name.decode(): int(value) for name, value in fields})
