"""`docs/events.md`, made from the code: `python -m optimizer_wire.event_docs > docs/events.md`."""

from enum import StrEnum
from typing import get_args, get_type_hints

import msgspec

from optimizer_wire.events import KINDS, Event, EventKind, cloud_event_headers
from optimizer_wire.messages import CONTENT_TYPE, EVENT_TYPE, EVENTS_TYPE, VERSION

MEANING = {
    "v": "version of the schema",
    "id": "UUIDv7 of the event",
    "type": "one of the kinds above; also the routing key",
    "source": "who saw it: `coordinator/<instance>`, `worker/<backend>/<instance>` or `operator/<instance>`",
    "time": "Unix seconds, by the clock of the process that saw it",
    "seq": "counts the events of this source, from 1; a gap is an event that did not arrive",
    "request_id": "the request, or the one that leads the call",
    "work_id": "the dispatch of the call; the same in all events about it",
    "call_id": "one upstream call; also sent to the backend",
    "fingerprint": "equal for requests that share an answer",
    "agent": "who asked",
    "tenant": "whom the agent belongs to, by the configuration",
    "op": "what was asked for",
    "task": "told by the agent or detected",
    "priority": "of the request",
    "backend": "who answered, or is asked",
    "model": "what the backend calls it",
    "outcome": "how the call ended (`answered`, `throttled`, …); `waiting`, `refused` by a quota; a breaker's state",
    "answered_from": "where the answer was",
    "status": "HTTP status of the backend",
    "attempt": "calls made for this dispatch so far, at all backends",
    "waiters": "requests that were told",
    "prompt_chars": "characters of text in the request: its size instead of its text",
    "waited_for": "what the call stood in its worker's line for, mostly: a limit and its count (`rpm 30`), "
    "or `blocked`, `breaker`, `paused`, `concurrency`, …",
    "waited_ms": "how long it stood in that line",
    "usage": "tokens, and the backend's own usage object as `raw`",
    "cost_usd": "US dollars; absent if the price is not known",
    "price_version": "of the price list that the cost was computed with",
    "saved_usd": "what the answer cost when it was called for",
    "timings": "milliseconds: waited, called, in all",
    "age_s": "how old the cached answer is",
    "retry_after_s": "seconds until the call is made again, or the backend is asked again",
    "error_code": "a code of `optimizer_wire.errors`",
    "error_signature": "the kind of error, equal for equal causes",
    "alert": "the name of an alert",
    "subject": "what of it is judged: an objective, a backend, a route, a service, a budget",
    "severity": "`info`, `warning` or `critical`",
    "value": "what was measured: a share, milliseconds, a count, US dollars",
    "threshold": "what it is held against",
    "message": "one sentence for people, never from a prompt",
    "tags": "what the agent attached to its request",
}

_HEAD = f"""\
# Events

<!-- Made from the code by `python -m optimizer_wire.event_docs > docs/events.md`; a test keeps the two equal. -->

Every process tells what it does on the topic exchange `<prefix>.events` (`optimizer.events` unless configured).
Watch them with `optimizer events 'optimizer.*'`; `--json` prints one object per line.
A trailing `.*` means everything below.
Subscribers of your own bind a bounded queue, for example to `optimizer.call.#`.

A message is msgpack (`{CONTENT_TYPE}`, AMQP type `{EVENT_TYPE}`), a CloudEvent in binary mode with the headers
{", ".join(f"`{name}`" for name in cloud_event_headers(Event(v=VERSION, type="", source="")))}.
No event holds text of a prompt or an answer, or a key.

All events go once more over the exchange `<prefix>.journal`, for the recorder: what a process told in one turn of its
loop is one message there, an array of these messages (AMQP type `{EVENTS_TYPE}`).
"""


def markdown() -> str:
    """The whole file."""
    types = get_type_hints(Event)
    kinds = [f"| `{kind.type}` | {kind.when} | {_names(kind)} |" for kind in KINDS.values()]
    fields = [f"| `{name}` | {_type(types[name])} | {MEANING[name]} |" for name in Event.__struct_fields__]
    return "\n".join(
        (
            _HEAD,
            "## Kinds\n",
            "| type | when | fields besides `v`, `id`, `type`, `source`, `time`, `seq` |",
            "|---|---|---|",
            *kinds,
            "\n## Schema\n",
            "Fields that do not apply are absent. New fields may come; ignore those you do not know.\n",
            "| field | type | meaning |",
            "|---|---|---|",
            *fields,
            "",
        )
    )


def _names(kind: EventKind) -> str:
    return ", ".join(f"`{name}`" for name in kind.fields)


def _type(hint: object) -> str:
    """A type as a reader of JSON would say it."""
    options = [option for option in get_args(hint) if option is not type(None)]
    if type(None) in get_args(hint):
        return " or ".join(_type(option) for option in options)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return "{ " + ", ".join(f"`{name}`" for name in hint.__struct_fields__) + " }"
    if options and all(isinstance(option, str) for option in options):
        return " ".join(f"`{option}`" for option in options)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return " ".join(f"`{member.value}`" for member in hint)
    return {str: "text", int: "integer", float: "number"}.get(hint, "map of text to text")  # type: ignore[call-overload, no-any-return]


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - its output is the file
