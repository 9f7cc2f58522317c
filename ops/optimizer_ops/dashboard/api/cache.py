"""`/optimization/cache-stats`, `POST /api/cache/flush`: the stored answers."""

import asyncio
import socket
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from optimizer_ops.cache.flush import FlushTally, flush
from optimizer_ops.cache.flush_event import tell
from optimizer_ops.cache.stats import look
from optimizer_ops.dashboard.api.answers import CacheStatsAnswer, Sums, sums_of
from optimizer_ops.dashboard.api.endpoint import Asked, Endpoint
from optimizer_ops.dashboard.api.errors import invalid
from optimizer_ops.dashboard.api.looking import totals
from optimizer_ops.dashboard.api.spans import END, Name, Span, SpanQuery, span_of
from optimizer_ops.formatting.ages import age_s
from optimizer_ops.history.reader import HistoryUnavailable
from optimizer_service.logs import logger
from optimizer_state.selection import Selection
from optimizer_wire.messages import Task

_WHO = f"the HTTP API on {socket.gethostname()}"
_Fingerprint = Annotated[str, msgspec.Meta(pattern=rf"^[0-9a-f]{{4,32}}{END}", description="Whole, or how it begins.")]
_Namespace = Annotated[str, msgspec.Meta(max_length=200, description="'' is the usual one.")]
_Age = Annotated[
    str, msgspec.Meta(pattern=rf"^[0-9]{{1,6}}[smhd]{END}", description="Stored so long ago: 15m, 2h, 7d.")
]


class Meant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Stored answers that have all of these properties; at least one is to be given."""

    fingerprint: _Fingerprint | UnsetType = UNSET
    namespace: _Namespace | UnsetType = UNSET
    tenant: Name | UnsetType = UNSET
    agent: Name | UnsetType = UNSET
    model: Name | UnsetType = UNSET
    backend: Name | UnsetType = UNSET
    task: Task | UnsetType = UNSET
    older_than: _Age | UnsetType = UNSET


class FlushWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to flush: `"all"`, or what is meant. `dry_run` only counts."""

    what: Literal["all"] | Meant
    dry_run: bool = False


async def cache_stats(asked: Asked) -> CacheStatsAnswer:
    """What is stored, and what it spared."""
    span = await span_of(asked)
    stored, sums = await asyncio.gather(
        asked.sources.cached.get("cache-stats", lambda: look(asked.sources.store)), _sums(asked, span)
    )
    return CacheStatsAnswer(stored=stored, span=span, sums=sums)


async def _sums(asked: Asked, span: Span) -> Sums | None:
    try:
        return sums_of(await totals(asked, span))
    except HistoryUnavailable:
        return None


async def flush_cache(asked: Asked) -> FlushTally:
    """Remove stored answers."""
    wish: FlushWish = asked.body
    what, older_than_s = _meant(wish.what)
    tally = await flush(asked.sources.store, what, older_than_s=older_than_s, dry_run=wish.dry_run)
    if not wish.dry_run:
        asked.sources.cached.forget()
        untold = await tell(asked.sources.config, asked.sources.store, tally, _WHO)
        log = logger("dashboard")
        log.info("flushed", answers=tally.answers, what=what.words(), older_than_s=older_than_s, untold=untold)
    return tally


def _meant(what: "Literal['all'] | Meant") -> tuple[Selection, int | None]:
    if what == "all":
        return Selection(), None
    given = {name: value for name, value in msgspec.structs.asdict(what).items() if value is not UNSET}
    if not given:
        raise invalid('Nothing is named in `what`: name what is meant, or say "all".')
    older_than = given.pop("older_than", None)
    return Selection(**given), None if older_than is None else age_s(older_than)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/optimization/cache-stats",
        "cache",
        "What is stored, of whom, and what it spared",
        cache_stats,
        CacheStatsAnswer,
        SpanQuery,
        needs=("redis",),
        details="Counts are estimated from 10,000 keys of Redis unless it holds fewer.",
    ),
    Endpoint(
        "POST",
        "/api/cache/flush",
        "cache",
        "Remove stored answers",
        flush_cache,
        FlushTally,
        body=FlushWish,
        needs=("redis",),
        details="Answers when nothing is answered any more from what was flushed: after about three seconds, and half "
        "a minute for a million answers.",
    ),
)
