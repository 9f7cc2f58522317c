"""The soak: mixed load with random faults for as long as you like; then the checker, and who grew.

    make soak MINUTES=30        python -m tests.soak --minutes 30 --seed 7

Servers and processes are its own. Exits with 1 if a promise broke or a process was not flat.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
import traceback
import uuid
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import redis
from tests.lab import checker, story
from tests.lab.laboratory import Laboratory
from tests.lab.proxy import TcpProxy
from tests.soak import leaks, vitals
from tests.soak.deployment import LIMITS, Deployment
from tests.soak.report import Report
from tests.soak.trouble import Trouble, queues_empty
from tests.support.notes import CANCELLED
from tests.support.seeds import SEED_VARIABLE
from tests.support.servers import PrivateRabbitMQ, PrivateRedis
from tests.support.stack import Stack

from optimizer_ops.services.urls import parse

SAMPLE_S = 5.0
SAY_S = 30.0
END_S = 120.0
# The last of the run is quiet, so that what is left after it was forgotten and is not under way.
QUIET_S = 20.0


async def soak(lab: Laboratory, deployment: Deployment, minutes: float, every_s: float) -> Report:
    """Run it and judge it."""
    report = Report(lab.history.seed or 0, minutes)
    trouble = Trouble(deployment, every_s, lambda what: _say(f"  {what}"))
    await deployment.start()
    sampling = asyncio.ensure_future(_sample(deployment))
    making = asyncio.ensure_future(trouble.make())
    try:
        await _watch(deployment, making, minutes * 60)
        trouble.end()
        await making
        deployment.proxy.heal()
        _say("no more faults; waiting for what is under way")
        await deployment.end_askers(END_S)
        await asyncio.to_thread(queues_empty, deployment, END_S)
        await asyncio.sleep(QUIET_S)
    except AssertionError as error:
        report.broken.append(str(error))
    finally:
        trouble.end()
        await asyncio.gather(making, return_exceptions=True)
        sampling.cancel()
    await asyncio.to_thread(_judge, lab, deployment, report)
    report.faults = dict(trouble.counted)
    return report


async def _watch(deployment: Deployment, making: "asyncio.Task[None]", for_s: float) -> None:
    """Say how it goes, until the time is over.

    :raises AssertionError: if a process that should live is gone, or trouble could not be made.
    """
    end, say_at = time.monotonic() + for_s, 0.0
    while (left := end - time.monotonic()) > 0:
        await asyncio.wait({making}, timeout=min(left, 1.0))
        if making.done():
            making.result()
        for each in (*deployment.survivors, *deployment.askers):
            if each.process.poll() is not None:
                raise AssertionError(f"{each.name} left with code {each.process.returncode}:\n{each.text()[-3000:]}")
        if time.monotonic() >= say_at:
            say_at = time.monotonic() + SAY_S
            asked, ended = await asyncio.to_thread(deployment.asked)
            _say(f"{left / 60:.1f} min left; {asked:,} asked, {asked - ended:,} under way")


async def _sample(deployment: Deployment) -> None:
    while True:
        await asyncio.to_thread(deployment.vitals.sample)
        await asyncio.sleep(SAMPLE_S)


def _judge(lab: Laboratory, deployment: Deployment, report: Report) -> None:
    stack = lab.stack
    live = len(
        [
            each
            for each in stack.running
            if each.name.startswith(("coordinator", "worker", "events")) and each.process.poll() is None
        ]
    )
    report.broken += leaks.connections(deployment.rabbitmq, live)
    report.broken += leaks.queues(deployment.rabbitmq, lab)
    found, kinds = leaks.keys(stack.redis_url, stack.prefix)
    report.broken += found
    report.redis_keys = dict(kinds)
    with redis.Redis.from_url(stack.redis_url) as client:
        report.redis_mib = client.info("memory")["used_memory"] / vitals.MIB
    lab.history.notes = deployment.notes()
    calls = lab.calls()
    leftovers = {name: count for name, count in lab.queued().items() if count}
    findings = checker.check(
        lab.history, calls, limits=LIMITS, leftovers=leftovers, allowed=(CANCELLED,), service_s=1.0
    )
    report.requests = dict(findings.summary)
    report.broken += [f"{each.rule}: {each.message}" for each in findings.broken[:20]]
    logs = {f"{each.name} {each.process.pid}": each.text() for each in stack.running}
    if not findings.ok:
        report.broken.append(story.report(findings, lab.history, calls, logs, lab.events()))
    if ended := [note for note in lab.history.notes if note.resolutions]:
        slowest = max(ended, key=lambda note: note.ended - note.asked)
        report.longest_s = slowest.ended - slowest.asked
        told = checker.Broken("slowest", f"took {report.longest_s:.1f} s", slowest)
        report.slowest = story.story(told, lab.history, calls, logs, lab.events())
    lives = deployment.vitals.lives()
    report.processes = vitals.rows(lives)
    report.broken += vitals.problems(lives)
    counted = Counter(note.outcome for note in lab.history.notes)
    report.requests.update(counted)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def run(minutes: float, rate_per_s: float, every_s: float) -> Report:
    """One soak on servers of its own."""
    with ExitStack() as pool:
        folder = Path(pool.enter_context(tempfile.TemporaryDirectory(prefix="optimizer-soak-")))
        _say("starting RabbitMQ and Redis")
        rabbitmq, server = pool.enter_context(PrivateRabbitMQ()), pool.enter_context(PrivateRedis())
        where = parse(rabbitmq.url)
        proxy = pool.enter_context(TcpProxy("127.0.0.1", where.port))
        stack = Stack(folder, rabbitmq.url, server.url, f"soak-{uuid.uuid4().hex[:8]}")
        pool.callback(stack.close)

        async def main() -> Report:
            async with Laboratory(stack) as lab:
                deployment = Deployment(lab, proxy, rabbitmq, server, rate_per_s)
                return await soak(lab, deployment, minutes, every_s)

        return asyncio.run(main())


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="make soak", description="Mixed load with random faults, and who grows.")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=4.0, help="requests a second of each of three asking processes")
    parser.add_argument("--every", type=float, default=10.0, metavar="S", help="seconds between faults, on average")
    parser.add_argument("--seed", type=int, help="make the same decisions as the run that printed it")
    parser.add_argument("--json", type=Path, default=Path(".run/soak.json"), help="the report (default: %(default)s)")
    options = parser.parse_args()
    if not options.minutes > 0:
        parser.error("argument --minutes: it must be more than 0")
    if options.seed is not None:
        os.environ[SEED_VARIABLE] = str(options.seed)
    try:
        report = run(options.minutes, options.rate, options.every)
    except Exception:  # noqa: BLE001 - whatever broke, the seed must be seen
        traceback.print_exc()
        return 1
    report.write(options.json)
    print(f"\n{report.text()}\n\nwritten to {options.json}")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
