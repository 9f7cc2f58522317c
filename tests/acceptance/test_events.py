"""Events on real processes: every documented kind is seen, no other, as documented, and without a prompt or a key."""

import asyncio
import fcntl
import json
import os
import sqlite3
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from uuid import UUID

import msgpack
import pytest
from tests.support.stack import Stack, wait_until
from tests.support.tap import Message, Tap, shared_stack

from optimizer_client import AsyncOptimizer, OptimizerError, QuotaExceeded
from optimizer_ops.history.database import migrate, open_engine, writing
from optimizer_ops.history.tables import hourly
from optimizer_wire import codec
from optimizer_wire.events import KINDS, Event

# Words that must not be found anywhere: in every prompt and parameter of the agents, and in the key of every backend.
MARKER = "xylophonequagmire"
KEY = "sk-simulated-1f6d0c77b2f94b"
FRAME = {"v", "id", "type", "source", "time", "seq"}


@dataclass
class Seen:
    """What a whole deployment said in its life: all events, what it logged, and its metrics."""

    events: list[Message]
    logs: dict[str, str]
    metrics: dict[str, str]
    prefix: str

    def of(self, kind):
        return [message.fields for message in self.events if message.key == kind]


def metrics(running):
    """The /metrics of a process, found through its log."""
    line = next(json.loads(text) for text in running.text().splitlines() if '"event": "admin"' in text)
    with urllib.request.urlopen(f"{line['url']}/metrics", timeout=10) as response:
        return response.read().decode()


@pytest.fixture(scope="module")
def seen(tmp_path_factory, amqp_url, redis_url):
    """A deployment that goes through everything that there is an event for."""
    with (
        shared_stack(tmp_path_factory.mktemp("events"), amqp_url, redis_url) as stack,
        Tap(stack.amqp_url, stack.prefix) as tap,
    ):
        yield live(stack, tap)


def live(stack: Stack, tap: Tap) -> Seen:
    keyed = {"kind": "free", "api_key_env": "SIMULATED_KEY"}
    slow = {"latency": {"base_s": 0.3}, "api_key": KEY, "headers": "groq"}
    stack.simulate(
        "alpha", {**slow, "fail": ["ok", 503, "throttled"]}, limits={"few": {"count": 5, "per_s": 3}}, **keyed
    )
    stack.simulate("beta", {"api_key": KEY, "fail": [429, "ok", 401]}, api="anthropic", **keyed)
    breaker = {"failures": 2, "within_s": 60, "open_s": 1}
    stack.simulate("gamma", {"api_key": KEY, "fail": [503, 503]}, breaker=breaker, **keyed)
    stack.routes["default"] = ["alpha"]
    stack.routes["code"] = ["beta"]
    stack.routes["creative"] = ["gamma"]
    stack.extra = '[quotas]\nover = "reject"\n[agents.agent-2]\nlimits = { rpm = 1 }\n'
    # A single request that fails is an alert, and so is a budget that is spent.
    stack.extra += "[alerts]\nsuccess_rate = 1\nleast_requests = 1\nfor_s = 0\nwindow_s = 600\n"
    stack.extra += "[alerts.budgets]\nfleet = { usd_per_month = 1 }\n"
    stack.configure()
    spend(stack.folder / "history.db")
    environment = {"SIMULATED_KEY": KEY, "OPTIMIZER_LOG_LEVEL": "debug"}
    processes = [stack.worker(name, **environment) for name in stack.backends] + [stack.coordinator(**environment)]
    recorder = stack.launch("recorder", "optimizer_ops", "recorder", environment=environment)
    stack.ready(*processes, recorder)
    asyncio.run(work(stack))
    # An operator turns something, and flushes.
    for words in (("resume", "gamma"), ("cache", "flush", "--all", "--yes")):
        command = [sys.executable, "-m", "optimizer_ops", *words]
        subprocess.run(command, env=stack.environment(), check=True, timeout=30, stdout=subprocess.DEVNULL)
    tap.publish(tap.names.requests, tap.names.requests, f"\xc1 {MARKER}".encode("latin-1"), type="optimizer.request.v1")
    tap.publish(tap.names.calls, "alpha.batch", MARKER.encode(), type="optimizer.call.v1")
    waiter = {"id": "r", "reply_to": tap.reply_to, "deadline_ms": 1, "agent": "agent-1", "tenant": "default"}
    unread = msgpack.packb({"v": 9, "waiter": waiter})
    tap.publish(tap.names.calls, "alpha.batch", unread, type="optimizer.call.v1")
    wait_until(lambda: (letter := tap.dead(0.0)) and letter.body == unread, "the dead letters")
    # Somebody deletes the queue that dead letters go to.
    tap.drop(tap.names.dead)
    wait_until(lambda: processes[-1].text().count('"event": "keeping"') == 2, "the end of that")
    shown = {running.name: metrics(running) for running in processes}
    *workers, coordinator = processes
    assert [running.stop() for running in workers] == [0, 0, 0]
    wait_until(lambda: "route is out" in coordinator.text(), "the sight of a route that is out")
    assert coordinator.stop() == 0
    wanted = {("optimizer.degraded",), ("optimizer.budget.spend",), ("optimizer.backend_down",)}
    wait_until(lambda: wanted <= told(stack.folder / "history.db"), "the alerts", 30)
    assert recorder.stop() == 0
    return Seen(tap.events(), {r.name: r.text() for r in (*processes, recorder)}, shown, stack.prefix)


def spend(file: Path) -> None:
    """A history in which money was spent: the simulated models have no price."""
    database = open_engine(f"sqlite:///{file}", create=True)
    migrate(database)
    who = {"tenant": "t", "agent": "a", "task": "", "backend": "alpha", "model": "m"}
    with writing(database) as connection:
        connection.execute(hourly.insert(), who | {"hour": int(time.time() // 3600) * 3600, "cost_nano": 10**9})
    database.dispose()


def told(file: Path) -> set[tuple[str]]:
    """The names of the alerts that were told as events."""
    with sqlite3.connect(file) as history:
        joined = "alerts a join notices n on n.alert_id = a.id"
        return set(history.execute(f"select a.name from {joined} where n.sink = 'event' and n.sent is not null"))


async def work(stack: Stack) -> None:
    """Hits, misses, collapses, failures, retries, rate limits, quotas, a breaker that opens, and errors."""
    options = {"timeout": 30, "tags": {"team": "blue"}}
    async with (
        AsyncOptimizer("agent-1", url=stack.amqp_url, prefix=stack.prefix) as client,
        AsyncOptimizer("agent-2", url=stack.amqp_url, prefix=stack.prefix) as limited,
    ):

        async def ask(prompt, **more):
            return await client.chat(f"{MARKER} {prompt}", system=f"be {MARKER}", user=MARKER, **{**options, **more})

        async def at_alpha():
            await asyncio.gather(*(ask("together") for _ in range(3)))  # a miss, two collapsed
            await ask("together")  # a hit
            await ask("failing")  # 503, a retry, throttled, a retry
            await asyncio.gather(*(ask(f"many {i}") for i in range(6)))  # more than the limit allows: a wait

        async def at_beta():
            await ask("again", task="code")  # 429, a retry
            with pytest.raises(OptimizerError):  # 401
                await ask("unauthorized", task="code")
            with pytest.raises(OptimizerError):
                await ask("nobody", model="nobody")

        async def at_gamma():
            await ask("opening", task="creative")  # 503, 503, an open breaker, a probe
            await limited.chat(f"{MARKER} first", task="creative", **options)
            with pytest.raises(QuotaExceeded):
                await limited.chat(f"{MARKER} second", task="creative", **options)

        await asyncio.gather(at_alpha(), at_beta(), at_gamma())


def test_every_documented_kind_and_no_other(seen):
    """Every kind in `KINDS` is seen on the wire, and no other."""
    assert {message.key for message in seen.events} == set(KINDS)


def test_events_are_as_documented(seen):
    """Each event is valid, carries only the fields of its kind, and never a null."""
    for message in seen.events:
        fields = message.fields
        assert codec.decode(message.body, Event).type == message.key
        assert set(fields) >= FRAME
        assert set(fields) - FRAME <= set(KINDS[message.key].fields), message.key
        assert None not in fields.values()
        assert UUID(fields["id"]).version == 7


def test_documented_fields_are_used(seen):
    """Every field that a kind documents is seen in some event of the kind, but for those that need special cases."""
    used = {kind: set().union(*map(set, seen.of(kind))) for kind in KINDS}
    unused = {f"{kind}.{name}" for kind, spec in KINDS.items() for name in spec.fields if name not in used[kind]}

    assert unused == {
        # The simulated models have no price.
        "optimizer.call.finished.cost_usd",
        "optimizer.call.failed.cost_usd",
        "optimizer.call.failed.price_version",
        "optimizer.cache.hit.saved_usd",
        # A failed call used no tokens, and its waiters are told by what follows.
        "optimizer.call.failed.usage",
        "optimizer.call.failed.waiters",
        # Of a hit that a worker finds instead of making its call, and of a letter that is the end of a flight.
        "optimizer.cache.hit.work_id",
        "optimizer.cache.hit.waiters",
        "optimizer.dead.work_id",
    }


def test_envelope(seen):
    """The routing key is the type; AMQP properties and CloudEvents headers name the event as its body does."""
    for message in seen.events:
        fields, properties = message.fields, message.properties
        assert fields["type"] == message.key
        assert properties.headers == {
            "cloudEvents_specversion": "1.0",
            "cloudEvents_id": fields["id"],
            "cloudEvents_source": fields["source"],
            "cloudEvents_type": f"io.{fields['type']}.v1",
        }
        assert (properties.message_id, properties.type) == (fields["id"], "optimizer.event.v1")
        assert properties.content_type == "application/msgpack"
    assert len({message.fields["id"] for message in seen.events}) == len(seen.events)


def test_sources(seen):
    """Each event names the process that saw it."""
    kinds = {message.fields["source"].rsplit("/", 1)[0] for message in seen.events}

    assert kinds == {"coordinator", "operator", "recorder", "worker/alpha", "worker/beta", "worker/gamma"}


def test_no_prompt(seen):
    """No word of a prompt or of a parameter is in any event, log or metric."""
    assert not [message.key for message in seen.events if MARKER.encode() in message.body]
    assert not [name for said in (seen.logs, seen.metrics) for name, text in said.items() if MARKER in text]


def test_no_key(seen):
    """The key of a backend is in no event, log or metric."""
    assert not [message.key for message in seen.events if KEY.encode() in message.body]
    assert not [name for said in (seen.logs, seen.metrics) for name, text in said.items() if KEY in text]


def test_the_story_of_a_request(seen):
    """Three equal requests are one miss, two collapsed, one call of three waiters under one work id, then a hit."""
    name = seen.of("optimizer.request.collapsed")[0]["fingerprint"]
    same = [m.fields for m in seen.events if m.fields.get("fingerprint") == name]
    story = sorted(e["type"] for e in same)

    assert story == sorted(
        [
            "optimizer.cache.miss",
            "optimizer.request.collapsed",
            "optimizer.request.collapsed",
            "optimizer.call.started",
            "optimizer.call.finished",
            "optimizer.cache.hit",
        ]
    )
    finished = next(e for e in same if e["type"] == "optimizer.call.finished")
    hit = next(e for e in same if e["type"] == "optimizer.cache.hit")
    assert len({e["work_id"] for e in same if "work_id" in e}) == 1
    assert (finished["waiters"], finished["outcome"], finished["attempt"]) == (3, "answered", 1)
    assert finished["usage"]["input_tokens"] > 0
    assert finished["timings"]["call_ms"] >= 300
    assert finished["prompt_chars"] == len(f"{MARKER} together") + len(f"be {MARKER}")
    assert (hit["answered_from"], hit["cost_usd"]) == ("cache", 0.0)
    assert all(e["tags"] == {"team": "blue"} and e["agent"] == "agent-1" for e in same)


def test_the_story_of_a_failure(seen):
    """A call that fails twice is told with signature, status and pause each time, and then finished as the third."""
    failed = [e for e in seen.of("optimizer.call.failed") if e["backend"] == "alpha"]
    first = [m.fields for m in seen.events if m.fields.get("fingerprint") == failed[0]["fingerprint"]]

    assert [e["status"] for e in failed][:2] == [503, 429]
    assert all(e["error_signature"] and e["error_code"] and e["message"] for e in failed)
    assert [e["attempt"] for e in first if e["type"] == "optimizer.call.started"] == [1, 2, 3]
    assert [e["attempt"] for e in first if e["type"] == "optimizer.retry"] == [1, 2]
    assert next(e for e in first if e["type"] == "optimizer.call.finished")["attempt"] == 3
    limited = [e for e in seen.of("optimizer.rate_limit") if e["backend"] == "alpha"]
    assert {e["outcome"] for e in limited} == {"throttled", "waiting"}


def test_errors_of_requests(seen):
    """Each error is told once, with its code: a refused key, a quota, an unknown model, and messages that were none."""
    told = sorted(e["error_code"] for e in seen.of("optimizer.error"))

    assert told == [*["invalid_request"] * 3, "quota_exceeded", "unauthorized", "unknown_model"]


def test_workers_come_and_go(seen):
    """Each worker tells once that it has started and once that it has stopped."""
    for kind in ("optimizer.worker.started", "optimizer.worker.stopped"):
        assert sorted(e["backend"] for e in seen.of(kind)) == ["alpha", "beta", "gamma"]


def test_logs_are_json_lines(seen):
    """In its whole life, its end too, a process logs JSON lines alone: no traceback, no warning of the interpreter."""
    assert [line for log in seen.logs.values() for line in log.splitlines() if not line.startswith("{")] == []


@pytest.mark.parametrize("command", [("optimizer_ops", "events"), ("optimizer_ops.event_monitor",)])
def test_monitors(stack: Stack, command):
    """`optimizer events` and the module of its own print matching events as JSON lines, and end after so many."""
    stack.configure()
    with Tap(stack.amqp_url, stack.prefix) as tap:
        arguments = [sys.executable, "-m", *command, "optimizer.cache.*", "--json", "--count", "3"]
        monitor = subprocess.Popen(
            arguments, env=stack.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert "listening to optimizer.cache.*" in monitor.stderr.readline()
            for number in range(10):
                for kind in ("optimizer.cache.hit", "optimizer.retry"):
                    tap.say(Event(v=1, type=kind, source="test", message=str(number)))
            printed, errors = monitor.communicate(timeout=20)
        finally:
            monitor.kill()

    lines = [json.loads(line) for line in printed.splitlines()]
    assert (monitor.returncode, errors) == (0, "")
    assert [(line["type"], line["message"]) for line in lines] == [("optimizer.cache.hit", str(i)) for i in range(3)]


def test_monitor_of_odd_events(stack: Stack):
    """An event that JSON cannot say is told of in one line, is no event of `--count`, and keeps no other from view."""
    stack.configure()
    with Tap(stack.amqp_url, stack.prefix) as tap:
        words = [sys.executable, "-m", "optimizer_ops", "events", "--json", "--count", "2"]
        pipe = subprocess.PIPE
        monitor = subprocess.Popen(words, env=stack.environment(), stdout=pipe, stderr=pipe, text=True)
        try:
            assert "listening" in monitor.stderr.readline()
            for raw in ({"a": 1}, {"a": msgpack.ExtType(5, b"x")}, {"a": {None: 1}}, {"a": b"bytes"}):
                told = {"v": 1, "id": "i", "type": "optimizer.retry", "source": "test", "usage": {"raw": raw}}
                tap.publish(tap.names.events, "optimizer.retry", msgpack.packb(told))
            printed, errors = monitor.communicate(timeout=20)
        finally:
            monitor.kill()

    assert [json.loads(line)["usage"]["raw"] for line in printed.splitlines()] == [{"a": 1}, {"a": "Ynl0ZXM="}]
    assert [line.startswith("optimizer: an event could not be read: ") for line in errors.splitlines()] == [True] * 2


def test_monitor_of_a_slow_reader(stack: Stack):
    """Who reads slowly, from a pipe that does not wait for it, gets every event."""
    stack.configure()
    read, write = os.pipe()
    os.set_blocking(write, False)
    with Tap(stack.amqp_url, stack.prefix) as tap, os.fdopen(read) as printed:
        words = [sys.executable, "-m", "optimizer_ops", "events", "--json", "--count", "300"]
        monitor = subprocess.Popen(words, env=stack.environment(), stdout=write, stderr=subprocess.PIPE, text=True)
        os.close(write)
        try:
            assert "listening" in monitor.stderr.readline()
            for number in range(300):
                tap.say(Event(v=1, type="optimizer.retry", source="test", message=f"{number} {'x' * 500}"))
            wait_until(lambda: readable(printed) > 60_000, "a full pipe")
            said = [json.loads(line)["message"].split()[0] for line in printed]
            assert (monitor.wait(20), said) == (0, [str(number) for number in range(300)])
        finally:
            monitor.kill()
            monitor.communicate()


def readable(pipe: TextIO) -> int:
    """How many bytes wait in a pipe."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


def test_monitor_without_a_reader(stack: Stack):
    """When its reader has gone (`optimizer events | head`) the monitor ends with 0, and says nothing."""
    stack.configure()
    with Tap(stack.amqp_url, stack.prefix) as tap:
        words = [sys.executable, "-m", "optimizer_ops", "events", "--json"]
        pipe = subprocess.PIPE
        monitor = subprocess.Popen(words, env=stack.environment(), stdout=pipe, stderr=pipe, text=True)
        try:
            assert "listening" in monitor.stderr.readline()
            tap.say(Event(v=1, type="optimizer.retry", source="test"))
            assert monitor.stdout.readline()
            monitor.stdout.close()
            tap.say(Event(v=1, type="optimizer.retry", source="test"))
            assert (monitor.wait(20), monitor.stderr.read()) == (0, "")
        finally:
            monitor.kill()
            monitor.wait()
            monitor.stderr.close()


def test_monitor_for_people(stack: Stack):
    """Without `--json` an event is one line with its type and what a person looks for."""
    stack.configure()
    with Tap(stack.amqp_url, stack.prefix) as tap:
        running = stack.launch("monitor", "optimizer_ops", "events", "--count", "1")
        wait_until(lambda: "listening to optimizer.*" in running.text(), "the monitor")
        tap.say(Event(v=1, type="optimizer.retry", source="test", backend="alpha", message="next: beta"))
        code = running.process.wait(20)

    last = running.text().splitlines()[-1]
    assert code == 0
    assert all(words in last for words in ("retry", "backend=alpha", "message=next: beta"))
