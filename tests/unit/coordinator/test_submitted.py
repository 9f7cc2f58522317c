"""Submitted requests and questions about them: whose mailbox is meant, and what is refused."""

import pytest

from optimizer_config.model import Backend, Config, User
from optimizer_coordinator.intake import Envelope, Reception
from optimizer_coordinator.routing import Router
from optimizer_state.mailboxes import Submission, address_of
from optimizer_wire.codec import encode
from optimizer_wire.errors import AuthenticationError, InvalidRequest
from optimizer_wire.messages import FETCH_TYPE, SUBMIT_TYPE, VERSION, Fetch, Request
from optimizer_wire.topology import Names

BACKENDS = {"alpha": Backend("alpha", "openai", "http://127.0.0.1", ("m",), kind="local")}
USERS = {
    "anna": User("agent", tenant="acme", agents=("quality",)),
    "bert": User("agent", tenant="acme", agents=("bert",)),
}
REPLIES = "o.replies.anna.1"


def reception(**more):
    config = Config(backends=BACKENDS, configured=frozenset(BACKENDS), prefix="o", **more)
    return Reception(config, Names("o"), Router(config))


def request(**more):
    params = {"messages": [{"role": "user", "content": "Why?"}]}
    return Request(**{"v": VERSION, "id": "a", "agent": "quality", "params": params, **more})


def envelope(message, kind, *, user="anna", reply_to=REPLIES):
    return Envelope(encode(message), kind, reply_to, user, 1_000, message.agent)


def fetch(**more):
    return Fetch(**{"v": VERSION, "id": "q", "agent": "quality", "request_id": "a", **more})


def test_a_submitted_request_is_answered_in_its_users_mailbox():
    """Whatever reply address it names, the answer goes to the mailbox of the user whom RabbitMQ vouches for."""
    for reply_to in (None, REPLIES, "mailbox:acme/other.box"):
        intake = reception(users=USERS).receive(envelope(request(), SUBMIT_TYPE, reply_to=reply_to))
        waiter = intake.waiter
        assert (waiter.reply_to, intake.submitted, intake.cancel) == (address_of("anna", "acme"), True, False)
        assert intake.submission == Submission(waiter, intake.admission.fingerprint, "auto", intake.task)


def test_without_a_user_nothing_is_submitted_or_fetched():
    """Where anybody may ask, what is kept for later needs a user all the same: nobody else is to fetch it."""
    with pytest.raises(AuthenticationError, match="must carry its RabbitMQ user"):
        reception().receive(envelope(request(), SUBMIT_TYPE, user=None))
    with pytest.raises(AuthenticationError, match="must carry its RabbitMQ user"):
        reception().look_up(envelope(fetch(), FETCH_TYPE, user=None, reply_to="o.replies.x.1"))


def test_a_question_looks_into_ones_own_mailbox():
    """A question is looked up where its own user's requests are answered, and the answer goes to its own queue."""
    found = reception(users=USERS).look_up(envelope(fetch(), FETCH_TYPE))

    assert (found.mailbox, found.reply_to, found.fetch.request_id) == (address_of("anna", "acme"), REPLIES, "a")


@pytest.mark.parametrize(
    ("more", "user", "reply_to", "expected"),
    [
        ({}, "bert", "o.replies.bert.1", AuthenticationError),
        ({"agent": "bert"}, "bert", REPLIES, AuthenticationError),
        ({}, "anna", None, InvalidRequest),
        ({"id": "\n"}, "anna", REPLIES, InvalidRequest),
        ({"id": "é" * 150}, "anna", REPLIES, InvalidRequest),
    ],
)
def test_a_question_that_is_refused(more, user, reply_to, expected):
    """A question in another's name, to another's queue, to nobody, or with an id that AMQP cannot carry is refused."""
    with pytest.raises(expected):
        reception(users=USERS).look_up(envelope(fetch(**more), FETCH_TYPE, user=user, reply_to=reply_to))


def test_a_refusal_is_told_where_the_answer_would_be():
    """What is wrong with a submitted request is put into its user's mailbox, also if it asks in another's name."""
    able = reception(users=USERS)

    assert able.answer_to(envelope(request(), SUBMIT_TYPE, user="bert")) == address_of("bert", "acme")
    assert able.answer_to(envelope(request(), SUBMIT_TYPE, user=None)) is None
    assert able.answer_to(envelope(fetch(), FETCH_TYPE)) == REPLIES
    assert able.answer_to(envelope(fetch(), FETCH_TYPE, user="bert")) is None
