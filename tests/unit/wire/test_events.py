"""The kinds of events: complete, of one schema, and written down in docs/events.md."""

from pathlib import Path

import msgspec
import pytest

from optimizer_wire import event_docs, events
from optimizer_wire.codec import encode
from optimizer_wire.events import KINDS, Event, cloud_event_headers, event
from optimizer_wire.messages import Usage

DOCS = Path(__file__).parents[3] / "docs" / "events.md"
# Every event has these.
FRAME = {"v", "id", "type", "source", "time", "seq"}


def test_file_equals_code():
    """`docs/events.md` says what the code says; make it again with `python -m optimizer_wire.event_docs`."""
    assert DOCS.read_text() == event_docs.markdown()


def test_every_field_is_explained():
    """Each field of the schema has a meaning, in the order of the schema, and each belongs to some kind."""
    used = {field for kind in KINDS.values() for field in kind.fields}

    assert tuple(event_docs.MEANING) == Event.__struct_fields__
    assert used | FRAME == set(Event.__struct_fields__)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_kinds(kind):
    """Each kind is found by its type, begins with `optimizer.`, and has fields of the schema, each once."""
    assert KINDS[kind.type] is kind
    assert kind.type.startswith("optimizer.")
    assert len(set(kind.fields)) == len(kind.fields)
    assert set(kind.fields) <= set(Event.__struct_fields__) - FRAME


def test_constants_are_the_kinds():
    """Every type that the module names is documented, and no other."""
    named = {value for key, value in vars(events).items() if key.isupper() and isinstance(value, str)}

    assert named == set(KINDS)


def test_undocumented_kind():
    """An event of an undocumented kind cannot be made."""
    with pytest.raises(KeyError):
        event("optimizer.surprise", "x")


def test_absent_fields_stay_away():
    """Fields that do not apply are not on the wire; the frame is."""
    body = msgspec.msgpack.decode(encode(event(events.CACHE_HIT, "c/1", usage=Usage(1), cost_usd=0.0)))

    assert set(body) == FRAME | {"usage", "cost_usd"}


def test_headers():
    """The CloudEvents attributes name the event as its body does."""
    happened = event(events.RETRY, "worker/x")

    assert cloud_event_headers(happened) == {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": happened.id,
        "cloudEvents_source": "worker/x",
        "cloudEvents_type": "io.optimizer.retry.v1",
    }
