"""The thread of the blocking client, on a link that the test plays: every future ends, whatever the link does."""

import time
from concurrent.futures import Future
from typing import ClassVar

import msgspec
import pytest

from optimizer_client import (
    BackendUnavailable,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    OptimizerUnavailable,
    Overloaded,
    io_thread,
)
from optimizer_client.failures import nobody_serves, queue_full
from optimizer_client.io_thread import IoThread
from optimizer_client.options import chat_request
from optimizer_wire.codec import encode
from optimizer_wire.messages import REQUEST_TYPE, VERSION, Reply
from optimizer_wire.topology import Names

SOON_S = 5.0


class PlayedLink:
    """Answers as the text of the prompt says, in the I/O thread; `links` holds every one that was made."""

    links: ClassVar[list] = []
    opens = True

    def __init__(self, parameters, loop, names, instance, precedence, owner):
        assert precedence == len(self.links) + 1
        self.loop, self.owner = loop, owner
        self.published = []
        self.ready, self.blocked, self.is_stalled, self.looks = False, None, False, 0
        self.links.append(self)
        if self.opens:
            loop.call_later(0, self.open)

    @property
    def writable(self):
        return self.ready and self.blocked is None

    def open(self):
        self.ready = True
        self.owner.link_ready()

    def publish(self, kind, request, trace=""):
        self.published.append((kind, request))
        if kind == REQUEST_TYPE:
            text = request.params["messages"][0]["content"]
            getattr(self, f"on_{text.split()[0]}")(request)

    def on_answer(self, request):
        raw = msgspec.Raw(msgspec.msgpack.encode({"choices": [{"message": {"content": "Yes."}}]}))
        self.owner.received(encode(Reply(VERSION, request.id, ok=True, result=raw)))

    def on_silence(self, request):
        self.owner.accepted(request.id)

    def on_full(self, request):
        self.owner.refused(request.id, queue_full(request.id))

    def on_accepted_then_full(self, request):
        if len(self.published) == 1:
            self.owner.accepted(request.id)
        else:
            self.on_full(request)

    def on_nobody(self, request):
        self.owner.refused(request.id, nobody_serves(request.id, "There is no queue."))

    def on_broken(self, request):
        raw = msgspec.Raw(msgspec.msgpack.encode(["not", "a", "result"]))
        self.owner.received(encode(Reply(VERSION, request.id, ok=True, result=raw)))

    def on_crash(self, request):
        if len(self.links) < 3:
            raise ZeroDivisionError("a fault of pika")
        self.on_answer(request)

    def on_lose(self, request):
        if len(self.links) < 2:
            self.drop("it was cut.")
        else:
            self.on_answer(request)

    def stalls_at(self):
        return 0.0 if self.is_stalled else None

    def look(self):
        self.looks += 1
        self.owner.served(anybody=False)

    def drop(self, why):
        self.ready = False
        self.loop.call_later(0, lambda: self.owner.link_lost(why))

    def close(self, done):
        self.loop.call_later(0, done)

    def abort(self):
        pass


@pytest.fixture
def make(monkeypatch):
    """A function that makes a thread on played links; they are stopped at the end."""
    monkeypatch.setattr(PlayedLink, "links", [])
    monkeypatch.setattr(io_thread, "Link", PlayedLink)
    monkeypatch.setattr(io_thread, "backoff_s", lambda *_, **__: 0.01)
    made = []

    def start(connect_timeout_s=SOON_S, detour=None):
        thread = IoThread(None, "amqp://here/", Names(), connect_timeout_s=connect_timeout_s, detour=detour)
        thread.start()
        made.append(thread)
        return thread

    yield start
    for thread in made:
        thread.stop()


def ask(thread, text, timeout=SOON_S):
    """The future of a request."""
    future = Future()
    thread.ask(chat_request("agent", text, None, {"timeout": timeout}), future)
    return future


def test_a_question_is_answered(make):
    """A request goes out on the link, and its reply ends the future."""
    assert ask(make(), "answer me").result(SOON_S).text == "Yes."


def test_a_fault_in_the_loop_costs_the_connection_and_no_request(make, caplog):
    """After an unexpected exception the thread logs it, connects again, and sends again what was unanswered."""
    thread = make()
    waiting = ask(thread, "silence")

    crashed = ask(thread, "crash please")

    assert crashed.result(SOON_S).text == "Yes."
    assert len(PlayedLink.links) == 3
    assert "ZeroDivisionError" in caplog.text
    assert not waiting.done()


def test_a_lost_link_is_replaced_and_requests_sent_again(make):
    """What was unanswered on a lost link is sent again on the next one."""
    assert ask(make(), "lose it").result(SOON_S).text == "Yes."
    assert len(PlayedLink.links) == 2


@pytest.mark.parametrize(("text", "error"), [("full", Overloaded), ("nobody", BackendUnavailable)])
def test_a_refusal_ends_a_request(make, text, error):
    """What the broker does not take ends at once with the reason."""
    with pytest.raises(error):
        ask(make(), text).result(SOON_S)


def test_a_refusal_of_the_second_copy_does_not(make):
    """A request that was accepted once waits for its answer, though its second copy is refused."""
    with pytest.raises(DeadlineExceeded, match=r"sent 2 times\): no coordinator is running"):
        ask(make(), "accepted_then_full", timeout=0.8).result(SOON_S)


def test_a_reply_that_cannot_be_read_is_an_error_of_that_request(make):
    """A result that is no result ends its request, and the thread goes on."""
    thread = make()

    with pytest.raises(InternalError):
        ask(thread, "broken").result(SOON_S)
    assert ask(thread, "answer me").result(SOON_S).text == "Yes."


def test_without_a_link_a_request_gives_up_after_its_patience(make, monkeypatch):
    """A request that could not be sent ends with `OptimizerUnavailable` after `connect_timeout`."""
    monkeypatch.setattr(PlayedLink, "opens", False)

    with pytest.raises(OptimizerUnavailable, match="has not been made yet"):
        ask(make(connect_timeout_s=0.05), "answer me").result(SOON_S)


@pytest.mark.parametrize("text", ["answer me", "nobody"])
def test_the_detour_takes_what_finds_no_optimizer(make, monkeypatch, text):
    """Without a connection, or without a request queue, the detour gets the request with the time that is left."""
    monkeypatch.setattr(PlayedLink, "opens", text == "nobody")
    taken = []

    def detour(request, future):
        taken.append(request)
        future.set_result("around")

    assert ask(make(connect_timeout_s=0.05, detour=detour), text).result(SOON_S) == "around"
    assert 0 < taken[0].timeout_ms <= SOON_S * 1000


def test_half_of_the_time_is_left_for_the_detour(make, monkeypatch):
    """With a way around, the search for a connection takes at most half of a request's time."""
    monkeypatch.setattr(PlayedLink, "opens", False)
    taken = []

    def detour(request, future):
        taken.append(request.timeout_ms)
        future.set_result("around")

    ask(make(connect_timeout_s=60, detour=detour), "answer me", timeout=0.4).result(SOON_S)

    assert 50 <= taken[0] <= 200


def test_a_blocked_link_holds_requests_until_their_deadline(make):
    """Under an alarm nothing is sent; the error names the alarm, and what still waits goes out when it is over."""
    thread = make(connect_timeout_s=0.05)
    ask(thread, "answer me").result(SOON_S)
    link = PlayedLink.links[0]
    link.blocked = "RabbitMQ takes no requests for now (low on memory)."

    with pytest.raises(OptimizerUnavailable, match="low on memory"):
        ask(thread, "answer me", timeout=0.2).result(SOON_S)
    late = ask(thread, "answer me")
    assert len(link.published) == 1
    link.blocked = None
    link.loop.add_callback_threadsafe(link.owner.link_unblocked)

    assert late.result(SOON_S).text == "Yes."


def test_a_stalled_link_is_dropped(make):
    """When the broker has said nothing for too long, the link is given up and another one opened."""
    thread = make()
    ask(thread, "answer me").result(SOON_S)
    PlayedLink.links[0].is_stalled = True

    with pytest.raises(DeadlineExceeded):
        ask(thread, "silence", timeout=0.8).result(SOON_S)

    assert len(PlayedLink.links) == 2


def test_stopping_ends_everything_and_takes_nothing_more(make):
    """After `stop` what waited is cancelled, what comes is refused, and a second `stop` does no harm."""
    thread = make()
    waiting = ask(thread, "silence")
    ask(thread, "answer me").result(SOON_S)

    thread.stop()
    thread.stop()

    with pytest.raises(Cancelled):
        waiting.result(0)
    with pytest.raises(OptimizerUnavailable):
        ask(thread, "answer me").result(0)


def test_stopping_a_thread_that_searches_takes_no_time(make, monkeypatch):
    """`stop` does not wait for a connection that does not come."""
    monkeypatch.setattr(PlayedLink, "opens", False)
    thread = make()
    waiting = ask(thread, "answer me")
    started = time.monotonic()

    thread.stop()

    assert time.monotonic() - started < 2
    with pytest.raises(Cancelled):
        waiting.result(0)


def test_a_thread_that_never_started_can_be_stopped():
    """`stop` before `start` does nothing."""
    IoThread(None, "amqp://here/", Names(), connect_timeout_s=1, detour=None).stop()


def test_a_cancelled_future_is_withdrawn(make):
    """`withdraw` tells the optimizer once that nobody wants the answer any more."""
    thread = make()
    future = ask(thread, "silence")
    ask(thread, "answer me").result(SOON_S)
    request_id = PlayedLink.links[0].published[0][1].id

    future.cancel()
    thread.withdraw(request_id)
    thread.withdraw(request_id)
    ask(thread, "answer me").result(SOON_S)

    kinds = [kind for kind, request in PlayedLink.links[0].published if request.id == request_id]
    assert kinds == ["optimizer.request.v1", "optimizer.cancel.v1"]
