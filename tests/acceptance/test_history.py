"""The history against what reached the backends: call by call, after workers and the recorder were killed."""

import asyncio
import json
import sqlite3
import time
from collections import Counter

import pytest
import sqlalchemy as sa
from tests.support.recorded import assert_sums_hold
from tests.support.stack import wait_until

from optimizer_client import AsyncOptimizer, OptimizerError

AGENTS = 12


@pytest.fixture
def fleet(stack):
    """Two backends with two workers each, two coordinators, and a recorder that began before them."""
    backends = [stack.simulate(name, {"latency": {"base_s": 0.25}}) for name in ("one", "two")]
    stack.configure()
    recorder = stack.launch("recorder", "optimizer_ops", "recorder")
    stack.ready(recorder)
    stack.start(coordinators=2, workers=2)
    return stack, backends, recorder


def history_of(stack):
    """The history, read by a way of its own."""
    file = stack.folder / "history.db"
    found = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10, check_same_thread=False)
    found.row_factory = sqlite3.Row
    return found


def arrived(backends):
    """What reached the backends: each call by the id that it came with, with its end if it had one."""
    calls = {}
    for backend in backends:
        numbered = {}
        for line in backend.log.read_text().splitlines():
            row = json.loads(line)
            if row["event"] == "start" and row["op"] != "models":
                numbered[row["pid"], row["seq"]] = calls[row["call_id"]] = row
            elif row["event"] == "end" and (row["pid"], row["seq"]) in numbered:
                numbered[row["pid"], row["seq"]] |= {
                    name: row[name] for name in ("status", "outcome", "completion_tokens")
                }
    return calls


async def load(stack, until, asked):
    """Agents ask, alone and together, hits and new questions, until it is time; whatever becomes of it."""

    async def agent(number):
        async with AsyncOptimizer(f"agent-{number}", url=stack.amqp_url, prefix=stack.prefix) as client:
            turn = 0
            while time.monotonic() < until():
                turn += 1
                question = f"question {turn // 2}" if turn % 3 else f"question {number} {turn}"
                try:
                    await client.chat(question, timeout=20)
                    asked["answered"] += 1
                except OptimizerError as error:
                    asked[error.code] += 1

    await asyncio.gather(*(agent(number) for number in range(AGENTS)))


@pytest.mark.slow
async def test_the_history_equals_the_request_log_after_kills(fleet):
    """Each call that reached a backend is a row, to the token; what died unanswered is a row of unknown use."""
    stack, backends, recorder = fleet
    asked, end = Counter(), time.monotonic() + 12
    loading = asyncio.ensure_future(load(stack, lambda: end, asked))
    workers = [each for each in stack.running if each.name.startswith("worker/")]
    for victim in (workers[0], workers[2]):
        await asyncio.sleep(2)
        await asyncio.to_thread(victim.kill)
        stack.worker(victim.name.split("/")[1])
    await asyncio.sleep(1)
    await asyncio.to_thread(recorder.kill)
    await asyncio.sleep(2.5)  # what happens meanwhile waits in its queue
    await asyncio.to_thread(workers[1].kill)
    stack.worker("one")
    again = stack.launch("recorder", "optimizer_ops", "recorder")
    await loading
    await asyncio.to_thread(stack.ready, again)
    history = history_of(stack)

    def settled():
        open_, waiting = history.execute(
            "SELECT (SELECT count(*) FROM requests WHERE outcome = 'open'), (SELECT waiting FROM recorder)"
        ).fetchone()
        return not open_ and not waiting

    await asyncio.to_thread(wait_until, settled, "the end of every request in the history", 40)
    reached = arrived(backends)
    rows = {row["id"]: dict(row) for row in history.execute("SELECT * FROM calls")}

    assert None not in reached
    assert reached.keys() <= rows.keys(), "calls that reached a backend and are not in the history"
    unknown = {id_ for id_, row in rows.items() if row["outcome"] is None}
    for id_, call in reached.items():
        row = rows[id_]
        if row["outcome"] == "answered":
            assert (row["input_tokens"], row["output_tokens"]) == (call["prompt_tokens"], call["completion_tokens"])
            assert call["outcome"] == "answered"
        elif row["outcome"] is None:
            assert (row["input_tokens"], row["output_tokens"], row["cost_nano"]) == (None, None, None)
        else:
            assert call.get("outcome") != "answered"
    # Three workers were killed, each with at most its concurrency of calls under way.
    assert 1 <= len(unknown) <= 3 * 8
    answered = [call for id_, call in reached.items() if call.get("outcome") == "answered" and id_ not in unknown]
    total = history.execute(
        "SELECT sum(input_tokens), sum(output_tokens), sum(calls), sum(requests) FROM hourly"
    ).fetchone()
    assert tuple(total) == (
        sum(call["prompt_tokens"] for call in answered),
        sum(call["completion_tokens"] for call in answered),
        len(rows),
        history.execute("SELECT count(*) FROM requests").fetchone()[0],
    )
    # Nothing was lost, and each request that an agent asked is a row with the end that the agent saw.
    assert history.execute("SELECT lost FROM recorder").fetchone()[0] == 0
    assert history.execute("SELECT sum(last_seq - first_seq + 1 - received) FROM sources").fetchone()[0] == 0
    ends = Counter(dict(history.execute("SELECT outcome, count(*) FROM requests GROUP BY outcome")))
    assert ends == asked
    engine = sa.create_engine(f"sqlite:///{stack.folder / 'history.db'}")
    await asyncio.to_thread(assert_sums_hold, engine)
    engine.dispose()
    history.close()
