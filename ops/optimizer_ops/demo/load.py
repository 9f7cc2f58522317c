"""Who asks what when. Pure: the same numbers give the same load.

Three streams, as a fleet makes them: popular questions, a few of which are asked most of the time (Zipf); news, which
half of the fleet asks within a moment; and questions that nobody else has. The share of the last two is what the
backends must be able to serve.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from optimizer_ops.demo.questions import POPULAR, Question, news, unique
from optimizer_wire.messages import Priority

PER_AGENT_S = 1.5
FLEET_MOST_S = 120.0
UNIQUE_SHARE = 0.1
UNIQUE_MOST_S = 4.0
NEWS_EVERY_S = 1.8
NEWS_WITHIN_S = 0.15
ZIPF = 1.1
_PRIORITIES = (Priority.INTERACTIVE, Priority.STANDARD, Priority.BATCH)
_PRIORITY_WEIGHTS = (2, 6, 2)

_NAMES = (
    "quality",
    "researcher",
    "planner",
    "coder",
    "reviewer",
    "tester",
    "writer",
    "translator",
    "support",
    "sales",
    "legal",
    "finance",
    "analyst",
    "scheduler",
    "monitor",
    "security",
    "data",
    "ops",
    "docs",
    "editor",
    "tutor",
    "recruiter",
    "buyer",
    "designer",
    "seo",
    "social",
    "archivist",
    "guardian",
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of the load: when (seconds from the beginning), by which agent, what, and how urgently.

    `news` tells that many ask it at once.
    """

    at_s: float
    agent: int
    question: Question
    priority: Priority
    news: bool = False


def agent_names(count: int) -> list[str]:
    """So many different names."""
    return [
        _NAMES[number] if number < len(_NAMES) else f"{_NAMES[number % len(_NAMES)]}-{number // len(_NAMES) + 1}"
        for number in range(count)
    ]


def make_load(seconds: float, agents: int, seed: int = 7) -> list[Ask]:
    """The whole load of a run, in order of time."""
    rng = random.Random(seed)
    streams = itertools.chain(_steady(rng, seconds, agents), _news(rng, seconds, agents))
    return sorted(streams, key=lambda ask: ask.at_s)


def _steady(rng: random.Random, seconds: float, agents: int) -> Iterator[Ask]:
    pace = min(PER_AGENT_S * agents, FLEET_MOST_S)
    share = min(UNIQUE_SHARE, UNIQUE_MOST_S / pace)
    popular = rng.sample(POPULAR, len(POPULAR))
    weights = list(itertools.accumulate(1 / rank**ZIPF for rank in range(1, len(popular) + 1)))
    numbers = itertools.count()
    at_s = rng.expovariate(pace)
    while at_s < seconds:
        question = unique(next(numbers)) if rng.random() < share else rng.choices(popular, cum_weights=weights)[0]
        yield Ask(at_s, rng.randrange(agents), question, _priority(rng))
        at_s += rng.expovariate(pace)


def _news(rng: random.Random, seconds: float, agents: int) -> Iterator[Ask]:
    """Most ask at once, so that their requests meet in flight; a few hear of it later."""
    for number in range(int(seconds / NEWS_EVERY_S)):
        begin_s = (number + rng.random()) * NEWS_EVERY_S
        interested = rng.sample(range(agents), max(1, round(agents * rng.uniform(0.4, 0.7))))
        for agent in interested:
            late_s = rng.uniform(0.5, 4.0) if rng.random() < 0.2 else rng.uniform(0, NEWS_WITHIN_S)
            if begin_s + late_s < seconds:
                yield Ask(begin_s + late_s, agent, news(number), Priority.INTERACTIVE, news=True)


def _priority(rng: random.Random) -> Priority:
    return rng.choices(_PRIORITIES, _PRIORITY_WEIGHTS)[0]
