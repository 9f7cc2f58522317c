"""The configuration as the processes see it: typed, validated, and safe to print."""

from typing import Any, Literal

import msgspec

from optimizer_config.alert_settings import AlertSettings
from optimizer_config.errors import ConfigError
from optimizer_config.guess import did_you_mean
from optimizer_config.tracing import TracingSettings
from optimizer_wire.messages import Task
from optimizer_wire.urls import masked_url

Api = Literal["openai", "anthropic"]
Kind = Literal["free", "paid", "local"]
Dimension = Literal["requests", "tokens", "input_tokens", "output_tokens", "usd"]
Subject = Literal["fleet", "tenant", "agent"]
Tier = Literal["free", "basic", "professional", "enterprise"]
Role = Literal["agent", "coordinator", "worker", "observer", "recorder", "dashboard"]

DEFAULT_AMQP_URL = "amqp://guest:guest@127.0.0.1:5672/"
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
DEFAULT_TTL_S = {"code": 3600.0, "reasoning": 600.0, "creative": 60.0, "default": 600.0}
ALIASES = {"llama.cpp": "llamacpp"}
# Requests a minute.
TIERS_RPM: dict[Tier, int] = {"free": 5, "basic": 10, "professional": 100, "enterprise": 500}
_MASK = "***"
_URLS = frozenset({"amqp_url", "redis_url", "history_url"})


class Reset(msgspec.Struct, frozen=True):
    """When a fixed window begins anew: every day, or every first of a month, at a time of day in a time zone."""

    every: Literal["day", "month"] = "day"
    hour: int = 0
    minute: int = 0
    zone: str = "UTC"


class Limit(msgspec.Struct, frozen=True):
    """At most `count` of a dimension in every `per_s` seconds; for some models only, if `models` is not empty.

    With `reset` it is a fixed window that begins anew at a wall-clock time, else a sliding one. Money (`usd`) is
    counted in millionths of a US dollar. `name` is unique among the limits of a backend. `source` and `as_of` say where
    a number of the catalogue comes from.
    """

    name: str
    dimension: Dimension
    count: int
    per_s: float
    models: tuple[str, ...] = ()
    source: str = ""
    as_of: str = ""
    reset: Reset | None = None


class BreakerSettings(msgspec.Struct, frozen=True):
    """So many failures within `within_s` seconds open a backend's circuit breaker for `open_s` seconds."""

    failures: int = 5
    within_s: float = 300.0
    open_s: float = 300.0


class Backend(msgspec.Struct, frozen=True):
    """One backend with one credential.

    `timeout_s` is the longest a single call may take; `prices` the provider's id in genai-prices. `headers` are sent
    with every call and never shown, because they may hold a secret. `max_workers` is how many workers a worker reckons
    with that has never reached Redis. `max_share` is the largest share of the fleet's last 100 calls that may go here.
    `ratelimit_headers` names the table that its response headers are read by. `counts_max_tokens`: it charges the
    requested maximum of output tokens against its limits, whatever is used.
    """

    name: str
    api: Api
    base_url: str
    models: tuple[str, ...]
    limits: tuple[Limit, ...] = ()
    concurrency: int = 8
    api_key_env: str | None = None
    api_key_file: str | None = None
    kind: Kind = "paid"
    timeout_s: float = 120.0
    prices: str | None = None
    headers: dict[str, str] = {}
    display: str = ""
    max_workers: int = 8
    max_share: float | None = None
    breaker: BreakerSettings = BreakerSettings()
    ratelimit_headers: str | None = None
    counts_max_tokens: bool = False

    @property
    def default_model(self) -> str:
        """The model that is asked for when the request names none."""
        return self.models[0]

    @property
    def label(self) -> str:
        """The name as people write it: `llama.cpp`."""
        return self.display or self.name

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        fields = ((field, getattr(self, field)) for field in self.__struct_fields__)
        return [(field, dict.fromkeys(value, _MASK) if field == "headers" else value) for field, value in fields]

    def __repr__(self) -> str:
        return f"Backend({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class CacheSettings(msgspec.Struct, frozen=True):
    """How long answers live, in seconds, by task; `default` for the rest."""

    ttl_s: dict[str, float] = msgspec.field(default_factory=lambda: dict(DEFAULT_TTL_S))

    def ttl_for(self, task: Task | None) -> float:
        """The time to live of an answer to this task, in seconds; 0 stores nothing."""
        return self.ttl_s.get(task or "default", self.ttl_s["default"])


class Waits(msgspec.Struct, frozen=True):
    """How long the processes wait, in seconds.

    `drain_s`: for what a process has begun when it is asked to stop; `retry_s`: before each repetition of a call on the
    last backend of its route; `hold_s`: until a message that waits in a process goes back to its queue, since RabbitMQ
    lets nobody keep one for more than 30 minutes; `self_check_s`: between two messages of a process to itself.
    """

    drain_s: float = 25.0
    retry_s: tuple[float, ...] = (1.0, 2.0, 4.0)
    hold_s: float = 900.0
    self_check_s: float = 15.0


class RetrySettings(msgspec.Struct, frozen=True):
    """The fleet's retry budget: in any `within_s` seconds at most this share of the calls started may be repetitions.

    `least` of them are allowed always, so that a lone request in a quiet fleet is still repeated.
    """

    share: float = 0.2
    within_s: float = 10.0
    least: int = 3


class Quotas(msgspec.Struct, frozen=True):
    """What agents may use.

    `limits` by subject (`fleet`, `tenant`, `agent`), that of `agent` for each agent without an entry of its own in
    `agents`; `tiers` by agent, where one is written; `over` is what happens beyond a quota.
    """

    over: Literal["wait", "reject"] = "wait"
    limits: dict[Subject, tuple[Limit, ...]] = {}
    agents: dict[str, tuple[Limit, ...]] = {}
    tiers: dict[str, Tier] = {}

    def limits_of(self, agent: str) -> tuple[Limit, ...]:
        """The quota of an agent: its own, else the one for every agent; empty if it has none."""
        return self.agents.get(agent) or self.limits.get("agent", ())


class User(msgspec.Struct, frozen=True):
    """A RabbitMQ user: what it may do, by its role.

    An `agent` belongs to a `tenant` and may ask in the names of `agents`, where `*` stands for any text; a `worker` may
    serve `backends`; an `observer` may hear the `events` of these patterns, of all tenants.
    """

    role: Role
    tenant: str = "default"
    agents: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is configured.

    `backends` are all usable ones, the catalogue overlaid with the file; `configured` those that the file names in
    `[backends]` or `[routes]`. `routes` (by task) and `models` (aliases) hold entries `backend` or `backend/model`,
    and only what the file says. `users` are the RabbitMQ users by name: if there are any, nobody else may ask; without
    them `tenants` maps a user to its tenant. `keep_dead_s` is how long dead letters are kept. `history_url` is the
    database of the history; empty is the SQLite file of `default_history_url`. Each request and call is kept in it for
    `keep_days`, sums by hour for `keep_hourly_days`. `path` is the file that was read.
    """

    amqp_url: str = DEFAULT_AMQP_URL
    redis_url: str = DEFAULT_REDIS_URL
    prefix: str = "optimizer"
    backends: dict[str, Backend] = {}
    configured: frozenset[str] = frozenset()
    routes: dict[str, tuple[str, ...]] = {}
    models: dict[str, tuple[str, ...]] = {}
    cache: CacheSettings = CacheSettings()
    users: dict[str, User] = {}
    tenants: dict[str, str] = {}
    waits: Waits = Waits()
    quotas: Quotas = Quotas()
    retries: RetrySettings = RetrySettings()
    keep_dead_s: float = 7 * 24 * 3600.0
    history_url: str = ""
    keep_days: int = 30
    keep_hourly_days: int = 730
    alerts: AlertSettings = AlertSettings()
    tracing: TracingSettings = TracingSettings()
    prices_file: str | None = None
    log_level: str = "info"
    path: str | None = None
    warnings: tuple[str, ...] = ()

    def backend(self, name: str) -> Backend:
        """The backend of this name or alias.

        :raises ConfigError: if there is none, with the nearest name.
        """
        found = self.backends.get(ALIASES.get(name, name))
        if found is None:
            hint = did_you_mean(name, [*self.backends, *ALIASES]) or f"; known are {', '.join(self.backends)}."
            raise ConfigError(f'There is no backend "{name}"{hint}')
        return found

    @property
    def served(self) -> frozenset[str]:
        """The backends whose queues must exist: the configured ones, and those that a user may be a worker of."""
        return self.configured.union(*(user.backends for user in self.users.values()))

    def weight_of(self, agent: str) -> float:
        """The weight of an agent in fair sharing: its tier's requests a minute ÷ 10; 1.0 without a tier."""
        return TIERS_RPM[self.quotas.tiers.get(agent, "basic")] / TIERS_RPM["basic"]

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        fields = ((field, getattr(self, field)) for field in self.__struct_fields__)
        return [(field, masked_url(value) if field in _URLS else value) for field, value in fields]

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"
