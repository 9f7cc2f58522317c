"""The messages of the optimizer: a request, its reply, and the call that a worker executes.

Unknown fields are ignored when decoding, so that neighbouring versions understand each other.
Times are milliseconds (`_ms`) or seconds (`_s`); a `deadline_ms` is an instant on the fleet's clock (Unix milliseconds
of the Redis server, see `optimizer_state.clock`).
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

import msgspec

VERSION = 1

REQUEST_TYPE = "optimizer.request.v1"
CANCEL_TYPE = "optimizer.cancel.v1"
SUBMIT_TYPE = "optimizer.submit.v1"
FETCH_TYPE = "optimizer.fetch.v1"
CALL_TYPE = "optimizer.call.v1"
REPLY_TYPE = "optimizer.reply.v1"
EVENT_TYPE = "optimizer.event.v1"
EVENTS_TYPE = "optimizer.events.v1"
DEAD_TYPE = "optimizer.dead.v1"
PROBE_TYPE = "optimizer.probe.v1"
# Of a message that is there to come, and says nothing; in a queue of work the channel handles it.
PING_TYPE = "optimizer.ping.v1"
REDIS_QUESTION_TYPE = "optimizer.redis-question.v1"
REDIS_ANSWER_TYPE = "optimizer.redis-answer.v1"
CONTENT_TYPE = "application/msgpack"

Op = Literal["chat", "embed"]
Task = Literal["code", "reasoning", "creative", "long", "general"]
Source = Literal["backend", "cache", "collapsed", "direct"]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
OrderingKey = Annotated[str, msgspec.Meta(max_length=200)]
TimeoutMs = Annotated[int, msgspec.Meta(ge=1, le=24 * 3600 * 1000)]
TtlS = Annotated[float, msgspec.Meta(ge=0, le=366 * 24 * 3600)]


class Priority(StrEnum):
    """How soon a request wants to be served; each has its own queue per backend."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"

    @property
    def rank(self) -> int:
        """0 for the most urgent; grows with patience."""
        return _RANKS[self]


_RANKS = {Priority.INTERACTIVE: 0, Priority.STANDARD: 1, Priority.BATCH: 2}


class CachePolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request wants of the cache.

    `use` reads, joins and stores; `refresh` does not read, but joins and stores; `off` does none of them.
    `ttl_s = None` takes the time to live configured for the task; 0 stores nothing.
    """

    mode: Literal["use", "refresh", "off"] = "use"
    ttl_s: TtlS | None = None
    namespace: Annotated[str, msgspec.Meta(max_length=200)] = ""
    scope: Literal["tenant", "agent", "public"] = "tenant"


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent asks. `params` is an OpenAI chat or embeddings body without `model`.

    `model` is an alias, a backend, `backend/model`, or `auto`. `timeout_ms` is the time left when the message was
    published: a resubmission carries less of it.

    Requests of a tenant with the same `ordering_key` run one after another: `after` is the id of its sender's previous
    one that has no answer yet; with `supersede` it takes the place of all of its user that have not begun.
    """

    v: int
    id: Name
    agent: Name
    params: dict[str, Any]
    op: Op = "chat"
    model: Name = "auto"
    task: Task | None = None
    cache: CachePolicy = CachePolicy()
    priority: Priority = Priority.STANDARD
    timeout_ms: TimeoutMs = 60_000
    stream: bool = False
    ordering_key: OrderingKey | None = None
    after: Name | None = None
    supersede: bool = False
    tags: dict[str, str] = {}


class SubmittedRequest(Request, frozen=True, omit_defaults=True):
    """A request whose answer is kept until somebody fetches it (`SUBMIT_TYPE`): nobody listens for it."""


class Fetch(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question about a request that was submitted: its answer, how it stands, or that it is no longer wanted.

    `id` names this question, `request_id` the request. If that has not ended, an answer is waited for `wait_ms`; who
    asks stops listening after `timeout_ms`. What comes back is a `Reply` to `id` with a `status`.
    """

    v: int
    id: Name
    agent: Name
    request_id: Name
    want: Literal["answer", "status", "cancel"] = "answer"
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 0
    timeout_ms: TimeoutMs = 10_000

    # It is sent and awaited like a request, whose order among others may matter.
    ordering_key: ClassVar[None] = None


Question = Request | Fetch
"""What a client sends and waits for."""


def kind_of(question: Question) -> str:
    """The type of the message that a question travels in."""
    match question:
        case SubmittedRequest():
            return SUBMIT_TYPE
        case Fetch():
            return FETCH_TYPE
        case _:
            return REQUEST_TYPE


State = Literal["waiting", "running", "answered", "failed", "unknown"]


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a submitted request stands.

    `position` is how many calls are expected to start before its own at its backend, and `expected_wait_s` the seconds
    until its own is expected to start; both None while nobody can tell. `unknown` is what nobody of this RabbitMQ user
    has submitted, or what ended more than 15 minutes ago.
    """

    state: State
    position: int | None = None
    expected_wait_s: float | None = None

    @property
    def ended(self) -> bool:
        """Whether there is an answer or an error to fetch."""
        return self.state in {"answered", "failed"}


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one call. `input_tokens` includes cached ones, `output_tokens` includes reasoning ones.

    `raw` is the provider's own usage object, kept so that a cost can be computed again.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    raw: dict[str, Any] | None = None

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


class Timings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the time of a request went, as the process that replied saw it."""

    wait_ms: float = 0.0
    call_ms: float = 0.0
    total_ms: float = 0.0


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it travels: a code of `errors.CODES`, a sentence for people, and whether trying again may help."""

    code: str
    message: str
    retryable: bool = False
    retry_after_s: float | None = None


NO_RESULT = msgspec.Raw(b"\xc0")
"""An encoded nil: the result of a reply that has none."""


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The one answer to a request: `result` (an OpenAI chat.completion or embeddings list) or `error`.

    `result` stays encoded until somebody reads it: what passes an answer on need not understand it.
    `status` is there in the reply to a `Fetch` only; without it the error is one of the question itself.
    """

    v: int
    id: str
    ok: bool
    source: Source = "backend"
    result: msgspec.Raw = NO_RESULT
    backend: str | None = None
    model: str | None = None
    task: Task | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    age_s: float | None = None
    timings: Timings = Timings()
    attempts: int = 0
    error: ErrorInfo | None = None
    status: Status | None = None


class Hop(msgspec.Struct, frozen=True):
    """One station of a route: a backend and the model to ask it for."""

    backend: str
    model: str


class MovedFrom(msgspec.Struct, frozen=True):
    """The backend that a call moved from, and when one more call would have started there (on the fleet's clock)."""

    backend: str
    ready_ms: int


class Waiter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request in a flight: where to reply, until when, and for whom. This is what Redis keeps of it.

    `trace` is its place in a trace (W3C `traceparent`), if it has one.
    """

    id: str
    reply_to: str
    deadline_ms: int
    agent: str
    tenant: str
    priority: Priority = Priority.STANDARD
    since_ms: int = 0
    trace: str = ""


class Call(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a coordinator hands to a worker: the request, its route and its work id.

    A flight is named by `fingerprint` and `flight`; `number` counts its dispatches (1, 2, …). `flight = 0` means that
    there is none: the cache is off or Redis was away, and only `waiter` is to be answered.
    `hop` is the station of `route` that this message is for; `attempts` counts the calls already made. `failed` are the
    backends that failed it for another reason than their rate: it does not go back to them.
    `moved_from` tells its new worker what it may not have heard yet. `deliveries` is how often former copies of it were
    delivered again because the connection of who held them was lost. `namespace` is that of the cache; None: an older
    coordinator did not say.
    """

    v: int
    fingerprint: str
    flight: int
    number: int
    waiter: Waiter
    params: dict[str, Any]
    route: tuple[Hop, ...]
    op: Op = "chat"
    task: Task = "general"
    hop: int = 0
    attempts: int = 0
    failed: tuple[str, ...] = ()
    moved_from: MovedFrom | None = None
    deliveries: int = 0
    may_read: bool = True
    store_ttl_ms: int = 0
    namespace: str | None = None
    ordering_key: OrderingKey | None = None
    tags: dict[str, str] = {}

    @property
    def work_id(self) -> str:
        """The name of this dispatch; redoing the dispatch keeps it."""
        return f"{self.fingerprint}.{self.flight}.{self.number}" if self.flight else self.waiter.id
