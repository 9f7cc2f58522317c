"""The blocking client on a real RabbitMQ, with an optimizer that the test plays itself."""

import itertools
import socket
import sys
import threading
import time
from concurrent.futures import CancelledError, wait
from urllib.parse import urlsplit, urlunsplit

import pika
import pytest
from tests.lab.proxy import TcpProxy
from tests.support.fake_optimizer import FakeOptimizer, declare

from optimizer_client import (
    AuthenticationError,
    BackendUnavailable,
    Cancelled,
    ContextTooLong,
    DeadlineExceeded,
    InvalidRequest,
    Optimizer,
    OptimizerError,
    OptimizerUnavailable,
    Overloaded,
    QuotaExceeded,
    UnknownModel,
    optimized_api_call,
)
from optimizer_wire.topology import Names

SOON_S = 10.0


@pytest.fixture
def fake(amqp_url, prefix):
    """An optimizer that answers as the text of the prompt says."""
    with FakeOptimizer(amqp_url, prefix) as optimizer:
        yield optimizer


@pytest.fixture
def optimizer(amqp_url, prefix, fake):
    """A client of it."""
    with Optimizer("agent", url=amqp_url, prefix=prefix, timeout=SOON_S) as client:
        yield client


@pytest.fixture
def proxy(amqp_url):
    """A proxy before RabbitMQ, to be cut."""
    parts = urlsplit(amqp_url)
    with TcpProxy(parts.hostname, parts.port or 5672) as proxy:
        yield proxy


@pytest.fixture
def proxied(amqp_url, prefix, fake, proxy):
    """A client behind the proxy."""
    with Optimizer("agent", url=at_port(amqp_url, proxy.port), prefix=prefix, timeout=SOON_S) as client:
        yield client


@pytest.fixture
def channel(amqp_url):
    """A channel to look at RabbitMQ from the side."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    yield connection.channel()
    connection.close()


def at_port(url, port):
    """The same URL at another port of this machine."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))


def until(condition):
    """Wait until something is so; fails if it takes too long."""
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.005)


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_question_is_answered(optimizer, fake):
    """`chat` returns the reply to its own request."""
    reply = optimizer.chat("Why?", request_id="mine")

    assert (reply.id, reply.text, reply.source, reply.backend) == ("mine", "re: Why?", "backend", "fake")
    assert (optimizer.connected, optimizer.in_flight) == (True, 0)


def test_a_request_carries_what_the_optimizer_relies_on(optimizer, fake, prefix):
    """Ids, reply address, expiration, user and agent are in the AMQP properties, as the design says."""
    optimizer.chat("Why?", request_id="mine", timeout=7)

    sent = fake.seen[0].properties
    assert (sent.message_id, sent.correlation_id, sent.app_id) == ("mine", "mine", "agent")
    assert (sent.type, sent.content_type, sent.delivery_mode) == ("optimizer.request.v1", "application/msgpack", 2)
    assert sent.user_id is not None
    assert sent.reply_to.startswith(f"{prefix}.replies.{sent.user_id}.")
    assert 6_000 < int(sent.expiration) <= 7_000
    assert fake.seen[0].request.timeout_ms == int(sent.expiration)


def test_twenty_threads_share_one_client(optimizer, fake):
    """Every thread gets the answers to its own questions, all over one reply queue."""
    wrong = []

    def ask(name):
        for number in range(10):
            text = f"{name}/{number}"
            if optimizer.chat(text).text != f"re: {text}":
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)

    assert (wrong, len(fake.seen)) == ([], 200)
    assert len({seen.properties.reply_to for seen in fake.seen}) == 1


def test_two_thousand_are_in_flight_on_one_connection(optimizer, fake):
    """Futures let one thread have thousands in flight; each gets its own answer."""
    futures = [optimizer.chat_future(f"hold {number}", timeout=60) for number in range(2000)]
    in_flight = optimizer.in_flight
    until(lambda: len(fake.seen) >= 1000)

    fake.release.set()
    wait(futures, 60)

    assert [future.result().text for future in futures] == [f"re: hold {number}" for number in range(2000)]
    assert (in_flight, optimizer.in_flight) == (2000, 0)
    assert len({seen.properties.reply_to for seen in fake.seen}) == 1


def test_many_are_answered_in_their_order(optimizer):
    """`chat_many` returns an answer or an error for each prompt, in the order of the prompts."""
    outcomes = optimizer.chat_many(["a", "error overloaded", "b", ""])

    assert [outcome.text for outcome in outcomes[::2]] == ["re: a", "re: b"]
    assert [type(outcome) for outcome in outcomes[1::2]] == [Overloaded, InvalidRequest]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("invalid_request", InvalidRequest),
        ("unknown_model", UnknownModel),
        ("context_too_long", ContextTooLong),
        ("unauthorized", AuthenticationError),
        ("quota_exceeded", QuotaExceeded),
        ("backend_unavailable", BackendUnavailable),
        ("cancelled", Cancelled),
    ],
)
def test_errors_that_travel_are_raised_as_their_class(optimizer, code, error):
    """What the optimizer answers with an error is raised with its sentence and its request."""
    with pytest.raises(error, match=f"It is {code}") as caught:
        optimizer.chat(f"error {code}", request_id="mine")

    assert (caught.value.request_id, caught.value.retry_after_s) == ("mine", 1.5)


def test_duplicates_and_garbage_do_no_harm(optimizer):
    """A second reply and a reply that is none are dropped."""
    replies = [optimizer.chat(text).text for text in ("twice a", "garbage b", "c")]

    assert replies == ["re: twice a", "re: garbage b", "re: c"]


def test_one_line_is_enough(amqp_url, prefix, fake, monkeypatch):
    """`optimized_api_call` speaks for any agent, on one connection for the whole process."""
    shared = {}
    monkeypatch.setattr("optimizer_client.api_call._shared", shared)
    monkeypatch.setenv("OPTIMIZER_AMQP_URL", amqp_url)
    monkeypatch.setenv("OPTIMIZER_PREFIX", prefix)

    texts = [str(optimized_api_call(agent, "Why?", timeout=SOON_S)) for agent in ("quality", "security")]

    assert texts == ["re: Why?"] * 2
    assert [seen.request.agent for seen in fake.seen] == ["quality", "security"]
    assert [seen.properties.app_id for seen in fake.seen] == ["quality", "security"]
    assert len({seen.properties.reply_to for seen in fake.seen}) == len(shared) == 1
    for optimizer in shared.values():
        optimizer.close()


# ── ending ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_silence_ends_at_the_deadline(optimizer, fake):
    """A request without an answer is sent again under its id, and ends when its time is over."""
    started = time.monotonic()

    with pytest.raises(DeadlineExceeded, match="sent 2 times"):
        optimizer.chat("silence", timeout=1.2)

    assert 1.2 <= time.monotonic() - started < 3
    until(lambda: len(fake.seen) == 2)
    assert len({seen.request.id for seen in fake.seen}) == 1
    assert fake.seen[1].request.timeout_ms < fake.seen[0].request.timeout_ms


def test_an_answer_to_the_second_copy_is_as_good(optimizer, fake):
    """If the first copy was lost on its way, the one that is sent after silence is answered."""
    reply = optimizer.chat("second time lucky", timeout=4)

    assert reply.text == "re: second time lucky"
    assert len(fake.seen) == 2


def test_cancel_ends_the_request_here_and_there(optimizer, fake):
    """`cancel` raises `Cancelled` at whoever waits, and tells the optimizer."""
    future = optimizer.chat_future("silence", request_id="mine")
    until(lambda: fake.seen)

    assert optimizer.cancel("mine") is True
    with pytest.raises(Cancelled):
        future.result(SOON_S)
    until(lambda: fake.cancelled)
    assert fake.cancelled == ["mine"]
    assert (optimizer.cancel("mine"), optimizer.in_flight) == (False, 0)


def test_cancelling_a_future_cancels_its_request(optimizer, fake):
    """`future.cancel()` is enough: the optimizer is told, and a late reply is dropped."""
    future = optimizer.chat_future("hold it", request_id="mine")
    until(lambda: fake.seen)

    assert future.cancel() is True
    with pytest.raises(CancelledError):
        future.result(SOON_S)
    until(lambda: fake.cancelled)
    fake.release.set()

    assert optimizer.chat("after").text == "re: after"
    assert fake.cancelled == ["mine"]


def test_the_same_id_cannot_be_on_its_way_twice(optimizer):
    """An id names one request at a time."""
    first = optimizer.chat_future("silence", request_id="mine")

    with pytest.raises(InvalidRequest, match="on its way"):
        optimizer.chat("again", request_id="mine")
    first.cancel()
    assert optimizer.chat("again", request_id="mine").text == "re: again"


def test_a_request_that_is_too_large_is_refused_here(optimizer, fake):
    """More than 8 MiB never reach RabbitMQ."""
    with pytest.raises(InvalidRequest, match="8,388,608"):
        optimizer.chat("x" * 9_000_000)

    assert fake.seen == []


def test_a_callback_must_not_wait_for_itself(optimizer, fake):
    """Asking and waiting in the callback of a future is an error at once, not a standstill."""
    caught = []

    def callback(_):
        try:
            optimizer.chat("again")
        except RuntimeError as error:
            caught.append(str(error))

    future = optimizer.chat_future("hold once")
    # A callback of what is answered already is called where it is added, and may wait there.
    future.add_done_callback(callback)
    until(lambda: fake.seen)
    fake.release.set()
    future.result(SOON_S)
    until(lambda: caught)

    assert "chat_future" in caught[0]
    assert optimizer.chat("more").text == "re: more"


class Interrupt:
    """Raises KeyboardInterrupt where Python looks for signals: when the nth call begins, or has returned from C."""

    def __init__(self, number):
        self.left = number

    def __call__(self, _frame, event, _):
        self.left -= event in {"call", "c_return"}
        if not self.left:
            sys.setprofile(None)
            raise KeyboardInterrupt


def test_an_interrupt_at_any_moment_harms_no_other_request(optimizer, fake):
    """Wherever Ctrl-C interrupts a thread that asks, the request that it makes next is answered."""
    until(lambda: optimizer.connected)
    for number in itertools.count(1):
        interrupt = Interrupt(number)
        try:
            sys.setprofile(interrupt)
            optimizer.chat("silence", timeout=0.5)
        except (KeyboardInterrupt, DeadlineExceeded):
            pass
        finally:
            sys.setprofile(None)
        if interrupt.left:
            break
        assert optimizer.chat("after", timeout=SOON_S).text == "re: after", number

    assert number > 80
    until(lambda: not optimizer.in_flight)


def test_closing_ends_what_is_unanswered_and_takes_the_reply_queue_along(amqp_url, prefix, fake, channel):
    """After `close` nothing waits, nothing is taken, and RabbitMQ has no queue of this client any more."""
    optimizer = Optimizer("agent", url=amqp_url, prefix=prefix)
    future = optimizer.chat_future("silence")
    until(lambda: fake.seen)

    optimizer.close()

    with pytest.raises(Cancelled, match="closed"):
        future.result(0)
    with pytest.raises(OptimizerUnavailable, match="closed"):
        optimizer.chat("after")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
        channel.queue_declare(fake.seen[0].properties.reply_to, passive=True)
    assert not any(thread.name == "optimizer-client" for thread in threading.enumerate())


def test_a_closed_client_may_start_again(optimizer):
    """`start` opens a closed client anew."""
    optimizer.chat("a")
    optimizer.close()

    assert optimizer.start().chat("b").text == "re: b"


# ── nobody there ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_request_queue_it_says_so_at_once(amqp_url, prefix, channel):
    """If no optimizer has its queue on this RabbitMQ, that is said at once and not at the deadline."""
    names = Names(prefix)
    declare(channel, names)
    channel.queue_delete(names.requests)

    with Optimizer("agent", url=amqp_url, prefix=prefix) as optimizer:
        started = time.monotonic()
        with pytest.raises(BackendUnavailable, match="No optimizer is running"):
            optimizer.chat("Why?")

        assert time.monotonic() - started < 3


def test_without_an_exchange_it_says_so_at_once_and_works_when_there_is_one(amqp_url, prefix):
    """On a RabbitMQ that never saw an optimizer every request fails at once; as soon as there is one, it answers."""
    with Optimizer("agent", url=amqp_url, prefix=prefix) as optimizer:
        started = time.monotonic()
        outcomes = [outcome for _ in range(3) for outcome in optimizer.chat_many(["a", "b"])]
        assert {type(outcome) for outcome in outcomes} == {BackendUnavailable}
        assert time.monotonic() - started < 3

        with FakeOptimizer(amqp_url, prefix):
            assert optimizer.chat("Why?").text == "re: Why?"


def test_a_full_request_queue_is_overloaded(amqp_url, prefix, channel):
    """A request that RabbitMQ refuses is `Overloaded` with a hint when to come back."""
    names = Names(prefix)
    declare(channel, names)
    channel.queue_delete(names.requests)
    channel.queue_declare(names.requests, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.queue_bind(names.requests, names.requests, names.requests)

    with Optimizer("agent", url=amqp_url, prefix=prefix) as optimizer:
        accepted = optimizer.chat_future("first")
        with pytest.raises(Overloaded, match="full") as caught:
            optimizer.chat("second")

        assert caught.value.retry_after_s == 1.0
        assert not accepted.done()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("amqp://127.0.0.1:1/", "refused"),
        ("amqp://guest:not-the-password@{}/", "password"),
        ("amqp://{}/no-such-vhost", "virtual host"),
    ],
)
def test_an_optimizer_out_of_reach_is_said_in_time(amqp_url, url, says):
    """Without a connection, requests fail after `connect_timeout` with the reason, and not with the password."""
    url = url.format(urlsplit(amqp_url).netloc.rpartition("@")[2])
    with Optimizer("agent", url=url, connect_timeout=0.5) as optimizer:
        started = time.monotonic()
        with pytest.raises(OptimizerUnavailable, match=says) as caught:
            optimizer.chat("Why?")

        assert 0.4 < time.monotonic() - started < 3
        assert "not-the-password" not in str(caught.value)


def test_a_broker_that_accepts_and_says_nothing_does_not_hold_anybody():
    """A port that takes connections and never answers is as good as none."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Optimizer("agent", url=f"amqp://127.0.0.1:{silent.getsockname()[1]}/", connect_timeout=0.5) as optimizer,
    ):
        started = time.monotonic()
        outcomes = optimizer.chat_many(["a", "b"])

    assert [type(outcome) for outcome in outcomes] == [OptimizerUnavailable] * 2
    assert time.monotonic() - started < 4


def test_the_search_for_a_connection_counts_toward_the_deadline():
    """A request never takes longer than its timeout, even if the client would look longer for a connection."""
    with Optimizer("agent", url="amqp://127.0.0.1:1/", connect_timeout=30) as optimizer:
        started = time.monotonic()
        with pytest.raises(OptimizerUnavailable):
            optimizer.chat("Why?", timeout=0.3)

        assert time.monotonic() - started < 3


# ── a connection that breaks ─────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_sent_is_sent_again_when_the_connection_is_cut(proxied, proxy, fake):
    """A request whose copy was lost with the connection is answered on the next one, under the same id."""
    future = proxied.chat_future("second chance", request_id="mine", timeout=30)
    until(lambda: fake.seen)

    proxy.reset()

    assert future.result(SOON_S).text == "re: second chance"
    assert [seen.request.id for seen in fake.seen] == ["mine"] * 2
    assert proxy.accepted == 2


def test_a_reply_that_came_while_the_connection_was_gone_is_not_lost(proxied, proxy, fake):
    """The reply queue outlives the connection: what it received meanwhile arrives on the next one."""
    futures = [proxied.chat_future(f"hold {number}", timeout=30) for number in range(50)]
    until(lambda: len(fake.seen) >= 50)

    proxy.reset()
    fake.release.set()

    assert [future.result(SOON_S).text for future in futures] == [f"re: hold {number}" for number in range(50)]
    assert len({seen.properties.reply_to for seen in fake.seen}) == 1


def test_cutting_again_and_again_loses_nothing(proxied, proxy):
    """Under a connection that breaks all the time, every request is answered once."""
    stop = threading.Event()

    def cut():
        while not stop.wait(0.15):
            proxy.reset()

    cutter = threading.Thread(target=cut)
    cutter.start()
    futures = [proxied.chat_future(f"q{number}", timeout=60) for number in range(300)]
    wait(futures, 3)
    stop.set()
    cutter.join()

    assert [future.result(60).text for future in futures] == [f"re: q{number}" for number in range(300)]


def test_a_connection_on_which_nothing_arrives_any_more_is_replaced(proxied, proxy, fake, monkeypatch):
    """If RabbitMQ confirms nothing, the client does not wait for heartbeats: it connects again."""
    monkeypatch.setattr("optimizer_client.confirms.SHORTEST_S", 0.5)
    proxied.chat("before")
    proxy.swallow()

    future = proxied.chat_future("lost", timeout=4)
    until(lambda: not proxied.connected)
    proxy.heal()

    assert future.result(SOON_S).text == "re: lost"


def test_a_reply_queue_that_somebody_deleted_is_declared_again(optimizer, fake, channel):
    """When its queue is deleted under it, the client makes another one and sends its requests again."""
    future = optimizer.chat_future("second queue", request_id="mine", timeout=30)
    until(lambda: fake.seen)

    channel.queue_delete(fake.seen[0].properties.reply_to)

    assert future.result(SOON_S).text == "re: second queue"
    assert [seen.request.id for seen in fake.seen] == ["mine"] * 2


def test_an_older_consumer_gets_no_replies(optimizer, fake, channel):
    """While RabbitMQ takes an older connection of the client for alive, replies come on the newest one all the same."""
    optimizer.chat("before")
    channel.basic_consume(fake.seen[0].properties.reply_to, lambda *_: None, auto_ack=True)

    futures = [optimizer.chat_future(f"q{number}", timeout=SOON_S) for number in range(20)]

    assert [future.result(SOON_S).text for future in futures] == [f"re: q{number}" for number in range(20)]
    assert len(fake.seen) == 21


def test_a_broker_that_goes_away_is_said_in_time_and_comes_back(amqp_url, prefix, fake, proxy):
    """While RabbitMQ is away requests fail after `connect_timeout`, and when it is back they are answered."""
    url = proxy.url_of(amqp_url)
    with Optimizer("agent", url=url, prefix=prefix, timeout=SOON_S, connect_timeout=0.5) as optimizer:
        optimizer.chat("before")
        proxy.refuse()
        proxy.reset()
        until(lambda: not optimizer.connected)

        started = time.monotonic()
        with pytest.raises(OptimizerUnavailable, match=r"lost|broke|refused|reset"):
            optimizer.chat("meanwhile")
        assert 0.4 < time.monotonic() - started < 3
        proxy.heal()
        until(lambda: optimizer.connected)

        assert optimizer.chat("after").text == "re: after"


# ── a broker in trouble ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_frozen_broker_costs_the_deadline_and_no_more(private_rabbitmq, prefix):
    """While RabbitMQ is frozen requests end at their deadline; afterwards the client works as before."""
    url = private_rabbitmq.url
    with FakeOptimizer(url, prefix), Optimizer("agent", url=url, prefix=prefix, timeout=SOON_S) as optimizer:
        optimizer.chat("before")
        private_rabbitmq.pause()
        started = time.monotonic()
        try:
            with pytest.raises(DeadlineExceeded):
                optimizer.chat("meanwhile", timeout=0.5)
            took_s = time.monotonic() - started
        finally:
            private_rabbitmq.resume()

        assert optimizer.chat("after").text == "re: after"
    assert took_s < 3


def test_a_broker_that_takes_nothing_says_why(private_rabbitmq, prefix):
    """Under a memory alarm requests end at their deadline, and the error names the alarm; they work again after it."""
    url = private_rabbitmq.url
    with FakeOptimizer(url, prefix), Optimizer("agent", url=url, prefix=prefix) as optimizer:
        optimizer.chat("before", timeout=SOON_S)
        private_rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            # RabbitMQ tells it to whoever publishes: the first may have been sent before.
            errors = [_error(optimizer, timeout=1.0) for _ in range(2)]
            future = optimizer.chat_future("late", timeout=30)
        finally:
            private_rabbitmq.ctl("set_vm_memory_high_watermark", "0.6")

        assert future.result(30).text == "re: late"
    assert "RabbitMQ takes no requests" in errors[1].message


def _error(optimizer, **options):
    with pytest.raises(OptimizerError) as caught:
        optimizer.chat("meanwhile", **options)
    return caught.value
