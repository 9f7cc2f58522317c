"""Which request meets which fault, and how long an answer takes: the script first, chance (seeded) after it.

Faults besides a status (`spec.FAULTS`):

    ok                  answer as usual
    hang                never answer; the request ends when the client goes
    hang_after_headers  send status and headers, then nothing
    hold                wait until `POST /_release`, then answer as usual
    reset               reset the connection before any byte of the answer
    cut                 send half of the body, then reset
    malformed           200 with JSON that ends too early
    empty               200 with an empty body
    dribble             the right answer, slowly: a few bytes every `dribble_s`
    stream_error        when streaming: an error event after the first pieces; else a 500
    throttled, slow_down, billing, quota_day, context_too_long, content_filter   see `errors.NAMED`
"""

import random

from optimizer_ops.simulator.spec import Latency, SimulatorSpec


class FaultScript:
    """Deals the faults of one spec to the requests, in the order of their arrival."""

    def __init__(self, spec: SimulatorSpec) -> None:
        self._spec = spec
        self._next = 0
        self._random = random.Random(f"{spec.seed}/faults")

    def deal(self) -> int | str:
        """The fault of the next request: `ok`, a status, or a name."""
        script = self._spec.fail
        if self._next >= len(script) and self._spec.fail_repeat:
            self._next = 0
        if self._next < len(script):
            self._next += 1
            entry = script[self._next - 1]
            return "ok" if entry == 200 else entry
        if self._spec.fail_rate > 0 and self._random.random() < self._spec.fail_rate:
            return self._random.choice(self._spec.fail_with)
        return "ok"


class LatencyDice:
    """Draws how long the first part of an answer takes."""

    def __init__(self, latency: Latency, seed: int) -> None:
        self._latency = latency
        self._random = random.Random(f"{seed}/latency")

    def draw_s(self) -> float:
        """Seconds until the answer begins."""
        latency = self._latency
        match latency.kind:
            case "fixed":
                return latency.base_s
            case "jitter":
                return latency.base_s + self._random.random() * latency.spread_s
            case "lognormal":
                return latency.base_s * self._random.lognormvariate(0.0, latency.sigma)
