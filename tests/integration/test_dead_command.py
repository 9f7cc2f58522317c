"""`optimizer dead` on a real RabbitMQ and Redis: what it shows of kept letters, and where it sends them."""

import json
import time

import msgpack
import pytest
from tests.support.tap import Tap
from typer.testing import CliRunner

from optimizer_ops.cli import app
from optimizer_wire.codec import encode
from optimizer_wire.dead_letters import DeadLetter
from optimizer_wire.messages import CALL_TYPE, REQUEST_TYPE, SUBMIT_TYPE, Call, Hop, Waiter
from optimizer_wire.topology import Topology, backend_topology, kept_lock, shared_topology

PROMPT = "a secret prompt"
PARAMS = {"messages": [{"role": "user", "content": PROMPT}]}
REQUEST = msgpack.packb({"v": 1, "id": "r-1", "agent": "a", "params": PARAMS, "timeout_ms": 5, "new_field": 7})


@pytest.fixture
def tap(amqp_url, redis_url, prefix, amqp_cleanup, monkeypatch):
    """A tap on a deployment that has queues and no processes, which the command finds by its environment."""
    for name, value in {"AMQP_URL": amqp_url, "REDIS_URL": redis_url, "PREFIX": prefix}.items():
        monkeypatch.setenv(f"OPTIMIZER_{name}", value)
    with Tap(amqp_url, prefix) as tap:
        _declare(tap, shared_topology(tap.names))
        _declare(tap, backend_topology(tap.names, ["alpha"]))
        amqp_cleanup.backends("alpha")
        yield tap


def _declare(tap: Tap, topology: Topology) -> None:
    for exchange in topology.exchanges:
        tap._channel.exchange_declare(exchange.name, exchange.kind, durable=True)
    for queue in topology.queues:
        tap._channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
    for binding in topology.bindings:
        tap._channel.queue_bind(binding.queue, binding.exchange, binding.key)


def call():
    waiter = Waiter("c-1", "nowhere", 5, "agent", "tenant")
    return Call(1, "f" * 32, 7, 3, waiter, PARAMS, (Hop("beta", "m"), Hop("alpha", "m"))[1:], attempts=4, failed=("x",))


def keep(tap, name, age_s=0.0, kind=REQUEST_TYPE, body=REQUEST, user="guest", **more):
    """Put a letter where a keeper would."""
    more = {"reply_to": "nowhere", "request_id": "r-1", "agent": "a", "reason": "No good.", **more}
    died_ms = round((time.time() - age_s) * 1000)
    letter = DeadLetter(id=name, why="rejected", died_ms=died_ms, queue="q", kind=kind, user=user, **more)
    kept = letter.kept(60_000)
    properties = {"message_id": name, "type": kept.kind, "headers": dict(kept.headers), "expiration": "60000"}
    tap.publish("", tap.names.kept, body, **properties)


def dead(*words):
    """Run the command; returns its exit code, output and errors."""
    result = CliRunner().invoke(app, ["dead", *words])
    return result.exit_code, result.stdout, result.stderr


def listed():
    code, out, _ = dead("list", "--json")
    assert code == 0
    return [letter["id"] for letter in json.loads(out)["letters"]]


def test_list_and_show_take_nothing_away(tap):
    """Letters are listed oldest first, copies once, again and again, and never with their prompt unless asked."""
    for name, age_s in (("new", 10), ("old", 7200), ("new", 10)):
        keep(tap, name, age_s)

    for _ in range(3):
        assert listed() == ["old", "new"]
    code, out, _ = dead("list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["id", "old", "new"]
    assert "rejected" in out
    assert "No good." in out
    _, shown, _ = dead("show", "old")
    assert "tenant" in shown
    assert PROMPT not in out + shown
    _, whole, _ = dead("show", "old", "--prompt")
    assert PROMPT in whole
    _, whole, _ = dead("show", "old", "--prompt", "--json")
    assert PROMPT in str(json.loads(whole)["letters"][0]["body"])


def test_drop(tap):
    """Letters are dropped by id, by age, or all; who names one that is not there is told so, with exit code 1."""
    for name, age_s in (("a", 7200), ("b", 7200), ("c", 5)):
        keep(tap, name, age_s)

    assert dead("drop", "a") == (0, "1 dead letter dropped.\n", "")
    code, out, err = dead("drop", "a", "c", "--older-than", "1h")
    assert (code, out) == (1, "No dead letter dropped.\n")
    assert "There is no dead letter a" in err
    assert dead("drop", "--older-than", "1h")[1] == "1 dead letter dropped.\n"
    assert listed() == ["c"]
    assert dead("drop", "--all")[1] == "1 dead letter dropped.\n"
    assert dead("list")[2] == "There are no dead letters.\n"


def test_replay_a_request(tap):
    """A request goes back to its queue with a fresh deadline and all else as it was, for its sender to fetch."""
    keep(tap, "x")
    code, out, _ = dead("replay", "x", "--timeout", "90")

    assert code == 0
    assert "guest can fetch its answer" in out
    sent = tap.get(tap.names.requests)
    assert sent.fields == msgpack.unpackb(REQUEST) | {"timeout_ms": 90_000}
    assert (sent.properties.type, sent.properties.message_id) == (SUBMIT_TYPE, "r-1")
    assert sent.properties.headers["x-optimizer-sender"] == "guest"
    assert listed() == []


def test_replay_a_call(tap, redis_url):
    """A call goes back as a new one: another id and flight, no failures, a deadline that lies ahead."""
    keep(tap, "x", kind=CALL_TYPE, body=encode(call()))
    code, out, _ = dead("replay", "--all")

    assert code == 0
    assert "replayed as the call" in out
    sent = tap.get(tap.names.call_queue("alpha", call().waiter.priority)).fields
    assert sent["waiter"]["id"] != "c-1"
    assert sent["waiter"]["deadline_ms"] > (time.time() + 30) * 1000
    assert sent["flight"] not in {0, 7}
    assert (sent["number"], sent.get("attempts", 0), sent.get("failed", [])) == (1, 0, [])
    assert sent["params"] == PARAMS


def test_what_cannot_be_replayed_stays(tap):
    """What is no request and no call, or has no queue to go to, stays, with a sentence and exit code 1."""
    tap._channel.queue_unbind(tap.names.requests, tap.names.requests, tap.names.requests)
    keep(tap, "nowhere")
    keep(tap, "odd", kind="something")
    keep(tap, "unread", kind=CALL_TYPE, body=b"\xc1")
    code, out, err = dead("replay", "--all")

    assert (code, out) == (1, "")
    assert "odd stays: A message of the type something cannot be replayed." in err
    assert "unread stays: No worker can read it" in err
    assert "nowhere stays: No queue is bound" in err
    assert sorted(listed()) == ["nowhere", "odd", "unread"]


def test_two_commands_take_turns(tap, monkeypatch):
    """While one command looks through the letters another waits, and then says so with exit code 75."""
    monkeypatch.setattr("optimizer_ops.dead.letters._LOCK_S", 0.0)
    tap._channel.queue_declare(kept_lock(tap.names).name, exclusive=True, auto_delete=True)

    code, _, err = dead("list")
    assert code == 75
    assert "Another `optimizer dead`" in err


def test_wrong_words(tap, monkeypatch):
    """Which letters are meant must be said; a missing RabbitMQ is one sentence and exit code 69."""
    for words in (("drop",), ("drop", "a", "--all"), ("drop", "--older-than", "soon"), ("replay",)):
        assert dead(*words)[0] == 2, words
    monkeypatch.setenv("OPTIMIZER_AMQP_URL", "amqp://guest:secret@127.0.0.1:1/")
    code, _, err = dead("list")
    assert code == 69
    assert "cannot be reached" in err
    assert "secret" not in err
