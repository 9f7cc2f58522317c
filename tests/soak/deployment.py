"""What is soaked: three simulated backends, two of each of our processes, and asking processes behind a proxy.

Of each pair one lives from beginning to end and is judged; the other is killed and replaced again and again.
"""

import asyncio
import json
from pathlib import Path

from tests.lab.history import Note, NoteFile
from tests.lab.laboratory import Laboratory
from tests.lab.proxy import TcpProxy
from tests.soak.vitals import Vitals
from tests.support.judge import Limit
from tests.support.servers import PrivateRabbitMQ, PrivateRedis
from tests.support.stack import Running, Simulated

# A breaker that tries again soon: else the first trouble of a backend would keep it out for most of a short run.
EXTRA = """
[breaker]
within_s = 20
open_s = 5
"""
ALPHA = {"count": 30, "per_s": 5.0}
GAMMA = {"count": 12, "per_s": 3.0}
LIMITS = (
    Limit("alpha", "requests", ALPHA["count"], ALPHA["per_s"], "alpha"),
    Limit("gamma", "requests", GAMMA["count"], GAMMA["per_s"], "gamma"),
    Limit("beta", "concurrency", 32, 0.0, "beta"),
)
# beta has room for everything, so that no request may ever be refused or miss its deadline.
TROUBLED = ("alpha", "gamma")


class Deployment:
    """Starts, replaces and names the processes of a soak."""

    def __init__(
        self, lab: Laboratory, proxy: TcpProxy, rabbitmq: PrivateRabbitMQ, redis: PrivateRedis, rate_per_s: float
    ) -> None:
        self.lab = lab
        self.proxy = proxy
        self.rabbitmq = rabbitmq
        self.redis = redis
        self.vitals = Vitals()
        self.survivors: list[Running] = []
        self.victims: list[Running] = []
        self.askers: list[Running] = []
        self.doomed: Running | None = None
        self._rate_per_s = rate_per_s
        self._asked = 0

    async def start(self) -> None:
        """Start everything and wait until it serves."""
        lab = self.lab
        lab.stack.extra = EXTRA
        jitter = {"kind": "jitter", "base_s": 0.1, "spread_s": 0.2}
        lab.simulate("alpha", {"latency": jitter, "fail_rate": 0.02}, limits={"burst": ALPHA})
        lab.simulate("gamma", {"latency": jitter}, limits={"burst": GAMMA})
        lab.simulate("beta", {"latency": {"base_s": 0.3}}, limits={"concurrency": 32})
        await lab.start(coordinators=2, workers=2)
        for name in ("coordinator", *(f"worker/{backend}" for backend in lab.stack.backends)):
            lives, dies = lab.of(name)
            self.survivors.append(lives)
            self.victims.append(dies)
        monitor = lab.stack.launch("events", "optimizer_ops", "events", "optimizer.*")
        self.survivors.append(monitor)
        for i in range(2):
            self.askers.append(self._asker(f"steady-{i}"))
        self.doomed = self._asker("doomed-0")
        for each in (*self.survivors, *self.askers):
            self.vitals.watch(each.name, each.process.pid, judged=True)
        for name, server in (("rabbitmq", self.rabbitmq), ("redis", self.redis)):
            self.vitals.watch(name, server.pid)

    def replace(self, victim: Running) -> Running:
        """Start another one in a victim's place; the new one is a victim too."""
        self.victims.remove(victim)
        kind, _, backend = victim.name.partition("/")
        made = self.lab.stack.worker(backend) if kind == "worker" else self.lab.stack.coordinator()
        self.victims.append(made)
        return made

    def replace_doomed(self) -> None:
        """Start other agents after the doomed ones were killed."""
        self.doomed = self._asker(f"doomed-{self._asked}")

    def agents_of(self, asker: Running) -> tuple[str, ...]:
        """The names under which an asking process speaks."""
        name = asker.name.removeprefix("agents/")
        return (f"{name}-a", f"{name}-b")

    def sims(self) -> list[Simulated]:
        """The backends that get into trouble."""
        return [self.lab.sims[name] for name in TROUBLED]

    def notes(self) -> list[Note]:
        """What all asking processes noted."""
        return [note for file in sorted(self._folder.glob("*.notes")) for note in NoteFile.read(file)]

    def asked(self) -> tuple[int, int]:
        """How many requests were asked and how many have ended, counted roughly by the lines of their notes."""
        asked = ended = 0
        for file in self._folder.glob("*.notes"):
            for line in file.read_text().splitlines():
                pending = json.loads(line)["outcome"] == "pending" if line.endswith("}") else False
                asked, ended = asked + pending, ended + (not pending)
        return asked, ended

    async def end_askers(self, timeout_s: float) -> None:
        """Let the asking processes finish what they asked."""
        asking = [each for each in (*self.askers, self.doomed) if each is not None]
        for each in asking:
            each.process.terminate()
        await asyncio.gather(*(asyncio.to_thread(each.process.wait, timeout_s) for each in asking))

    @property
    def _folder(self) -> Path:
        return self.lab.stack.folder

    def _asker(self, name: str) -> Running:
        stack = self.lab.stack
        environment = {"OPTIMIZER_AMQP_URL": self.proxy.url_of(stack.amqp_url)}
        notes = self._folder / f"{name}.notes"
        self._asked += 1
        words = ("tests.soak.agents", name, str(notes), str(self._rate_per_s), str(self._asked))
        return stack.launch(f"agents/{name}", *words, environment=environment)
