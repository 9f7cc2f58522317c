"""Recorded messages are mutated and sent to every consumer, while others are served."""

import asyncio
import random
import threading
import time
import uuid
from contextlib import ExitStack

import msgpack
import pika
import psutil
import pytest
from tests.support.fleet import echo
from tests.support.mutations import Mutator, Recorded
from tests.support.seeds import seed
from tests.support.stack import START_S, wait_until
from tests.support.tap import USER, Tap, shared_stack

from optimizer_client import AsyncOptimizer, Optimizer
from optimizer_wire.messages import FETCH_TYPE, SUBMIT_TYPE, Priority

GROWTH_BYTES = 48 * 1024 * 1024
RECORDED_PROPERTIES = ("type", "content_type", "reply_to", "correlation_id", "message_id", "app_id", "headers")


@pytest.fixture(scope="module")
def stack(tmp_path_factory, amqp_url, redis_url):
    """A coordinator, a worker, a simulated backend and a monitor of all events."""
    with shared_stack(tmp_path_factory.mktemp("fuzz"), amqp_url, redis_url) as stack:
        stack.simulate("alpha")
        stack.start()
        monitor = stack.launch("monitor", "optimizer_ops", "events", "--json")
        # What is told before it listens is not for it.
        wait_until(lambda: "listening to" in monitor.text(), "the monitor", START_S)
        yield stack


class Wire:
    """Records what flows over each way into a process, and sends what it is told."""

    def __init__(self, stack) -> None:
        self.tap = Tap(stack.amqp_url, stack.prefix)
        self._connection = pika.BlockingConnection(pika.URLParameters(stack.amqp_url))
        self._channel = self._connection.channel()
        names = self.tap.names
        self.ways = {
            "requests": (names.requests, names.requests),
            "calls": (names.calls, names.call_key("alpha", Priority.STANDARD)),
            "events": (names.events, "optimizer.call.started"),
        }
        self._copies = {}
        for way, (exchange, key) in self.ways.items():
            queue = self._channel.queue_declare("", exclusive=True).method.queue
            self._channel.queue_bind(queue, exchange, "#" if way == "events" else key)
            self._copies[way] = queue

    def recorded(self, way: str) -> list[Recorded]:
        """What has flowed this way so far."""
        found = []
        while (got := self._channel.basic_get(self._copies[way], auto_ack=True))[0] is not None:
            _, properties, body = got
            kept = {name: getattr(properties, name) for name in RECORDED_PROPERTIES}
            found.append(Recorded(body, {name: value for name, value in kept.items() if value is not None}))
        return found

    def stop_recording(self) -> None:
        """From now on nothing is kept."""
        for queue in self._copies.values():
            self._channel.queue_delete(queue)

    def send(self, way: tuple[str, str], message: Recorded) -> None:
        """Publish a message, whatever it is; a reply address of a request stays one that its sender may name."""
        # Without their user these would get no further than that.
        known = {"user_id": USER} if message.properties.get("type") in {SUBMIT_TYPE, FETCH_TYPE} else {}
        self._channel.basic_publish(*way, message.body, pika.BasicProperties(**message.properties | known))

    def left(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        return self._channel.queue_declare(queue, passive=True).method.message_count

    def close(self) -> None:
        """Leave."""
        self.tap.__exit__()
        self._connection.close()


class Asking:
    """Asks good questions with both clients all the time; what goes wrong is kept."""

    def __init__(self, stack) -> None:
        self._stack = stack
        self._ends = threading.Event()
        self._loop = asyncio.new_event_loop()
        self.answered, self.wrong = 0, []
        self.sync = Optimizer("sync", url=stack.amqp_url, prefix=stack.prefix)
        self._threads = [threading.Thread(target=self._sync), threading.Thread(target=self._async)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        for thread in self._threads:
            thread.join(60)
        self.sync.close()
        self._loop.close()

    def _judge(self, prompt, reply):
        if not reply.text.startswith(echo(prompt)):
            self.wrong.append((prompt, reply.text))
        self.answered += 1

    def _sync(self):
        while not self._ends.is_set():
            prompt = f"sync {uuid.uuid4()}"
            try:
                self._judge(prompt, self.sync.chat(prompt, timeout=30))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test is about
                self.wrong.append((prompt, repr(error)))
            time.sleep(0.05)

    def _async(self):
        self._loop.run_until_complete(self._ask())

    async def _ask(self):
        async with AsyncOptimizer("async", url=self._stack.amqp_url, prefix=self._stack.prefix) as client:
            while not self._ends.is_set():
                prompt = f"async {uuid.uuid4()}"
                try:
                    request_id = await client.submit(prompt, timeout=30)
                    self._judge(prompt, await client.fetch(request_id, timeout=30))
                    self._judge(prompt, await client.chat(prompt, timeout=30))
                except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test is about
                    self.wrong.append((prompt, repr(error)))
                await asyncio.sleep(0.05)


def alive(stack):
    """Our processes: whether each is still the same and on its first connection."""
    return [(r.name, r.process.pid, r.process.poll(), r.text().count('"event": "ready"')) for r in stack.running]


def resident(stack):
    """The resident memory of each of our processes, in bytes."""
    return {r.name: psutil.Process(r.process.pid).memory_info().rss for r in stack.running}


def fuzz(stack, wanted, count):
    """Send so many mutated messages to each consumer; returns the growth of each process after the first fifth."""
    print(f"OPTIMIZER_TEST_SEED={wanted}")
    mutator, chosen = Mutator(wanted), random.Random(wanted)
    before = alive(stack)
    with ExitStack() as ends:
        wire = Wire(stack)
        ends.callback(wire.close)
        asking = ends.enter_context(Asking(stack))
        wait_until(lambda: asking.answered >= 10, "answers")
        recorded = {way: wire.recorded(way) for way in wire.ways}
        assert all(recorded.values())
        wire.stop_recording()
        addresses = {message.properties["reply_to"] for message in recorded["requests"]}
        assert len(addresses) == 2
        ways = dict(wire.ways) | {f"replies {n}": ("", address) for n, address in enumerate(sorted(addresses))}
        replies = [Recorded(reply.body, {"type": reply.properties.type}) for reply in sample_replies(wire)]
        ways["dead letters"] = (wire.tap.names.dead, "")
        recorded["dead letters"] = recorded["requests"] + recorded["calls"]
        recorded |= {way: replies + recorded["requests"] for way in ways if way.startswith("replies")}
        resident_early, answered = {}, asking.answered
        for number in range(count):
            for way in chosen.sample(sorted(ways), len(ways)):
                message = chosen.choice(recorded[way])
                if chosen.random() < 0.05:
                    # Sent the wrong way: a reply on the request queue, an event on the call queue.
                    message = chosen.choice(recorded[chosen.choice(sorted(recorded))])
                wire.send(ways[way], mutator.mutate(message))
            if number % 50 == 49:
                settle(wire, asking)
            if number == count // 5:
                resident_early = resident(stack)
        settle(wire, asking)
        assert asking.answered > answered
    monitor = next(running for running in stack.running if running.name == "monitor")
    # Events come after the answers, and are printed later still.
    wait_until(
        lambda: monitor.text().count("invalid_request") > count // 2, "so many refusals, if the messages are bad enough"
    )
    assert not asking.wrong, (wanted, asking.wrong[:3])
    assert alive(stack) == before, wanted
    for running in stack.running:
        text = running.text()
        assert "Traceback" not in text, (wanted, running.name, text[text.find("Traceback") - 1_000 :][:3_000])
        assert '"exception"' not in text, (wanted, running.name, text[text.find('"exception"') - 1_000 :][:3_000])
    return {name: now - resident_early[name] for name, now in resident(stack).items()}


def sample_replies(wire):
    """Replies to questions that are right and wrong, as they come."""
    for model in ("auto", "nobody"):
        body = {"v": 1, "id": str(uuid.uuid4()), "agent": "a", "model": model}
        body["params"] = {"messages": [{"role": "user", "content": "hello"}]}
        sent = {"reply_to": wire.tap.reply_to, "type": "optimizer.request.v1"}
        wire.tap.publish(wire.tap.names.requests, wire.tap.names.requests, msgpack.packb(body), **sent)
    return [wire.tap.reply() for _ in range(2)]


def settle(wire, asking):
    """Wait until what was sent has been taken, and a good question was answered since."""
    answered = asking.answered
    queue = wire.tap.names.call_queue("alpha", Priority.STANDARD)
    wait_until(lambda: not wire.left(wire.tap.names.requests) and not wire.left(queue), "an end of the queues", 60)
    wait_until(lambda: asking.answered >= answered + 2, "answers to good questions", 60)


def test_mutated_messages(stack):
    """Mutated messages on every queue harm no process, and good questions are answered meanwhile."""
    fuzz(stack, seed(), 60)


@pytest.mark.slow
def test_thousands_of_mutated_messages(stack):
    """After thousands of bad messages on each queue no process has grown noticeably."""
    grown = fuzz(stack, seed(), 2_000)
    print({name: f"{size / 1024 / 1024:.1f} MiB" for name, size in grown.items()})

    assert max(size for name, size in grown.items() if not name.startswith("simulator")) < GROWTH_BYTES, grown
