"""The agents: each a client with its own connection, asking what the load says, when it says so."""

import asyncio
import time
from collections.abc import Sequence

from yarl import URL

from optimizer_client import AsyncOptimizer, OptimizerError
from optimizer_ops.demo.load import Ask
from optimizer_ops.demo.score import Score
from optimizer_wire.cancellation import end
from optimizer_wire.topology import Names

DEADLINE_S = 30.0
_CONNECT_S = 20.0


class NotConnected(Exception):
    """An agent did not reach the broker; the message says who."""


class Fleet:
    """So many agents, and what they are waiting for."""

    def __init__(self, names: Sequence[str], url: str, prefix: str, score: Score) -> None:
        self._agents = [
            AsyncOptimizer(agent=name, url=url, prefix=prefix, connect_timeout=_CONNECT_S, timeout=DEADLINE_S)
            for name in names
        ]
        self._names = Names(prefix)
        self._url = url
        self._user = URL(url).user or "guest"
        self._strangers: list[str] = []
        self._score = score
        self._asking: set[asyncio.Task[None]] = set()

    @property
    def reply_queues(self) -> list[str]:
        """The queues on which the agents await their replies; they outlive the agents by minutes."""
        instances = [*(agent.instance for agent in self._agents), *self._strangers]
        return [self._names.reply_queue(self._user, instance) for instance in instances]

    def stranger(self, name: str) -> AsyncOptimizer:
        """An agent beside the others, whose requests do not count."""
        agent = AsyncOptimizer(
            agent=name, url=self._url, prefix=self._names.prefix, connect_timeout=_CONNECT_S, timeout=DEADLINE_S
        )
        self._strangers.append(agent.instance)
        return agent

    async def connect(self) -> None:
        """Connect all agents.

        :raises NotConnected: if one of them does not get through in time.
        """
        for agent in self._agents:
            await agent.start()
        end = time.monotonic() + _CONNECT_S
        for agent in self._agents:
            while not agent.connected:
                if time.monotonic() > end:
                    raise NotConnected(f"The agent {agent.agent} did not reach RabbitMQ within {_CONNECT_S:.0f} s.")
                await asyncio.sleep(0.02)

    async def play(self, load: Sequence[Ask], began: float) -> None:
        """Ask everything at its time, whatever is still unanswered; `began` is on the monotonic clock."""
        for ask in load:
            delay_s = began + ask.at_s - time.monotonic()
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            task = asyncio.create_task(self._ask(ask))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def wait_for_answers(self) -> None:
        """Wait for whatever is still unanswered; each request has its deadline."""
        while self._asking:
            await asyncio.wait(self._asking)

    async def close(self) -> None:
        """Stop asking, and close all connections."""
        await end(self._asking)
        await asyncio.gather(*(agent.close() for agent in self._agents))

    async def _ask(self, ask: Ask) -> None:
        agent, question = self._agents[ask.agent], ask.question
        self._score.ask(question, news=ask.news)
        started = time.perf_counter()
        try:
            if question.op == "embed":
                reply = await agent.embed(question.text, priority=ask.priority.value)
            else:
                reply = await agent.chat(question.text, task=question.task, priority=ask.priority.value)
        except OptimizerError as error:
            self._score.fail(error.code)
        else:
            self._score.answer(question, reply, (time.perf_counter() - started) * 1000)
