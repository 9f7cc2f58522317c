"""What becomes of events of a tenant that was forgotten before they were recorded. Pure.

They may come long after: from the recorder's queue, or from a call that goes on for others. What belongs to a flight is
kept without a name, since others may wait in it; everything else is dropped.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from optimizer_wire.events import Event


def nameless(event: Event, forgotten: Mapping[str, float]) -> Event | None:
    """The event as it may be recorded; None if it may not. `forgotten`: until when (Unix seconds), by tenant.

    What was asked after that moment is new.
    """
    until = forgotten.get(event.tenant or "")
    if until is None:
        return event
    took_ms = event.timings.total_ms if event.timings else 0.0
    if event.time - took_ms / 1000 > until:
        return event
    if not event.work_id:
        return None
    return replace(event, tenant=None, agent=None, request_id=None, task=None, fingerprint=None, tags={})
