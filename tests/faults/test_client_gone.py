"""Row 12: a client dies by kill -9 with requests in flight, or takes them back."""

import asyncio

import pytest
from tests.lab.history import NoteFile, echo
from tests.lab.laboratory import Laboratory


@pytest.mark.slow
@pytest.mark.fault(12)
async def test_killed_client(lab: Laboratory):
    """A client dies while its calls run and wait: their answers are kept for others, and neighbours are served."""
    sim = lab.simulate("alpha", {"latency": {"base_s": 0.8}}, limits={"concurrency": 2})
    await lab.start()
    (neighbour,) = await lab.clients(1)
    prompts = ["both ask", *(f"its own {i}" for i in range(3))]
    notes = lab.stack.folder / "notes.jsonl"
    agent = lab.stack.launch("agent/doomed", "tests.lab.agent_process", "doomed", str(notes), "60", *prompts)
    await lab.ready(agent)
    await lab.until(sim.calls, "the first call")
    lab.ask(neighbour, "both ask", 60)
    await lab.kills.kill(agent, extra_calls=0)
    lab.history.fault("the agent is gone", callers=["doomed"])
    lab.ask(neighbour, "its own 2", 60)
    await lab.all()
    await lab.until(lambda: len(sim.calls()) == len(prompts), "the calls of the one who is gone")
    await lab.until(lambda: all(call.end for call in lab.calls()), "their ends")
    await asyncio.sleep(0.2)

    replies = [await neighbour.chat(prompt, timeout=30) for prompt in prompts]

    assert [reply.source for reply in replies] == ["cache"] * len(prompts)
    assert [reply.text.startswith(echo(prompt)) for reply, prompt in zip(replies, prompts, strict=True)] == [True] * 4
    died = NoteFile.read(notes)
    assert {note.outcome for note in died} == {"pending"}
    findings = await lab.verify(notes=died, service_s=0.8)
    assert findings.summary["calls"] == len(prompts)


@pytest.mark.slow
@pytest.mark.fault(12)
async def test_cancelled_requests(lab: Laboratory):
    """A request taken back while it waits is never called; a call that has begun goes on for whoever else waits."""
    sim = lab.simulate("alpha", {"latency": {"base_s": 2.0}}, limits={"concurrency": 1})
    await lab.start()
    leader, joiner = await lab.clients(2)
    running = lab.ask(leader, "running", 60)
    lab.ask(joiner, "running", 60)
    await lab.until(sim.calls, "the call")
    waiting = [lab.ask(leader, f"waiting {i}", 60) for i in range(5)]
    kept = lab.ask(joiner, "kept", 60)
    await asyncio.sleep(0.5)
    for task in (running, *waiting):
        task.cancel()
    await asyncio.gather(running, *waiting, return_exceptions=True)
    await kept

    assert {call["question"] for call in sim.calls()} == {
        echo(each).removeprefix("echo:") for each in ("running", "kept")
    }
    assert [note.outcome for note in lab.history.notes if note.agent == joiner.agent] == ["answered"] * 2
    await lab.book.drop()
    await lab.verify(allowed={"cancelled"}, service_s=2.0)
