"""The processes themselves: what they say of their health, how they start without what they need, how they stop."""

import asyncio
import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pika
import pytest
from tests.lab.proxy import TcpProxy
from tests.support.servers import PrivateRedis
from tests.support.stack import Running, Stack, wait_until
from tests.support.tap import shared_stack

from optimizer_client import AsyncOptimizer
from optimizer_ops.services.processes import free_port
from optimizer_wire.topology import Names

OURS = ("coordinator", "worker")


def lines(running: Running) -> list[dict]:
    """The JSON lines of a process's log."""
    return [json.loads(text) for text in running.text().splitlines() if text.startswith("{")]


def admin(running: Running) -> str:
    """Where the process tells about itself, from its log."""
    found = wait_until(lambda: [line["url"] for line in lines(running) if line["event"] == "admin"], "an admin port")
    return found[0]


def get(url: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def ready(running: Running) -> tuple[int, dict]:
    """What /readyz says."""
    status, body = get(f"{admin(running)}/readyz")
    return status, json.loads(body)


def ask(stack: Stack, prompt: str):
    """One question through the deployment."""

    async def asked():
        async with AsyncOptimizer("a", url=stack.amqp_url, prefix=stack.prefix) as client:
            return await client.chat(prompt, timeout=30)

    return asyncio.run(asked())


@pytest.fixture(scope="module")
def serving(tmp_path_factory, amqp_url, redis_url):
    """A coordinator and a worker that serve, and have served; for tests that change nothing."""
    with shared_stack(tmp_path_factory.mktemp("serving"), amqp_url, redis_url) as stack:
        stack.simulate("alpha")
        stack.start()
        assert ask(stack, "hello").source == "backend"
        assert ask(stack, "hello").source == "cache"
        yield stack


def process(stack: Stack, kind: str) -> Running:
    return next(running for running in stack.running if running.name.startswith(kind))


@pytest.mark.parametrize("kind", OURS)
def test_healthy(serving, kind):
    """A process that serves is healthy and ready, with nothing missing and nothing degraded."""
    running = process(serving, kind)

    assert get(f"{admin(running)}/healthz") == (200, '{"ok": true}')
    assert ready(running) == (200, {"ok": True, "missing": {}, "degraded": {}})
    assert get(f"{admin(running)}/nothing")[0] == 404


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "coordinator",
            {
                'optimizer_coordinator_requests_total{result="led"}': 1,
                'optimizer_coordinator_requests_total{result="hit"}': 1,
                'optimizer_redis_up{process="coordinator"}': 1,
                'optimizer_rabbitmq_up{process="coordinator"}': 1,
                'optimizer_rabbitmq_blocked{process="coordinator"}': 0,
                'optimizer_replies_total{code="ok",source="cache"}': 1,
                'optimizer_request_duration_seconds_count{source="cache"}': 1,
                'optimizer_events_published_total{type="optimizer.cache.hit"}': 1,
                "optimizer_coordinator_batch_size_count": 2,
            },
        ),
        (
            "worker",
            {
                'optimizer_calls_total{backend="alpha",model="sim-model",outcome="answered"}': 1,
                'optimizer_call_duration_seconds_count{backend="alpha"}': 1,
                'optimizer_running_calls{backend="alpha"}': 0,
                'optimizer_held_calls{backend="alpha"}': 0,
                'optimizer_redis_up{process="worker"}': 1,
                'optimizer_replies_total{code="ok",source="backend"}': 1,
                'optimizer_request_duration_seconds_count{source="backend"}': 1,
                'optimizer_retries_total{backend="alpha",where="here"}': 0,
                'optimizer_cost_usd_total{backend="alpha"}': 0,
            },
        ),
    ],
)
def test_metrics(serving, kind, expected):
    """The metrics count what was done: one request led and called, one hit."""
    status, body = get(f"{admin(process(serving, kind))}/metrics")
    values = dict(re.findall(r"^([^#\s]\S*) (\S+)$", body, re.MULTILINE))

    assert status == 200
    assert {name: float(values[name]) for name in expected} == expected


def test_metrics_of_the_fleet(serving):
    """A coordinator's metrics show what it looks at now and then: workers, breakers, limits, queues."""
    expected = {
        'optimizer_backend_workers{backend="alpha"}': 1,
        'optimizer_backend_breaker_state{backend="alpha",state="closed"}': 1,
        'optimizer_budget_limit{backend="alpha",dimension="requests",limit="concurrency"}': 8,
        'optimizer_queue_messages{queue="requests"}': 0,
        'optimizer_queue_consumers{queue="calls.alpha.standard"}': 1,
    }
    url = f"{admin(process(serving, 'coordinator'))}/metrics"

    def shown() -> bool:
        values = dict(re.findall(r"^([^#\s]\S*) (\S+)$", get(url)[1], re.MULTILINE))
        return {name: float(values.get(name, "nan")) for name in expected} == expected

    wait_until(shown, "the gauges of the fleet")


@pytest.mark.parametrize("kind", OURS)
def test_admin_listens_on_loopback(serving, kind):
    """The admin port listens on this machine alone, unless told otherwise."""
    assert urlsplit(admin(process(serving, kind))).hostname == "127.0.0.1"


@pytest.mark.parametrize("kind", OURS)
def test_logs_are_json(serving, kind):
    """Each line of a log is an object with level, time and component."""
    text = process(serving, kind).text().splitlines()

    assert text
    for line in map(json.loads, text):
        assert {"event", "level", "timestamp", "component", "instance"} <= set(line)
        assert line["component"] == kind


def test_stops_when_asked(stack: Stack):
    """SIGTERM and SIGINT end idle processes within seconds, with exit code 0 and a last word."""
    stack.simulate("alpha")
    stack.start(coordinators=2, workers=2)
    ours = [running for running in stack.running if running.name.startswith(OURS)]
    started = time.monotonic()
    for running, number in zip(ours, [signal.SIGTERM, signal.SIGINT] * 2, strict=True):
        running.process.send_signal(number)

    assert [running.process.wait(20) for running in ours] == [0] * 4
    assert time.monotonic() - started < 10
    assert [lines(running)[-1]["event"] for running in ours] == ["stopped"] * 4


def refused(running: Running) -> str:
    """The one sentence with which a process left with the code for a wrong configuration."""
    assert running.process.wait(30) == 78
    text = running.text()
    assert "Traceback" not in text
    reasons = [line["reason"] for line in lines(running) if line["event"] == "cannot start"]
    plain = [line for line in text.splitlines() if line.startswith("optimizer: ") and "warning" not in line]
    (sentence,) = reasons + plain
    return sentence


def test_missing_key(stack: Stack):
    """A worker whose key is nowhere leaves with a sentence that says where it is looked for."""
    stack.backends["alpha"] = {
        "api": "openai",
        "base_url": "http://127.0.0.1:1/v1",
        "models": ["m"],
        "kind": "free",
        "api_key_env": "NO_SUCH_KEY",
    }
    stack.configure()

    sentence = refused(stack.worker("alpha"))
    assert "alpha needs a key: set NO_SUCH_KEY" in sentence


def test_unknown_backend(stack: Stack):
    """A worker of a backend that nobody knows leaves with a sentence that names the nearest."""
    stack.configure()

    assert "groq" in refused(stack.worker("grok2"))


def both(stack: Stack, *options: str) -> list[Running]:
    """A coordinator and a worker, started at the same time."""
    return [
        stack.launch("coordinator", "optimizer_ops", "coordinator", *options),
        stack.launch("worker", "optimizer_ops", "worker", "alpha", *options),
    ]


@pytest.mark.parametrize(
    ("text", "words"), [("this is [not toml", "not valid TOML"), ('[routes]\ndefault = ["nobody"]', "nobody")]
)
def test_broken_configuration(stack: Stack, text, words):
    """A configuration that is wrong ends every process with one sentence that names the file."""
    (stack.folder / "optimizer.toml").write_text(text)

    for sentence in map(refused, both(stack)):
        assert words in sentence
        assert "optimizer.toml" in sentence


def test_topology_that_differs(stack: Stack):
    """A queue with other arguments ends every process with a sentence: what it has, what it needs, what to do."""
    stack.simulate("alpha")
    stack.configure()
    name = Names(stack.prefix).requests
    with pika.BlockingConnection(pika.URLParameters(stack.amqp_url)) as connection:
        connection.channel().queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})

    for sentence in map(refused, both(stack)):
        assert sentence.startswith(f"The queue {name} has x-")
        assert " but needs " in sentence
        assert "OPTIMIZER_PREFIX" in sentence


def test_admin_port_taken(stack: Stack):
    """An admin port in use ends every process with a sentence that names it."""
    stack.simulate("alpha")
    stack.configure()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for sentence in map(refused, both(stack, "--admin-port", port)):
            assert f"127.0.0.1:{port}" in sentence


def test_rabbitmq_away_at_the_start(stack: Stack, amqp_url):
    """Without RabbitMQ processes are healthy, not ready, say why, keep trying, and serve as soon as it is there."""
    stack.simulate("alpha")
    stack.configure()
    target = urlsplit(amqp_url)
    port = free_port()
    away = {"OPTIMIZER_AMQP_URL": amqp_url.replace(f":{target.port}", f":{port}")}
    ours = [stack.coordinator(**away), stack.worker("alpha", **away)]
    for running in ours:
        wait_until(lambda r=running: r.text().count('"rabbitmq unavailable"') >= 2, "a second try")
        assert get(f"{admin(running)}/healthz")[0] == 200
        status, body = ready(running)
        assert (status, body["ok"], list(body["missing"])) == (503, False, ["rabbitmq"])
        assert "guest:guest" not in running.text()

    with TcpProxy(target.hostname, target.port, port):
        for running in ours:
            wait_until(lambda r=running: ready(r)[0] == 200, "readiness", 30)
        assert ask(stack, "hello").source == "backend"
        assert [running.stop() for running in ours] == [0, 0]


def test_stops_while_rabbitmq_is_away(stack: Stack):
    """A process that never reached RabbitMQ can be stopped like any other."""
    stack.simulate("alpha")
    stack.configure()
    away = {"OPTIMIZER_AMQP_URL": f"amqp://guest:guest@127.0.0.1:{free_port()}/"}
    ours = [stack.coordinator(**away), stack.worker("alpha", **away)]
    for running in ours:
        wait_until(lambda r=running: '"rabbitmq unavailable"' in r.text(), "a try")

    assert [running.stop(15) for running in ours] == [0, 0]


def test_redis_away_at_the_start(stack: Stack):
    """Without Redis processes are ready and degraded, and serve; when it comes, they are back to full service."""
    port = free_port()
    stack.redis_url = f"redis://127.0.0.1:{port}/0"
    stack.simulate("alpha")
    stack.configure()
    # Not `start`: without Redis a coordinator never sees the workers.
    stack.ready(stack.worker("alpha"), stack.coordinator())
    ours = [process(stack, kind) for kind in OURS]
    assert [ask(stack, "hello").source for _ in range(2)] == ["backend", "backend"]
    for running in ours:
        status, body = ready(running)
        assert (status, body["ok"], body["missing"], list(body["degraded"])) == (200, True, {}, ["redis"])
        assert lines(running)[-1]["event"] != "redis is back"

    with PrivateRedis(port):
        for running in ours:
            wait_until(lambda r=running: ready(r)[1]["degraded"] == {}, "an end of the degradation")
        wait_until(lambda: ask(stack, "again").source == "cache", "a cache hit")
        assert [running.stop() for running in ours] == [0, 0]
