"""Bad messages on real processes: who can be told is told, the message is kept, and the process goes on unharmed."""

import time
import uuid

import msgpack
import pytest
from tests.support.mutations import ODD_HEADERS
from tests.support.tap import USER, Tap, shared_stack

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def stack(tmp_path_factory, amqp_url, redis_url):
    """One coordinator, a worker of an OpenAI backend and one of an Anthropic backend, for all tests of this file."""
    with shared_stack(tmp_path_factory.mktemp("bad"), amqp_url, redis_url) as stack:
        stack.simulate("alpha")
        stack.simulate("claude", api="anthropic")
        yield stack.start()


@pytest.fixture(scope="module")
def tap(stack):
    """A tap on the deployment's wire."""
    with Tap(stack.amqp_url, stack.prefix) as tap:
        yield tap


def lives(stack):
    """What each of our processes went through: how often it became ready, and whether it is still the same process."""
    ours = [running for running in stack.running if not running.name.startswith("simulator")]
    return [(r.name, r.process.pid, r.process.poll(), r.text().count('"event": "ready"')) for r in ours]


@pytest.fixture(autouse=True)
def unharmed(stack, tap):
    """After each test: the same processes and connections, no fault in a log, nothing left over, and service."""
    tap.events()
    before = lives(stack)
    yield
    assert lives(stack) == before
    for running in stack.running:
        assert '"exception"' not in running.text(), running.text()
        assert "Traceback" not in running.text(), running.text()
    assert tap.dead(0) is None
    assert tap.reply(0) is None
    send(tap, request(f"still there? {uuid.uuid4()}"))
    assert tap.reply().fields["ok"]


def request(prompt="hello", **fields):
    """A request as another program would write it, with its id."""
    params = {"messages": [{"role": "user", "content": prompt}]}
    return {"v": 1, "id": str(uuid.uuid4()), "agent": "bad", "params": params, **fields}


def send(tap, message, **properties):
    """Publish a request; returns its body."""
    body = message if isinstance(message, bytes) else msgpack.packb(message)
    usual = {"reply_to": tap.reply_to, "type": "optimizer.request.v1", "user_id": USER, "correlation_id": "c-1"}
    usual |= {"content_type": "application/msgpack", **properties}
    tap.publish(tap.names.requests, tap.names.requests, body, **usual)
    return body


def refused(tap, body, code, *, told=True):
    """The event, the dead letter and (if anybody can be told) the reply of a refused request; returns the reply."""
    happened = tap.event("optimizer.error")
    assert happened.fields["error_code"] == code
    assert happened.fields["message"].endswith((".", "?"))
    assert tap.dead().body == body
    if not told:
        assert tap.reply(0) is None
        return None
    reply = tap.reply()
    assert reply.properties.type == "optimizer.reply.v1"
    assert reply.properties.correlation_id == reply.fields["id"]
    assert (reply.fields["ok"], reply.fields["error"]["code"]) == (False, code)
    assert reply.fields["error"]["message"] == happened.fields["message"]
    return reply


def nested(levels):
    """A request with lists in lists in its parameters."""
    head = {"v": 1, "id": "deep", "agent": "bad"}
    parts = b"".join(msgpack.packb(part) for pair in head.items() for part in pair)
    return b"\x84" + parts + msgpack.packb("params") + b"\x81\xa1k" + b"\x91" * levels + b"\x01"


INVALID = {
    "empty": b"",
    "not msgpack": b"\xc1 this is not msgpack",
    "json": b'{"v": 1, "id": "x"}',
    "cut": msgpack.packb(request())[:-3],
    "a list": msgpack.packb([1, 2, 3]),
    "too large": msgpack.packb(request("x" * 12 * MIB)),
    "wrong type": msgpack.packb(request(agent=5)),
    "missing field": msgpack.packb({"v": 1, "id": "x"}),
    "another version": msgpack.packb(request(v=2)),
    "deep": nested(100),
    "2,000 deep": nested(2_000),
    "a million deep": nested(1_000_000),
    "NaN": msgpack.packb(request(params={"messages": [{"content": float("nan")}]})),
    "bytes": msgpack.packb(request(params={"messages": [{"content": b"x"}]})),
    "extension": msgpack.packb(request(params={"messages": [msgpack.ExtType(4, b"x")]})),
    "time": msgpack.packb(request(params={"messages": [msgpack.Timestamp(1)]})),
    "a map as a key": b"\x84\xa1v\x01\xa2id\xa1i\xa5agent\xa1a\xa6params\x81\xa1k\x81\x81\xa1x\x01\x02",
    "no messages": msgpack.packb(request(params={})),
    "stream": msgpack.packb(request(stream=True)),
    "id that AMQP cannot carry": msgpack.packb(request(id="é" * 200)),
    "long id of a wrong message": msgpack.packb({"v": 1, "id": "x" * 5_000}),
    "agent that AMQP cannot carry": msgpack.packb(request(agent="é" * 200)),
    "tags too long for an event": msgpack.packb(request(tags={"k": "x" * (8 * MIB - 300)})),
}


@pytest.mark.parametrize("body", INVALID.values(), ids=INVALID)
def test_invalid_request(tap, body):
    """Whatever is not a request is refused in words to its sender, told as an event, and kept byte by byte."""
    send(tap, body)

    assert refused(tap, body, "invalid_request").fields["id"]


@pytest.mark.parametrize("kind", [None, "optimizer.call.v1", "something"])
def test_wrong_message_type(tap, kind):
    """A message of another type is refused, even if its body is a request."""
    body = send(tap, request(), type=kind)

    refused(tap, body, "invalid_request")


def test_reply_names_the_request(tap):
    """The reply carries the id in the message, else the correlation id, so that the sender knows what was refused."""
    body = send(tap, request(id="mine", agent=5))
    assert refused(tap, body, "invalid_request").fields["id"] == "mine"
    body = send(tap, b"\xc1")
    assert refused(tap, body, "invalid_request").fields["id"] == "c-1"


def test_unknown_model(tap):
    """A model that nobody has is refused with the nearest name."""
    body = send(tap, request(model="alhpa"))

    assert "'alpha'" in refused(tap, body, "unknown_model").fields["error"]["message"]


def test_a_refused_request_is_told_as_its_senders(tap):
    """The event of a request that asks for what is not there says whose it is, so that the history has it."""
    send(tap, sent := request(model="alhpa", priority="batch", tags={"run": "x" * (8 * MIB - 300)}))

    told = tap.event("optimizer.error").fields
    named = {name: told.get(name) for name in ("request_id", "agent", "tenant", "op", "priority", "tags")}
    assert named == {
        "request_id": sent["id"],
        "agent": "bad",
        "tenant": "default",
        "op": "chat",
        "priority": "batch",
        "tags": None,
    }
    assert tap.dead()
    assert tap.reply()


def test_nobody_to_tell(tap):
    """Without a reply address, or without any id, the fleet is told and the message is kept."""
    body = send(tap, request(), reply_to=None)
    refused(tap, body, "invalid_request", told=False)
    body = send(tap, b"\xc1", correlation_id=None)
    refused(tap, body, "invalid_request", told=False)


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ("{p}.replies.other.1", USER),
        ("{p}.replies.guest.other.1", USER),
        ("{p}.stolen", USER),
        ("{p}.stolen", None),
    ],
)
def test_foreign_reply_address(tap, address, user):
    """Nothing is ever sent to a queue that the sender may not name, neither an answer nor an error."""
    victim = tap.own_queue(address.format(p=tap.names.prefix))
    body = send(tap, request(), reply_to=victim, user_id=user)
    refused(tap, body, "unauthorized", told=False)
    body = send(tap, b"\xc1", reply_to=victim, user_id=user)
    refused(tap, body, "invalid_request", told=False)

    assert tap.get(victim, 0) is None
    tap.drop(victim)


@pytest.mark.parametrize("text", ["\n", "def a"])
def test_prompt_made_to_take_long(tap, text):
    """A prompt of a megabyte that provokes the task detection is answered at once, and holds up nobody."""
    started = time.monotonic()
    send(tap, request(text * (MIB // len(text))))
    send(tap, request())

    assert all(tap.reply().fields["ok"] for _ in range(2))
    assert time.monotonic() - started < 5


def test_cancelled_before_it_came(tap):
    """A cancellation that overtakes its request holds: the request is told so and not called."""
    message = request()
    send(tap, message, type="optimizer.cancel.v1")
    send(tap, message)

    reply = tap.reply().fields
    assert (reply["id"], reply["error"]["code"]) == (message["id"], "cancelled")


def test_replayed_request(tap):
    """The same request sent again, before its answer and after it, is answered by one call."""
    message = request(f"again {uuid.uuid4()}", cache={"mode": "off"})
    # Whether the second copy met the first one in flight or its answer is chance, so that a third reply may come later.
    own = tap.own_queue(tap.names.reply_queue(USER, uuid.uuid4().hex))
    send(tap, message, reply_to=own)
    send(tap, message, reply_to=own)
    answers = [tap.get(own).fields["result"]]
    send(tap, message, reply_to=own)
    answers.append(tap.get(own).fields["result"])
    if further := tap.get(own, 0.3):
        answers.append(further.fields["result"])

    assert all(answer == answers[0] for answer in answers)
    finished = [event for event in tap.events() if event.key == "optimizer.call.finished"]
    assert len([event for event in finished if event.fields["request_id"] == message["id"]]) == 1


@pytest.mark.parametrize("headers", ODD_HEADERS, ids=lambda headers: next(iter(headers)))
def test_odd_headers(tap, headers):
    """Headers of every type that AMQP knows, in tables and lists, change nothing: the request is answered."""
    message = request(f"headers {uuid.uuid4()}")
    send(tap, message, headers=headers, content_type="text/plain", priority=255, message_id="x" * 255)

    reply = tap.reply().fields
    assert (reply["id"], reply["ok"]) == (message["id"], True)


# ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────


def call(tap, **fields):
    """A call as a coordinator would write it."""
    name = str(uuid.uuid4())
    waiter = {"id": name, "reply_to": tap.reply_to, "deadline_ms": round(time.time() * 1000) + 20_000}
    return {
        "v": 1,
        "fingerprint": uuid.uuid4().hex,
        "flight": 0,
        "number": 1,
        "waiter": {**waiter, "agent": "bad", "tenant": "t"},
        "params": {"messages": [{"role": "user", "content": "hello"}]},
        "route": [{"backend": "alpha", "model": "sim-model"}],
        **fields,
    }


def send_call(tap, body, kind="optimizer.call.v1"):
    """Publish to the call queue of the backend."""
    tap.publish(tap.names.calls, "alpha.standard", body, type=kind)


def bad_calls(tap):
    """Bodies on a call queue that are no calls."""
    long = {"id": "x" * 300, "reply_to": tap.reply_to, "deadline_ms": 2**50, "agent": "a", "tenant": "t"}
    return {
        "not msgpack": b"\xc1",
        "a request": msgpack.packb(request()),
        "another version": msgpack.packb(call(tap, v=2)),
        "no route": msgpack.packb(call(tap, route=[])),
        "past its route": msgpack.packb(call(tap, hop=1)),
        "too large": msgpack.packb(call(tap, params={"messages": "x" * 12 * MIB})),
        "NaN": msgpack.packb(call(tap, params={"messages": [float("nan")]})),
        "bytes": msgpack.packb(call(tap, params={"messages": [b"x"]})),
        "deep": nested(2_000),
        "a waiter that AMQP cannot carry": msgpack.packb(call(tap, waiter=long)),
        "an address that AMQP cannot carry": msgpack.packb(
            call(tap, waiter={**long, "id": "x", "reply_to": "q" * 300})
        ),
    }


READABLE_WAITERS = {"another version", "no route", "past its route", "NaN", "bytes"}


def test_bad_calls(tap):
    """Garbage on a call queue is told as an event of the worker and kept byte by byte; who is read to wait is told."""
    for name, body in bad_calls(tap).items():
        send_call(tap, body)
        happened = tap.event("optimizer.error")
        assert happened.fields["source"].startswith("worker/alpha/"), name
        assert happened.fields["error_code"] == "invalid_request", name
        assert tap.dead().body == body, name
        if name in READABLE_WAITERS:
            error = tap.reply().fields["error"]
            assert (error["code"], error.get("retryable", False)) == ("internal", False), name
            assert "No worker could read the call of this request" in error["message"], name


def test_call_of_another_type(tap):
    """A message of another type on a call queue is refused, even if its body is a call."""
    body = msgpack.packb(call(tap))
    send_call(tap, body, "optimizer.request.v1")

    assert "is not a call" in tap.event("optimizer.error").fields["message"]
    assert tap.dead().body == body
    assert tap.reply(0) is None


def test_a_good_call(tap):
    """The calls of these tests are good where nothing is wrong with them."""
    send_call(tap, msgpack.packb(call(tap)))

    assert tap.reply().fields["ok"]


ODD = {
    "numbers": {"messages": [1, 2]},
    "null": {"messages": [None]},
    "lists": {"messages": [[]]},
    "empty maps": {"messages": [{}]},
    "odd roles": {"messages": [{"role": 5, "content": "x"}, {"role": {"a": 1}, "content": "x"}]},
    "odd content": {"messages": [{"role": "user", "content": {"a": [1]}}, {"role": "user", "content": [5, None, {}]}]},
    "odd tools": {"messages": [{"role": "user", "content": "x"}], "tools": 5, "tool_choice": []},
    "odd list of tools": {"messages": [{"role": "user", "content": "x"}], "tools": [1, {}, {"function": 5}]},
    "odd tool calls": {"messages": [{"role": "assistant", "tool_calls": [5]}, {"role": "tool", "tool_call_id": []}]},
    "odd numbers": {"messages": [{"role": "user", "content": "x"}], "max_tokens": "many", "stop": {"a": 1}, "n": {}},
    "odd format": {"messages": [{"role": "user", "content": "x"}], "response_format": [1], "reasoning_effort": {}},
    "another model": {"messages": [{"role": "user", "content": "x"}], "model": {"a": 1}},
    "odd user": {"messages": [{"role": "user", "content": "x"}], "user": {"a": 1}, "metadata": 5},
}


@pytest.mark.parametrize("params", ODD.values(), ids=ODD)
@pytest.mark.parametrize("backend", ["alpha", "claude"])
def test_odd_parameters(tap, backend, params):
    """Parameters that are JSON and make no sense are answered, with a result or a typed error, by every family."""
    message = request(params=params, model=backend, cache={"mode": "off"}, timeout_ms=15_000)
    send(tap, message)

    reply = tap.reply().fields
    assert reply["id"] == message["id"]
    assert reply["ok"] or reply["error"]["code"] in {"invalid_request", "unknown_model"}
