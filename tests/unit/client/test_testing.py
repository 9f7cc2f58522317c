"""The optimizer in memory behaves as the real one does, as far as an agent can tell."""

import asyncio
import threading

import pytest

from optimizer_client import (
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    NotFoundError,
    NotReady,
    OptimizerUnavailable,
    Overloaded,
    Status,
    UnknownModel,
)
from optimizer_client.testing import InMemoryOptimizer, InMemorySyncOptimizer


async def test_without_a_script_it_echoes():
    """The default answer to a prompt is the prompt."""
    async with InMemoryOptimizer() as optimizer:
        reply = await optimizer.chat("Why?", system="Be brief.", task="reasoning")

    assert (reply.text, reply.source, reply.backend, reply.task) == ("Why?", "backend", "memory", "reasoning")


@pytest.mark.parametrize(
    "answers",
    [
        "Because.",
        {"Why?": "Because."},
        ["Because."],
        lambda request: "Because." if request.task is None else "No.",
        {"choices": [{"message": {"content": "Because."}}]},
        {"Why?": {"choices": [{"message": {"content": "Because."}}]}},
    ],
)
async def test_answers_are_scripted_in_the_way_that_fits(answers):
    """A script is one answer, a mapping of prompts, a list, or a function; an answer is a text or a whole result."""
    reply = await InMemoryOptimizer(answers=answers).chat("Why?")

    assert reply.text == "Because."


async def test_scripted_errors_are_raised():
    """An error in the script is raised as its class, with the request's id."""
    optimizer = InMemoryOptimizer(answers=[Overloaded("Later.", retry_after_s=3), "Now."])

    with pytest.raises(Overloaded, match="Later") as caught:
        await optimizer.chat("Why?", request_id="mine")
    reply = await optimizer.chat("Why?")

    assert (caught.value.request_id, caught.value.retry_after_s) == ("mine", 3)
    assert (reply.text, len(optimizer.calls)) == ("Now.", 2)


@pytest.mark.parametrize("answers", [{"Other": "x"}, []])
async def test_a_question_without_a_scripted_answer_fails_the_test(answers):
    """What the script does not foresee is an AssertionError, which no `except OptimizerError` hides."""
    with pytest.raises(AssertionError, match="script"):
        await InMemoryOptimizer(answers=answers).chat("Why?")


async def test_requests_and_calls_are_recorded():
    """Everything asked is in `requests`, what reached the backend in `calls`, what was answered in `replies`."""
    optimizer = InMemoryOptimizer(agent="quality")

    for prompt in ("a", "b", "a"):
        await optimizer.chat(prompt, tags={"run": "7"})

    assert [request.params["messages"][0]["content"] for request in optimizer.requests] == ["a", "b", "a"]
    assert (len(optimizer.calls), [reply.source for reply in optimizer.replies][-1]) == (2, "cache")
    assert (optimizer.requests[0].agent, optimizer.requests[0].tags) == ("quality", {"run": "7"})


@pytest.mark.parametrize(
    ("first", "second", "sources"),
    [
        ({}, {}, ["backend", "cache"]),
        ({"temperature": 1}, {"temperature": 1.0}, ["backend", "cache"]),
        ({}, {"temperature": 0.5}, ["backend", "backend"]),
        ({}, {"cache": "refresh"}, ["backend", "backend"]),
        ({}, {"cache": "off"}, ["backend", "backend"]),
        ({"cache": "off"}, {}, ["backend", "backend"]),
        ({"ttl": 0}, {}, ["backend", "backend"]),
        ({"namespace": "a"}, {"namespace": "b"}, ["backend", "backend"]),
        ({"user": "u"}, {"user": "v"}, ["backend", "cache"]),
    ],
)
async def test_answers_are_kept_by_the_real_fingerprint(first, second, sources):
    """What would be a hit in the real optimizer is one here, and nothing else."""
    optimizer = InMemoryOptimizer()

    replies = [await optimizer.chat("a", **options) for options in (first, second)]

    assert [reply.source for reply in replies] == sources


async def test_incomplete_answers_are_not_kept():
    """An answer that was cut off at a limit is given once, not to the next."""
    cut = {"choices": [{"message": {"content": "Once upon"}, "finish_reason": "length"}]}
    optimizer = InMemoryOptimizer(answers=cut)

    replies = [await optimizer.chat("a") for _ in range(2)]

    assert [reply.source for reply in replies] == ["backend", "backend"]


async def test_identical_requests_at_the_same_time_are_one_call():
    """Of ten equal questions at once, one is called and nine are collapsed."""
    optimizer = InMemoryOptimizer(answers="Same.")

    replies = await optimizer.chat_many(["Why?"] * 10)

    assert sorted(reply.source for reply in replies) == ["backend"] + ["collapsed"] * 9
    assert len(optimizer.calls) == 1


async def test_each_waiter_of_a_failed_call_gets_its_own_error():
    """Collapsed requests fail together, each with an exception that names it."""
    optimizer = InMemoryOptimizer(answers=UnknownModel("No such model."))

    errors = await optimizer.chat_many(["Why?"] * 3)

    assert [type(error) for error in errors] == [UnknownModel] * 3
    assert len({error.request_id for error in errors}) == 3


async def test_a_late_answer_misses_the_deadline():
    """Whoever waits longer than its timeout gets `DeadlineExceeded`, which is a TimeoutError."""
    optimizer = InMemoryOptimizer(latency_s=60)

    with pytest.raises(DeadlineExceeded) as caught:
        await optimizer.chat("Why?", timeout=0.01)

    assert isinstance(caught.value, TimeoutError)
    assert optimizer.in_flight == 0


async def test_latency_may_depend_on_the_request():
    """A function tells how long each call takes."""
    optimizer = InMemoryOptimizer(latency_s=lambda request: 60 if request.task == "long" else 0)

    outcomes = [
        await optimizer.chat("quick", timeout=1),
        *await optimizer.chat_many(["slow"], task="long", timeout=0.01),
    ]

    assert outcomes[0].text == "quick"
    assert isinstance(outcomes[1], DeadlineExceeded)


async def test_cancel_ends_a_waiting_request():
    """`cancel` raises `Cancelled` at whoever waits, once; the call goes on only while somebody waits for it."""
    optimizer = InMemoryOptimizer(latency_s=60)
    waiting = asyncio.ensure_future(optimizer.chat("Why?", request_id="mine"))
    await asyncio.sleep(0)

    assert await optimizer.cancel("mine") is True
    with pytest.raises(Cancelled):
        await waiting
    assert await optimizer.cancel("mine") is False


async def test_cancelling_the_leader_leaves_the_others_their_answer():
    """A call that others wait for goes on when the one that caused it is cancelled."""
    optimizer = InMemoryOptimizer(latency_s=0.02, answers="Same.")
    leader = asyncio.ensure_future(optimizer.chat("Why?"))
    await asyncio.sleep(0)
    other = asyncio.ensure_future(optimizer.chat("Why?"))
    await asyncio.sleep(0)

    leader.cancel()

    assert (await other).text == "Same."
    with pytest.raises(asyncio.CancelledError):
        await leader


async def test_closing_cancels_what_waits_and_refuses_what_comes():
    """A closed optimizer has ended every request, and takes no more."""
    optimizer = InMemoryOptimizer(latency_s=60)
    waiting = asyncio.ensure_future(optimizer.chat("Why?"))
    await asyncio.sleep(0)

    await optimizer.close()

    with pytest.raises(Cancelled):
        await waiting
    with pytest.raises(OptimizerUnavailable):
        await optimizer.chat("Why?")
    assert optimizer.connected is False


async def test_it_can_be_out_of_reach():
    """With `reachable = False` every request raises `OptimizerUnavailable`."""
    optimizer = InMemoryOptimizer()
    optimizer.reachable = False

    with pytest.raises(OptimizerUnavailable):
        await optimizer.chat("Why?")


async def test_streaming_and_a_used_id_are_refused_as_by_the_real_one():
    """`stream=True`, an id on its way, and an id for many are `InvalidRequest`."""
    optimizer = InMemoryOptimizer(latency_s=60)
    waiting = asyncio.ensure_future(optimizer.chat("Why?", request_id="mine"))
    await asyncio.sleep(0)

    with pytest.raises(InvalidRequest, match="Streaming"):
        await optimizer.chat("Why?", stream=True)
    with pytest.raises(InvalidRequest, match="on its way"):
        await optimizer.chat("Why?", request_id="mine")
    with pytest.raises(InvalidRequest, match="names one request"):
        await optimizer.chat_many(["Why?"], request_id="mine")
    waiting.cancel()


async def test_embeddings_are_the_same_for_the_same_text():
    """The default embeddings tell texts apart and equal texts not."""
    reply = await InMemoryOptimizer().embed(["a", "b", "a"])

    first, second, third = reply.embeddings
    assert first == third != second


def test_the_blocking_one_is_the_same_without_await():
    """Answers, caching and records are those of the asyncio one."""
    with InMemorySyncOptimizer(agent="quality", answers={"Why?": "Because."}) as optimizer:
        replies = [optimizer.chat("Why?"), *optimizer.chat_many(["Why?"]), optimizer.chat_future("Why?").result()]
        vectors = optimizer.chat_future("Why?"), optimizer.connected

    assert [reply.source for reply in replies] == ["backend", "cache", "cache"]
    assert (len(optimizer.requests), len(optimizer.calls), vectors[1]) == (4, 1, True)
    assert optimizer.connected is False


def test_the_blocking_one_may_be_used_from_many_threads():
    """Threads that ask the same at the same time share one call."""
    replies = []
    with InMemorySyncOptimizer(latency_s=0.05, answers="Same.") as optimizer:
        threads = [threading.Thread(target=lambda: replies.append(optimizer.chat("Why?"))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [reply.text for reply in replies] == ["Same."] * 20
    assert len(optimizer.calls) == 1


def test_the_blocking_one_cancels_expires_and_fails():
    """Cancel, deadline, scripted errors and being out of reach come as their exceptions."""
    answers = {"ill": Overloaded("Later."), "well": "Fine."}
    with InMemorySyncOptimizer(answers=answers, latency_s=lambda r: 60 if r.task == "long" else 0) as optimizer:
        slow = optimizer.chat_future("well", task="long", request_id="mine")
        while not optimizer.in_flight:
            pass
        assert optimizer.cancel("mine") is True
        with pytest.raises(Cancelled):
            slow.result(5)
        with pytest.raises(DeadlineExceeded):
            optimizer.chat("well", task="long", timeout=0.01)
        with pytest.raises(Overloaded):
            optimizer.chat("ill")
        optimizer.reachable = False
        with pytest.raises(OptimizerUnavailable):
            optimizer.embed("text")


def test_the_blocking_one_does_not_wait_for_itself():
    """A callback of a future that asks and waits is an error, not a standstill."""
    caught = []
    added, called = threading.Event(), threading.Event()

    def answer(_):
        # A callback of what is answered already is called where it is added, and may wait there.
        assert added.wait(5)
        return "Because."

    def callback(_):
        try:
            optimizer.chat("again")
        except RuntimeError as error:
            caught.append(str(error))
        finally:
            called.set()

    with InMemorySyncOptimizer(answers=answer) as optimizer:
        future = optimizer.chat_future("once")
        future.add_done_callback(callback)
        added.set()
        future.result(5)
        # Whoever waits for a result is woken before the callbacks are called.
        assert called.wait(5)

    assert "chat_future" in caught[0]


async def test_what_is_submitted_is_fetched_later():
    """Submitted requests run by themselves: fetched too early they are not ready, then their answer or error is."""
    optimizer = InMemoryOptimizer(answers={"Why?": "Because.", "How?": Overloaded("Later.")}, latency_s=0.3)
    why, how = await optimizer.submit("Why?"), await optimizer.submit("How?")

    with pytest.raises(NotReady) as early:
        await optimizer.fetch(why, timeout=0)
    assert (early.value.status, await optimizer.status(why)) == (Status("running", 0, 0.0),) * 2
    assert [(await optimizer.fetch(why)).text for _ in range(2)] == ["Because."] * 2
    with pytest.raises(Overloaded, match="Later"):
        await optimizer.fetch(how)
    assert [(await optimizer.status(each)).state for each in (why, how, "other")] == ["answered", "failed", "unknown"]
    with pytest.raises(NotFoundError):
        await optimizer.fetch("other")


async def test_what_is_submitted_twice_is_one_request():
    """The same id again is the same request, and the texts to embed can be submitted as well."""
    optimizer = InMemoryOptimizer()
    assert {await optimizer.submit("Why?", request_id="mine") for _ in range(3)} == {"mine"}
    vectors = (await optimizer.fetch(await optimizer.submit_embed(["a", "b"]))).embeddings

    assert (len(optimizer.requests), len(vectors)) == (2, 2)


async def test_what_is_submitted_can_be_cancelled():
    """A submitted request is cancelled as long as it runs, and who fetches it hears so."""
    optimizer = InMemoryOptimizer(latency_s=60)
    request_id = await optimizer.submit("Why?")

    assert await optimizer.cancel_submitted(request_id)
    with pytest.raises(Cancelled):
        await optimizer.fetch(request_id)
    assert not await optimizer.cancel_submitted(request_id)
    assert not await optimizer.cancel_submitted("other")


async def test_nothing_is_submitted_or_fetched_when_it_is_away():
    """Without a connection every one of these raises, as every request does."""
    optimizer = InMemoryOptimizer()
    optimizer.reachable = False
    for asked in (
        optimizer.submit("Why?"),
        optimizer.fetch("a"),
        optimizer.status("a"),
        optimizer.cancel_submitted("a"),
    ):
        with pytest.raises(OptimizerUnavailable):
            await asked


def test_the_blocking_one_fetches_later_too():
    """The blocking stand-in submits, fetches, tells how it stands and cancels."""
    with InMemorySyncOptimizer(answers="Because.", latency_s=0.3) as optimizer:
        first, second = optimizer.submit("Why?"), optimizer.submit("How?")
        assert optimizer.status(first).state == "running"
        assert optimizer.cancel_submitted(second)
        assert optimizer.fetch(first, timeout=5).text == "Because."
        assert optimizer.fetch(optimizer.submit_embed("a"), timeout=5).text == "Because."
