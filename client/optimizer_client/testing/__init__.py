"""An optimizer in memory, for the tests of those who write agents: no RabbitMQ, no backend, the same interface::

    optimizer = InMemoryOptimizer(answers={"Why is the sky blue?": "Rayleigh scattering."})
    agent = MyAgent(optimizer)                          # takes an AsyncOptimizer, or the type AsyncAsks
    assert await agent.explain("the sky") == "Rayleigh scattering."
    assert optimizer.requests[0].task == "reasoning"    # what was asked, in order
    assert len(optimizer.calls) == 1                    # what a backend would have seen
    # answers=[Overloaded("later"), "now"] fails the first call; latency_s=5 with timeout=0.1 misses the deadline.

`InMemorySyncOptimizer` is the same for code that takes an `Optimizer` (the type `Asks`).

Identical requests share an answer as they do in the real optimizer, by the same fingerprint: `reply.source` is
`backend`, `cache` or `collapsed`.
"""

from optimizer_client.testing.blocking import InMemorySyncOptimizer
from optimizer_client.testing.memory import InMemoryOptimizer
from optimizer_client.testing.script import Answer, Answers

__all__ = ["Answer", "Answers", "InMemoryOptimizer", "InMemorySyncOptimizer"]
