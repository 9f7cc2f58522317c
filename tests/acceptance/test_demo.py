"""The demo as a user starts it, with all its processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pika.exceptions
import psutil
import pytest
import redis
from tests.support import judge
from tests.support.stack import wait_until

from optimizer_ops.demo.backends import BACKENDS
from optimizer_ops.demo.cleanup import leave_nothing
from optimizer_ops.demo.fleet import Fleet
from optimizer_ops.demo.score import Score
from optimizer_ops.services import ServiceUrls
from optimizer_wire.topology import Names, shared_topology

DEMO_S = 90.0


class Demo:
    """`optimizer demo` on the test's services, with its output in a file."""

    def __init__(self, folder: Path, amqp_url: str, redis_url: str, *arguments: str) -> None:
        self.output, self.json = folder / "output", folder / "result.json"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OPTIMIZER_")}
        command = [sys.executable, "-m", "optimizer_ops", "demo", *arguments, "--json", str(self.json)]
        with self.output.open("wb") as sink:
            self.process = subprocess.Popen(
                command,
                env=kept | {"OPTIMIZER_AMQP_URL": amqp_url, "OPTIMIZER_REDIS_URL": redis_url},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def result(self) -> dict:
        return json.loads(self.json.read_text())

    def folder(self) -> Path:
        """Where its logs are."""
        line = next(line for line in self.text().splitlines() if line.startswith("Configuration, logs"))
        return Path(line.partition(": ")[2])


@pytest.fixture
def start(tmp_path: Path, amqp_url: str, redis_url: str) -> Iterator[Callable[..., Demo]]:
    """Start a demo with these arguments; it ends with the test."""
    started: list[Demo] = []

    def starting(*arguments: str) -> Demo:
        started.append(Demo(tmp_path, amqp_url, redis_url, *arguments))
        return started[-1]

    yield starting
    for demo in started:
        if demo.process.poll() is None:
            demo.process.terminate()
            demo.process.wait(DEMO_S)


def _nothing_is_left(amqp_url: str, redis_url: str, prefix: str) -> bool:
    with redis.Redis.from_url(redis_url) as client:
        if list(client.scan_iter(match=f"{prefix}*", count=1000)):
            return False
    return not _existing(amqp_url, [queue.name for queue in shared_topology(Names(prefix)).queues])


def _existing(amqp_url: str, queues: list[str]) -> list[str]:
    found = []
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    for queue in queues:
        channel = connection.channel()
        try:
            channel.queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            continue
        found.append(queue)
    connection.close()
    return found


def _judged_apart(demo: Demo) -> list[judge.Violation]:
    """The violations that the judge finds who is written apart from everything else."""
    limits = []
    calls = []
    for backend in BACKENDS:
        log = demo.folder() / f"{backend.name}.requests.jsonl"
        calls += judge.read_log(log.read_text().splitlines()) if log.exists() else []
        limits += [judge.Limit(w.name, "requests", w.count, w.per_s, backend.name) for w in backend.windows]
        limits.append(judge.Limit("concurrency", "concurrency", backend.concurrency, backend=backend.name))
    assert calls
    return judge.violations(calls, limits)


def test_a_short_demo_is_a_good_one(start: Callable[..., Demo], amqp_url: str, redis_url: str):
    """It ends with 0, its numbers add up, the judge agrees with it, and nothing is left of it."""
    demo = start("--seconds", "6", "--agents", "8")

    assert demo.process.wait(DEMO_S) == 0, demo.text()

    result = demo.result()
    assert result["ok"]
    assert result["requests"] == result["answered"] > 50
    assert (result["errors"], result["wrong"], result["unanswered"]) == ({}, 0, 0)
    assert result["requests"] == sum(
        result["latency_ms"][source]["count"] for source in ("cache", "collapsed", "backend")
    )
    assert result["cache_hits"] > 0
    assert result["collapsed"] > 0
    assert result["upstream_calls"] == sum(backend["calls"] for backend in result["backends"])
    assert result["distinct_questions"] <= result["upstream_calls"] < result["requests"]
    assert 0 < result["saved_share"] <= result["repeats_share"] + 0.01
    assert result["cost_usd"] > 0
    assert result["unpriced_calls"] == 0
    assert all(verdict["ok"] for verdict in result["verdicts"])
    assert _judged_apart(demo) == []
    assert "saved" in demo.text()
    assert _nothing_is_left(amqp_url, redis_url, result["prefix"])


@pytest.mark.slow
def test_ctrl_c_stops_it_cleanly(start: Callable[..., Demo], amqp_url: str, redis_url: str):
    """In the middle of the work: every process ends, nothing is left, and the exit code says that it was stopped."""
    demo = start("--seconds", "60", "--agents", "8")
    wait_until(lambda: "requests" in demo.text() or demo.process.poll() is not None, "the first line", DEMO_S)
    children = psutil.Process(demo.process.pid).children(recursive=True)
    assert len(children) >= 12

    demo.process.send_signal(signal.SIGINT)

    assert demo.process.wait(DEMO_S) == 130, demo.text()
    assert "Stopped early." in demo.text()
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    result = demo.result()
    assert result["interrupted"]
    assert not result["ok"]
    assert _nothing_is_left(amqp_url, redis_url, result["prefix"])


def test_a_result_that_cannot_be_written_is_told_at_once(tmp_path: Path):
    """Not after half a minute."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "optimizer_ops", "demo", "--json", str(tmp_path / "no" / "file")],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEMO_S,
    )

    assert done.returncode == 64
    assert "cannot be written: No such file or directory." in done.stderr
    assert time.monotonic() - began < 15


async def test_nothing_of_a_run_stays(amqp_url: str, redis_url: str, prefix: str):
    """Its keys go, those of others stay; the queues of its agents go, which would outlive them by minutes."""
    fleet = Fleet(["quality", "researcher"], amqp_url, prefix, Score())
    await fleet.connect()
    queues = fleet.reply_queues
    assert _existing(amqp_url, queues) == queues
    await fleet.close()
    with redis.Redis.from_url(redis_url) as client:
        client.mset({f"{prefix}:{number}": "x" for number in range(1_200)})
        client.set(f"{prefix}x", "somebody else's")

        leave_nothing(ServiceUrls(amqp_url, redis_url), prefix, [backend.name for backend in BACKENDS], queues)

        assert list(client.scan_iter(match=f"{prefix}*")) == [f"{prefix}x".encode()]
        client.delete(f"{prefix}x")
    assert _existing(amqp_url, queues) == []


def test_services_that_are_gone_do_not_hinder_the_end(prefix: str):
    """What cannot be reached cannot be cleaned, and is no error."""
    leave_nothing(ServiceUrls("amqp://guest:guest@127.0.0.1:1/", "redis://127.0.0.1:1/0"), prefix, [], [])


@pytest.mark.slow
def test_the_whole_demo_with_its_troubles(start: Callable[..., Demo], amqp_url: str, redis_url: str):
    """28 agents for 30 s: a backend fails, a worker is killed in mid-call, and every request is answered."""
    demo = start()

    assert demo.process.wait(2 * DEMO_S) == 0, demo.text()

    result = demo.result()
    assert len(result["troubles"]) == 2
    assert result["answered"] == result["requests"] > 1_000
    statuses = {status for backend in result["backends"] for status in backend["statuses"]}
    assert {"200", "503", "cut off"} <= statuses
    assert "429" not in statuses
    assert result["saved_share"] > 0.8
    assert result["latency_ms"]["cache"]["p50"] < 50
    assert _judged_apart(demo) == []
    assert _nothing_is_left(amqp_url, redis_url, result["prefix"])
