"""What a run came to, and the verdict. Pure; `--json` writes this record."""

from collections.abc import Sequence

import msgspec

from optimizer_ops.demo.bookkeeping import Books
from optimizer_ops.demo.request_log import BackendRecord
from optimizer_ops.demo.score import Score, percentile

ANSWERED_AT_LEAST = 0.99
CUT_OFF = "cut off"


class Latency(msgspec.Struct, frozen=True):
    """Percentiles in milliseconds as the agents saw them; None where there is nothing to measure."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None
    longest: float | None


class WindowUse(msgspec.Struct, frozen=True):
    """A limit: at most `limit` requests within `per_s`; `most` arrived in the fullest window."""

    name: str
    limit: int
    per_s: float
    most: int

    @property
    def held(self) -> bool:
        """Whether the limit was kept."""
        return self.most <= self.limit


class BackendResult(msgspec.Struct, frozen=True):
    """What one backend saw, by its own request log; only the cost is what the optimizer's events told.

    `statuses` counts the calls by what they were answered with; those whose caller was gone are `cut off`.
    """

    name: str
    workers: int
    calls: int
    statuses: dict[str, int]
    input_tokens: int
    output_tokens: int
    cost_usd: float
    windows: list[WindowUse]
    concurrency: WindowUse

    @property
    def failed(self) -> int:
        """How many calls ended without an answer."""
        return sum(count for status, count in self.statuses.items() if status != "200")


class Verdict(msgspec.Struct, frozen=True):
    """One of the conditions of a good run."""

    ok: bool
    sentence: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Shares are between 0 and 1; `saved_share` is 1 − upstream calls ÷ answers.

    `prefix` is what the run's queues and keys began with; `troubles` are what was done to it.
    """

    ok: bool
    prefix: str
    interrupted: bool
    seconds: float
    agents: int
    requests: int
    answered: int
    wrong: int
    errors: dict[str, int]
    unanswered: int
    cache_hits: int
    collapsed: int
    upstream_calls: int
    distinct_questions: int
    repeats_share: float
    saved_share: float
    latency_ms: dict[str, Latency]
    cost_usd: float
    cost_saved_usd: float
    unpriced_calls: int
    backends: list[BackendResult]
    troubles: list[str]
    verdicts: list[Verdict]
    books: Books | None = None


def judge(
    score: Score,
    records: Sequence[BackendRecord],
    *,
    prefix: str,
    seconds: float,
    agents: int,
    books: Books | None = None,
    troubles: Sequence[str] = (),
    interrupted: bool = False,
) -> Result:
    """The result of a run that is over."""
    backends = [_backend(record, score) for record in records]
    upstream = sum(backend.calls for backend in backends)
    verdicts = [_answered(score, interrupted=interrupted), _right(score), _within_limits(backends)]
    if not interrupted:
        verdicts.append(_in_the_books(books, backends))
    return Result(
        ok=not interrupted and all(verdict.ok for verdict in verdicts),
        prefix=prefix,
        interrupted=interrupted,
        seconds=seconds,
        agents=agents,
        requests=score.requests,
        answered=score.answered,
        wrong=len(score.wrong),
        errors=dict(score.errors),
        unanswered=score.waiting,
        cache_hits=score.count("cache"),
        collapsed=score.count("collapsed"),
        upstream_calls=upstream,
        distinct_questions=len(score.asked),
        repeats_share=score.repeats_share,
        saved_share=saved_share(upstream, score.answered),
        latency_ms={
            "all": _latency(score.all_latencies_ms),
            **{source: _latency(times) for source, times in score.latencies_ms.items()},
        },
        cost_usd=score.total_cost_usd,
        cost_saved_usd=score.saved_cost_usd,
        unpriced_calls=score.unpriced,
        backends=backends,
        troubles=list(troubles),
        verdicts=verdicts,
        books=books,
    )


def saved_share(upstream_calls: int, answered: int) -> float:
    """The share of the answers that no call was made for; calls that failed count as made."""
    return max(0.0, 1.0 - upstream_calls / answered) if answered else 0.0


def _latency(times: list[float]) -> Latency:
    return Latency(len(times), *(percentile(times, share) for share in (0.5, 0.95, 0.99, 1.0)))


def _backend(record: BackendRecord, score: Score) -> BackendResult:
    backend = record.backend
    statuses = {str(status): count for status, count in sorted(record.statuses.items())}
    if record.unanswered:
        statuses[CUT_OFF] = record.unanswered
    return BackendResult(
        name=backend.name,
        workers=backend.workers,
        calls=record.calls,
        statuses=statuses,
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cost_usd=score.cost_usd[backend.name],
        windows=[WindowUse(w.name, w.count, w.per_s, record.most(w)) for w in backend.windows],
        concurrency=WindowUse("concurrency", backend.concurrency, 0.0, record.most_at_once()),
    )


def _answered(score: Score, *, interrupted: bool) -> Verdict:
    if interrupted:
        unanswered = f"{score.waiting:,} of {score.requests:,} requests had no answer yet when the demo was stopped."
        return Verdict(ok=not score.errors, sentence=unanswered)
    if not score.requests:
        return Verdict(ok=False, sentence="No request was made.")
    share = score.answered / score.requests
    words = f"{score.answered:,} of {score.requests:,} requests got an answer ({_percent(share)})"
    if share < ANSWERED_AT_LEAST:
        return Verdict(ok=False, sentence=f"Only {words}; at least {ANSWERED_AT_LEAST:.0%} must.")
    return Verdict(ok=True, sentence=f"{words}.")


def _right(score: Score) -> Verdict:
    if score.wrong:
        example = score.wrong[0].text.splitlines()[0][:60]
        return Verdict(
            ok=False,
            sentence=f"{len(score.wrong):,} answers belong to another question, for example the one to “{example}”.",
        )
    return Verdict(ok=True, sentence="Every answer belongs to its question.")


def _within_limits(backends: Sequence[BackendResult]) -> Verdict:
    broken = [
        f"{backend.name} saw {use.most} {f'calls within {use.per_s:g} s' if use.per_s else 'calls at once'}, "
        f"its limit is {use.limit}"
        for backend in backends
        for use in (*backend.windows, backend.concurrency)
        if not use.held
    ]
    if broken:
        return Verdict(ok=False, sentence=f"A limit was exceeded: {'; '.join(broken)}.")
    return Verdict(ok=True, sentence="No window of any request log exceeds its limit.")


def _in_the_books(books: Books | None, backends: Sequence[BackendResult]) -> Verdict:
    calls = sum(backend.calls for backend in backends)
    tokens = sum(backend.input_tokens + backend.output_tokens for backend in backends)
    if books is None:
        return Verdict(ok=False, sentence="There is no history of the run: see the log of the recorder.")
    words = f"{books.calls:,} calls and {books.tokens:,} tokens"
    if not books.agree(calls, tokens):
        return Verdict(
            ok=False, sentence=f"The history has {words}, the request logs {calls:,} and {tokens:,}; {books.lost} lost."
        )
    died = f"; of {books.unknown} that died with their worker the use is unknown" if books.unknown else ""
    return Verdict(ok=True, sentence=f"The history agrees with the request logs: {words}{died}.")


def _percent(share: float) -> str:
    """Never rounded up to a whole."""
    return f"{int(share * 1000) / 10:g}%"
