"""Messages of submitted requests that a coordinator keeps unacked, because nobody else would send them again.

An agent that waits sends its request again after silence. Of a submitted request that joined another's call there
would be a trace in Redis alone, which may lose its memory. So its message stays unacked until its mailbox has a reply;
now and then, and at once if Redis has forgotten it, the request is admitted again. If this coordinator dies the broker
delivers the message to another. The same holds for one whose mailbox could not be reached.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from optimizer_coordinator.speaker import Speaker
from optimizer_state.mailboxes import Mailboxes, Submission
from optimizer_state.store import RedisAway, Store
from optimizer_wire.channel import Channel
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import DeadlineExceeded
from optimizer_wire.messages import Waiter

LOOK_S = 1.0
# As a waiting client does: after so long it asks again, then after twice as long.
SILENCE_MS = 30_000
# There must be room for others among the messages that a coordinator may hold.
MOST_HELD = 1_000
LATE_MS = 1_500
MOST_SETTLED = 10_000


@dataclass(slots=True)
class _Kept:
    """One message: when it came into custody, when to admit it again; `submission` is None if nothing is known yet."""

    message: Delivery
    submission: Submission | None
    since_ms: int
    again_ms: int
    silence_ms: int = SILENCE_MS


class Custody:
    """The messages kept on one session, each for at most `hold_s`.

    `again` takes a message as if it had just been delivered, `send_back` puts it to the end of its queue.
    """

    def __init__(
        self,
        store: Store,
        channel: Channel,
        speaker: Speaker,
        hold_s: float,
        again: Callable[[Delivery], None],
        send_back: Callable[[Delivery, Waiter], Awaitable[None]],
    ) -> None:
        self._store = store
        self._mailboxes = Mailboxes(store)
        self._channel = channel
        self._speaker = speaker
        self._hold_ms = round(hold_s * 1000)
        self._again = again
        self._send_back = send_back
        self._kept: dict[int, _Kept] = {}
        self._settled: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def joined(self, message: Delivery, submission: Submission) -> bool:
        """Keep one that waits in a flight; False if there is no room."""
        now_ms, tag = self._store.clock.now_ms(), message.tag
        if tag in self._settled:
            return True
        if (kept := self._kept.get(tag)) is not None:
            kept.silence_ms *= 2
            kept.again_ms = now_ms + kept.silence_ms
        elif len(self._kept) >= MOST_HELD:
            return False
        else:
            self._kept[tag] = _Kept(message, submission, now_ms, now_ms + SILENCE_MS)
        return True

    def untold(self, message: Delivery) -> None:
        """Keep one whose mailbox cannot be reached, until Redis is back."""
        now_ms, tag = self._store.clock.now_ms(), message.tag
        kept = self._kept.setdefault(tag, _Kept(message, None, now_ms, now_ms))
        kept.again_ms = now_ms

    def settle(self, message: Delivery) -> bool:
        """A message is about to be acked or handed back; False if it was already.

        One that was admitted again may end twice: here and where it was admitted.
        """
        tag = message.tag
        if tag in self._settled:
            return False
        if self._kept.pop(tag, None) is not None:
            self._settled[tag] = None
            if len(self._settled) > MOST_SETTLED:
                del self._settled[next(iter(self._settled))]
        return True

    async def look(self) -> None:
        """See which have ended, and admit again what is due. Without Redis nothing changes."""
        if not self._kept:
            return
        try:
            await self._look()
        except RedisAway:
            return

    async def _look(self) -> None:
        if self._store.away:
            await self._store.synchronise_clock()
        now_ms = self._store.clock.now_ms()
        known = [kept for kept in self._kept.values() if kept.submission is not None]
        opened = await self._mailboxes.open([kept.submission for kept in known if kept.submission is not None])
        for kept, found in zip(known, opened, strict=True):
            if found.verdict != "open":
                await self._end(kept)
            elif found.submission is not None and found.submission.waiter.deadline_ms + LATE_MS < now_ms:
                await self._speaker.late(found.submission.waiter, late())
                await self._end(kept)
            elif found.new:
                # Redis has lost its memory, and the flight that it had joined.
                kept.again_ms = now_ms
        for kept in list(self._kept.values()):
            if kept.again_ms <= now_ms:
                kept.again_ms = now_ms + kept.silence_ms
                self._again(kept.message)
            elif now_ms - kept.since_ms > self._hold_ms and kept.submission is not None:
                await self._send_back(kept.message, kept.submission.waiter)

    async def _end(self, kept: _Kept) -> None:
        if self.settle(kept.message):
            await self._channel.ack(kept.message.tag)


def late() -> DeadlineExceeded:
    """The end of a submitted request that had none when its time was over."""
    return DeadlineExceeded("The deadline of the submitted request passed before there was an answer.")
