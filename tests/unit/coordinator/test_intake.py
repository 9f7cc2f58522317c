"""Intake: what a message must be to become a request, and what follows from it."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import strategies

from optimizer_config.model import Backend, CacheSettings, Config, User
from optimizer_coordinator.intake import MAX_TAGS_CHARS, Envelope, Reception
from optimizer_coordinator.routing import Router, Shut, View
from optimizer_wire.codec import encode
from optimizer_wire.errors import AuthenticationError, DeadlineExceeded, InvalidRequest, UnknownModel
from optimizer_wire.fingerprint import fingerprint, lone_fingerprint
from optimizer_wire.messages import CANCEL_TYPE, REQUEST_TYPE, CachePolicy, Hop, Priority, Request
from optimizer_wire.topology import Names

CONFIG = Config(
    prefix="o",
    backends={"b": Backend("b", "openai", "http://x", ("m",))},
    configured=frozenset({"b"}),
    tenants={"anna": "blue"},
    cache=CacheSettings({"code": 3600.0, "creative": 60.0, "default": 600.0}),
)
RECEPTION = Reception(CONFIG, Names("o"), Router(CONFIG))
MESSAGES = [{"role": "user", "content": "Write a poem"}]


def request(params=None, **fields):
    return Request(
        **{"v": 1, "id": "r", "agent": "a", "params": {"messages": MESSAGES} if params is None else params, **fields}
    )


def envelope(
    sent=None, *, body=None, kind=REQUEST_TYPE, reply_to="o.replies.anna.1", user="anna", now_ms=1_000, agent=None
):
    return Envelope(encode(sent or request()) if body is None else body, kind, reply_to, user, now_ms, agent)


def receive(sent=None, **properties):
    return RECEPTION.receive(envelope(sent, **properties))


def test_what_follows_from_a_request():
    """A request becomes a waiter with a deadline on the fleet's clock, a task, and the sender's tenant."""
    intake = receive(request(timeout_ms=5_000, priority=Priority.BATCH))

    assert intake.task == "creative"
    assert not intake.cancel
    assert msgspec.to_builtins(intake.waiter) == {
        "id": "r",
        "reply_to": "o.replies.anna.1",
        "deadline_ms": 6_000,
        "agent": "a",
        "tenant": "blue",
        "priority": "batch",
        "since_ms": 1_000,
    }
    assert intake.admission.fingerprint == fingerprint(intake.request, "blue", "creative")
    assert intake.admission.may_read


def test_tenant_comes_from_the_broker():
    """A user without a tenant belongs to the default tenant."""
    assert receive(user="bert", reply_to="o.replies.bert.1").waiter.tenant == "default"


def test_with_tenants_the_user_must_be_vouched_for():
    """Where there are tenants, leaving out the user does not make a sender one of the default tenant."""
    with pytest.raises(AuthenticationError, match="user_id"):
        receive(user=None, reply_to="o.replies.anna.1")


def test_without_a_user_nobody_is_answered():
    """Where there are tenants, a message without a user is not answered: it could name anybody's reply queue."""
    assert not RECEPTION.may_reply(envelope(user=None, reply_to="o.replies.anna.1"))
    assert RECEPTION.may_reply(envelope(user="anna", reply_to="o.replies.anna.1"))


USERS = msgspec.structs.replace(
    CONFIG,
    tenants={},
    users={
        "anna": User("agent", "blue", ("quality", "qa-*")),
        "a.b": User("agent", "red", ("a.b",)),
        "groq": User("worker", backends=("b",)),
        "board": User("observer", events=("optimizer.*",)),
    },
)
GUARDED = Reception(USERS, Names("o"), Router(USERS))


@pytest.mark.parametrize(
    ("user", "agent", "tenant"),
    [("anna", "quality", "blue"), ("anna", "qa-", "blue"), ("anna", "qa-7.x", "blue"), ("a.b", "a.b", "red")],
)
def test_agents_of_a_user(user, agent, tenant):
    """With users, an agent asks in the names that its user may use, and belongs to the tenant of its user."""
    intake = GUARDED.receive(envelope(request(agent=agent), user=user, reply_to=f"o.replies.{user}.1", agent=agent))

    assert (intake.waiter.agent, intake.waiter.tenant) == (agent, tenant)


@pytest.mark.parametrize(
    ("user", "agent", "words"),
    [
        ("anna", "quality2", "may not ask in the name of the agent 'quality2'"),
        ("anna", "Quality", "may not ask"),
        ("anna", "xqa-1", "may not ask"),
        ("anna", "anna", "may not ask"),
        ("a.b", "aXb", "may not ask"),
        ("a", "a.b", "is no agent of this deployment"),
        ("groq", "quality", "is no agent of this deployment"),
        ("board", "quality", "is no agent of this deployment"),
        ("guest", "quality", "is no agent of this deployment"),
        (None, "quality", "must carry its RabbitMQ user"),
    ],
)
def test_forged_agents(user, agent, words):
    """A name that is not one of its user's, and a user that is no agent, is refused; so is a message without a user."""
    with pytest.raises(AuthenticationError, match=words):
        GUARDED.receive(envelope(request(agent=agent), user=user, reply_to=f"o.replies.{user}.1"))


def test_forged_app_id():
    """What a message says of its agent outside its body must be the same, and is told on only if it may be said."""
    with pytest.raises(AuthenticationError, match="app_id"):
        GUARDED.receive(envelope(request(agent="quality"), agent="qa-1"))

    assert GUARDED.named_agent(envelope(agent="qa-1")) == "qa-1"
    assert GUARDED.named_agent(envelope(agent="boss")) is None
    assert GUARDED.named_agent(envelope(user=None, agent="quality")) is None
    assert GUARDED.named_agent(envelope(user="groq", agent="quality")) is None


def test_refused_requests_have_an_asker():
    """What is refused is its sender's request if it may make it, and nobody's if it is none, or forged."""
    wrong = request({}, agent="quality", model="nonsense")

    asker = GUARDED.asker(envelope(wrong))
    assert (asker.agent, asker.tenant, asker.request) == ("quality", "blue", wrong)
    for forged in (
        envelope(wrong, user="groq", agent="quality"),
        envelope(wrong, agent="qa-1"),
        envelope(wrong, kind=CANCEL_TYPE),
        envelope(body=b"nonsense"),
        envelope(request(agent="boss")),
        envelope(request(id="line\nbreak", agent="quality")),
    ):
        asker = GUARDED.asker(forged)
        assert (asker.tenant, asker.request) == (None, None)


@pytest.mark.parametrize(
    ("user", "reply_to"),
    [
        ("anna", "o.replies.a.b.1"),
        ("anna", "o.replies.anna.1.2"),
        ("anna", "o.replies.anna."),
        ("anna", "o.replies.anna"),
        ("anna", "o.replies.*.1"),
        ("anna", "o.replies.#"),
        ("anna", "o.replies.annabel.1"),
        ("anna", "O.replies.anna.1"),
        ("anna", "o.requests"),
        ("anna", "o.calls.b.batch"),
        ("anna", "o.dead"),
        ("anna", "amq.rabbitmq.reply-to"),
        ("anna", "o.replies.boss.1\0o.replies.anna.1"),
        ("a", "o.replies.a.b.1"),
        ("a.b", "o.replies.a.b"),
    ],
)
def test_crafted_reply_addresses(user, reply_to):
    """Nothing but a reply queue of the sender's own user is answered, however the address is written."""
    config = msgspec.structs.replace(USERS, users={**USERS.users, "a": User("agent", "green", ("quality",))})
    reception = Reception(config, Names("o"), Router(config))
    sent = envelope(request(agent="a.b" if user == "a.b" else "quality"), user=user, reply_to=reply_to)

    assert not reception.may_reply(sent)
    with pytest.raises(AuthenticationError, match="reply_to is not a reply queue of its sender"):
        reception.receive(sent)


def test_task_of_the_sender_wins():
    """The task that the sender tells is taken over the one that would be detected."""
    assert receive(request(task="code")).task == "code"


def test_cancel():
    """A request on a cancel message is no longer wanted; it has the name under which it waits."""
    assert receive(kind=CANCEL_TYPE).cancel
    assert receive(kind=CANCEL_TYPE).admission.fingerprint == receive().admission.fingerprint


@pytest.mark.parametrize(
    ("mode", "may_read", "alone"), [("use", True, False), ("refresh", False, False), ("off", False, True)]
)
def test_cache_modes(mode, may_read, alone):
    """`use` reads, `refresh` does not, `off` stays alone."""
    intake = receive(request(cache=CachePolicy(mode)))

    assert intake.admission.may_read is may_read
    assert (intake.admission.fingerprint == lone_fingerprint(intake.request, "blue", "anna")) is alone


@pytest.mark.parametrize(
    ("user", "reply_to", "may"),
    [
        ("anna", "o.replies.anna.1", True),
        ("anna", "o.replies.anna.0190-abc", True),
        ("anna", "o.replies.bert.1", False),
        ("anna", "o.replies.anna", False),
        ("anna", "o.replies.anna.", False),
        ("anna", "o.replies.annabel.1", False),
        ("anna", "other.replies.anna.1", False),
        ("anna", "o.requests", False),
        ("anna", "amq.rabbitmq.reply-to", False),
        # The queues of a user whose name has a dot are not those of the user before the dot.
        ("anna", "o.replies.anna.x.1", False),
        ("anna.x", "o.replies.anna.x.1", True),
        # Nobody vouches for the sender.
        (None, "o.replies.anna.1", True),
        (None, "o.requests", False),
        (None, "o.calls.b.batch", False),
        (None, "o.replies.", False),
    ],
)
def test_reply_address(user, reply_to, may):
    """A reply goes to a reply queue of the user that the broker vouches for, and never to any other kind of queue."""
    open_to_all = msgspec.structs.replace(CONFIG, tenants={})
    reception = Reception(CONFIG if user else open_to_all, Names("o"), Router(CONFIG))
    assert reception.may_reply(envelope(reply_to=reply_to, user=user)) is may
    if not may:
        with pytest.raises(AuthenticationError, match="reply_to"):
            reception.receive(envelope(reply_to=reply_to, user=user))


@pytest.mark.parametrize("reply_to", [None, ""])
def test_no_reply_address(reply_to):
    """Without an address there is nobody to answer."""
    with pytest.raises(InvalidRequest, match="no reply_to"):
        receive(reply_to=reply_to)


@pytest.mark.parametrize("kind", [None, "", "optimizer.call.v1", "x" * 255])
def test_wrong_type(kind):
    """Another type of message is named, by its beginning."""
    with pytest.raises(InvalidRequest, match="is not a request") as caught:
        receive(kind=kind)

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (request(stream=True), "Streaming"),
        (request({"messages": MESSAGES, "stream": True}), "Streaming"),
        (request({}), "need 'messages'"),
        (request({"messages": []}), "must not be empty"),
        (request({"messages": "hello"}), "must be a list"),
        (request({"messages": {"role": "user"}}), "must be a list"),
        (request({"input": "x"}), "need 'messages'"),
        (request(op="embed"), "need 'input'"),
        (request({"input": ""}, op="embed"), "need 'input'"),
        (request({"input": []}, op="embed"), "need 'input'"),
        (request({"messages": [{"content": float("nan")}]}), "NaN"),
        (request({"messages": [{"content": b"x"}]}), "bytes"),
        (request(id="a\x00b"), "printable"),
        (request(agent="a\nb"), "printable"),
        (request(id="é" * 128), "at most 255 bytes"),
        (request(agent="é" * 128), "at most 255 bytes"),
        (request(tags={"k": "v" * MAX_TAGS_CHARS}), "tags may have"),
    ],
)
def test_what_makes_no_sense(sent, words):
    """A request that cannot be served, or whose events and replies could not be sent, is refused with the reason."""
    with pytest.raises(InvalidRequest, match=words):
        receive(sent)


def test_largest_names_pass():
    """Names and tags at their limits pass."""
    receive(request(id="é" * 127, agent="a" * 200, tags={"k": "v" * (MAX_TAGS_CHARS - 1)}))


def test_unknown_model():
    """A model that nothing has is refused at the door."""
    with pytest.raises(UnknownModel):
        receive(request(model="nobody"))


@pytest.mark.parametrize(
    ("policy", "task", "ttl_ms"),
    [
        (CachePolicy(), "code", 3_600_000),
        (CachePolicy(), "creative", 60_000),
        (CachePolicy(), "long", 600_000),
        (CachePolicy(ttl_s=1.5), "code", 1_500),
        (CachePolicy(ttl_s=0), "code", 0),
        (CachePolicy("refresh"), "code", 3_600_000),
        (CachePolicy("off", ttl_s=5), "code", 0),
    ],
)
def test_time_to_live(policy, task, ttl_ms):
    """The time to live is the request's, else the task's; `off` stores nothing."""
    call = RECEPTION.call(receive(request(cache=policy, task=task)), (Hop("b", "m"),), 3, 1)

    assert call.store_ttl_ms == ttl_ms


def test_the_call():
    """A call carries what the worker needs and whom to answer."""
    intake = receive(request(tags={"team": "x"}))
    call = RECEPTION.call(intake, (Hop("b", "m"),), 3, 2)

    assert call.work_id == f"{intake.admission.fingerprint}.3.2"
    assert (call.params, call.waiter, call.task, call.tags) == (
        {"messages": MESSAGES},
        intake.waiter,
        "creative",
        {"team": "x"},
    )
    assert (call.hop, call.attempts, call.op) == (0, 0, "chat")


short = st.text(max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=60) | strategies.requests.map(encode), st.none() | short, st.none() | short, st.none() | short
)
def test_any_message(body, kind, reply_to, user):
    """Whatever arrives becomes a request or a typed error; nothing else comes out."""
    for properties in ({"kind": kind, "reply_to": reply_to, "user": user}, {}):
        with suppress(InvalidRequest, AuthenticationError, UnknownModel):
            assert receive(body=body, **properties).waiter.reply_to.startswith("o.replies.")


def shut_view(until_ms, *, reason="rpm", now_ms=1_000):
    return View(alive=frozenset({"b"}), shut={"b": Shut(until_ms, reason)}, now_ms=now_ms)


def test_what_must_miss_its_deadline():
    """A request that no live backend of its route takes in time is told which waits for what, and until when."""
    intake = receive(request(model="b", timeout_ms=5_000))
    error = RECEPTION.must_miss(intake, shut_view(6_001))

    assert isinstance(error, DeadlineExceeded)
    assert error.message == "No backend of its route takes a call within the 5 s it has: b for 5 s (rpm)."
    assert error.retry_after_s == pytest.approx(5.001)


@pytest.mark.parametrize("view", [shut_view(6_000), View(), View(alive=frozenset({"b"})), View(alive=frozenset())])
def test_what_may_be_in_time(view):
    """Where a backend may take it in time, or nobody knows, a request is not told anything."""
    assert RECEPTION.must_miss(receive(request(model="b", timeout_ms=5_000)), view) is None
