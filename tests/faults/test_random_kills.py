"""Rows 1, 2, 3 and 12 together: processes of all kinds die and hang at random moments under a mixed load."""

import asyncio
import time

import pytest
from tests.lab.history import Note, NoteFile
from tests.lab.laboratory import Laboratory
from tests.support.judge import Limit
from tests.support.stack import Running

FOR_S = 60.0
EVERY_S = 3.0
PATIENCE_S = 90.0
FEW = Limit("few", "requests", 30, 3.0, "alpha")


class Fleet:
    """What is killed and started again: coordinators, workers, and agents in processes of their own."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self._agents = 0

    def victims(self) -> list[Running]:
        """Everything that may be hit, agents as often as coordinators."""
        return [running for kind in ("worker", "coordinator", "agent") for running in self.lab.of(kind)]

    def replace(self, victim: Running) -> Running:
        """Start another one of the same kind."""
        kind, _, name = victim.name.partition("/")
        if kind == "agent":
            self.lab.history.fault(f"the agent {name} is gone", callers=[name])
            return self.agent()
        return self.lab.stack.worker(name) if kind == "worker" else self.lab.stack.coordinator()

    def agent(self) -> Running:
        """Start an agent that asks what others ask too, and what nobody else asks."""
        self._agents += 1
        name = f"doomed-{self._agents}"
        prompts = [f"shared {self.lab.kills.dice.randrange(100)}" for _ in range(10)] + [
            f"{name} {i}" for i in range(10)
        ]
        notes = str(self.lab.stack.folder / f"{name}.notes")
        return self.lab.stack.launch(
            f"agent/{name}", "tests.lab.agent_process", name, notes, f"{PATIENCE_S:g}", *prompts
        )

    def notes(self) -> list[Note]:
        """What the agents noted."""
        return [note for path in sorted(self.lab.stack.folder.glob("*.notes")) for note in NoteFile.read(path)]


async def load(lab: Laboratory, for_s: float) -> None:
    """Agents that ask the same and different things, now and then without the cache."""
    clients, dice = await lab.clients(5), lab.kills.dice
    end, i = time.monotonic() + for_s, 0
    while time.monotonic() < end:
        for client in clients:
            prompt = f"shared {i // 20}" if dice.random() < 0.5 else f"{client.agent} {i}"
            lab.ask(client, prompt, PATIENCE_S, cache="off" if dice.random() < 0.05 else "use")
        i += 1
        await asyncio.sleep(dice.uniform(0.2, 0.6))


@pytest.mark.slow
@pytest.mark.fault(1)
@pytest.mark.fault(2)
@pytest.mark.fault(3)
@pytest.mark.fault(12)
async def test_random_kills(lab: Laboratory):
    """Whoever dies or hangs at whatever moment: nothing is lost, repeated beyond the faults, or above its budget."""
    latency = {"kind": "jitter", "base_s": 0.2, "spread_s": 0.6}
    few = {"count": FEW.count, "per_s": FEW.per_s}
    lab.simulate("alpha", {"latency": latency}, limits={"few": few, "concurrency": 8})
    lab.simulate("beta", {"latency": latency}, limits={"concurrency": 8})
    print(f"OPTIMIZER_TEST_SEED={lab.history.seed}")
    await lab.start(coordinators=2, workers=2)
    fleet = Fleet(lab)
    await lab.ready(fleet.agent())
    loading = asyncio.ensure_future(load(lab, FOR_S))
    count = await lab.kills.at_random(fleet.victims, fleet.replace, FOR_S, EVERY_S)
    await loading
    await lab.all(PATIENCE_S + 10)
    for agent in lab.of("agent"):
        await asyncio.to_thread(agent.process.wait, PATIENCE_S + 10)
    findings = await lab.verify(limits=[FEW], notes=fleet.notes(), service_s=1.0)
    print(f"{count} faults: {findings.summary}")
