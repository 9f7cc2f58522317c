"""What was removed of a tenant, in numbers and in words. Pure."""

import msgspec

from optimizer_ops.formatting.units import count_of


class Tally(msgspec.Struct):
    """What was removed, or would be.

    `answers` from the cache, `outcomes` of flights, `submitted` requests with their answers, `cancelled` requests that
    had no answer yet, `waiting` messages in queues, `dead` letters, `places`: keys of turns and quotas,
    `history`: rows by table. `unreadable` dead letters belong to nobody who can be told; `open` requests are still held
    by a worker.
    """

    tenant: str
    dry_run: bool = False
    answers: int = 0
    outcomes: int = 0
    submitted: int = 0
    cancelled: int = 0
    waiting: int = 0
    dead: int = 0
    places: int = 0
    history: dict[str, int] = {}
    unreadable: int = 0
    open: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing remains."""
        return not self.open


def told(tally: Tally) -> list[str]:
    """The tally as sentences, one a line."""
    counts = ", ".join(
        (
            count_of(tally.answers, "answer"),
            count_of(tally.outcomes, "outcome"),
            count_of(tally.submitted, "submitted request"),
            count_of(tally.cancelled, "request") + " without an answer",
            count_of(tally.places, "key") + " of turns and quotas",
        )
    )
    rows = count_of(sum(tally.history.values()), "row")
    if tally.dry_run:
        waiting = count_of(tally.waiting, "message")
        dead = f", {tally.dead} of them dead" if tally.dead else ""
        return [
            f"Redis holds of the tenant {tally.tenant}: {counts}. Nothing was removed.",
            f"The history holds {rows} of it.",
            f"The queues hold {waiting} of all tenants{dead}. Whose they are is looked at only when they are removed.",
        ]
    queued = f"{count_of(tally.waiting, 'message')} and {count_of(tally.dead, 'dead letter')}"
    lines = [f"Removed of the tenant {tally.tenant}: {counts}; from the queues {queued}; from the history {rows}."]
    if tally.unreadable:
        lines.append(f"{count_of(tally.unreadable, 'dead letter')} cannot be read, and may be anybody's.")
    if tally.open:
        lines.append(
            f"{count_of(tally.open, 'request')} of the tenant may still be held by a worker that does not answer: "
            "run this again in a minute."
        )
    else:
        lines.append(
            "Nothing of what it asked and was answered until now remains, but replies that their receivers did not "
            "fetch: those queues go ten minutes after their clients."
        )
    return lines
