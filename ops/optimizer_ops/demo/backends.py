"""The simulated backends: each like a provider in speed, limits, headers and prices. Pure.

Their limits are wider than those of free accounts, so that half a minute shows something; the simulators enforce them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEY_VARIABLE = "OPTIMIZER_DEMO_KEY"
KEY = "demo"
EMBEDDING_SIZE = 8


@dataclass(frozen=True, slots=True)
class Window:
    """At most `count` requests within `per_s` seconds."""

    name: str
    count: int
    per_s: float

    @property
    def words(self) -> str:
        """The length of the window for people: `5 s`."""
        return f"{self.per_s:g} s"


@dataclass(frozen=True, slots=True)
class SimulatedBackend:
    """One of them. `style` names the provider that it imitates, in headers, protocol and prices.

    An answer takes `base_s` (median) and `per_token_s` for each of its tokens.
    """

    name: str
    style: str
    models: tuple[str, ...]
    windows: tuple[Window, ...]
    concurrency: int
    workers: int
    base_s: float
    per_token_s: float
    api: str = "openai"
    answer_tokens: int = 180

    def spec(self) -> dict[str, Any]:
        """The script of its simulator."""
        return {
            "name": self.name,
            "headers": self.style,
            "models": self.models,
            "api_key": KEY,
            "answer_tokens": self.answer_tokens,
            "embedding_size": EMBEDDING_SIZE,
            "latency": {"kind": "lognormal", "base_s": self.base_s, "sigma": 0.3, "per_token_s": self.per_token_s},
            "limits": {
                "concurrency": self.concurrency,
                "more": [{"count": window.count, "per_s": window.per_s} for window in self.windows],
            },
        }

    def toml(self, url: str) -> str:
        """Its table in optimizer.toml. It counts as paid, so that its calls have the provider's prices."""
        windows = ", ".join(f"{w.name} = {{ count = {w.count}, per_s = {w.per_s:g} }}" for w in self.windows)
        return "\n".join(
            (
                f"[backends.{self.name}]",
                f'api = "{self.api}"',
                f'base_url = "{url}{"/v1" if self.api == "openai" else ""}"',
                f"models = {json.dumps(self.models)}",
                f'api_key_env = "{KEY_VARIABLE}"',
                'kind = "paid"',
                f'genai_prices = "{self.style}"',
                "timeout_s = 20",
                f"limits = {{ {windows}, concurrency = {self.concurrency} }}",
            )
        )


BACKENDS = (
    SimulatedBackend(
        name="sim-cerebras",
        style="cerebras",
        models=("gpt-oss-120b",),
        windows=(Window("per-5s", 20, 5.0), Window("per-minute", 200, 60.0)),
        concurrency=6,
        workers=2,
        base_s=0.12,
        per_token_s=0.0005,
    ),
    SimulatedBackend(
        name="sim-groq",
        style="groq",
        models=("llama-3.3-70b-versatile",),
        windows=(Window("per-10s", 30, 10.0), Window("per-minute", 150, 60.0)),
        concurrency=8,
        workers=2,
        base_s=0.25,
        per_token_s=0.002,
    ),
    SimulatedBackend(
        name="sim-mistral",
        style="mistral",
        models=("mistral-small-latest", "mistral-embed"),
        windows=(Window("per-second", 3, 1.0), Window("per-minute", 120, 60.0)),
        concurrency=6,
        workers=1,
        base_s=0.35,
        per_token_s=0.004,
    ),
    SimulatedBackend(
        name="sim-anthropic",
        style="anthropic",
        models=("claude-haiku-4-5",),
        windows=(Window("per-10s", 12, 10.0), Window("per-minute", 60, 60.0)),
        concurrency=4,
        workers=1,
        base_s=0.5,
        per_token_s=0.005,
        api="anthropic",
    ),
)

ROUTES = {
    "code": ("sim-cerebras", "sim-groq", "sim-anthropic"),
    "reasoning": ("sim-cerebras", "sim-groq", "sim-anthropic"),
    "creative": ("sim-mistral", "sim-groq"),
    "long": ("sim-anthropic", "sim-mistral"),
    "embed": ("sim-mistral/mistral-embed",),
    "default": ("sim-groq", "sim-cerebras", "sim-mistral"),
}


def optimizer_toml(urls: Mapping[str, str], common: Mapping[str, str], history_url: str) -> str:
    """The configuration of the fleet; `urls` are where the simulators listen, by name.

    With `common` (where the services are, and the prefix) and the URL of the history in it, any command finds the run.
    """
    head = [f"{key} = {json.dumps(value)}" for key, value in common.items()]
    history = f"[history]\nurl = {json.dumps(history_url)}"
    routes = ["[routes]", *(f"{task} = {json.dumps(names)}" for task, names in ROUTES.items())]
    tables = [backend.toml(urls[backend.name]) for backend in BACKENDS]
    return "\n\n".join(("\n".join(head), history, *tables, "\n".join(routes))) + "\n"
