"""The stored answers: how many, of whom; and, with the token, flushing them."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from optimizer_ops.cache.flush import flush
from optimizer_ops.cache.flush_event import tell
from optimizer_ops.cache.stats import DIMENSIONS, look
from optimizer_ops.dashboard.filters import with_
from optimizer_ops.dashboard.pages.forms import BadForm, form_of
from optimizer_ops.dashboard.pages.render import not_done, page, sources_of
from optimizer_ops.formatting.ages import age_s
from optimizer_service.logs import logger
from optimizer_state.selection import Selection
from optimizer_state.store import RedisAway
from optimizer_wire.ids import new_id

_SOURCE = f"dashboard/{new_id()[-12:]}"
# Looking through the keys of Redis is work for it: seldom, however many watch.
_FRESH_S = 5.0
_SHOWN = ("task", "model", "agent", "tenant")


async def cache(request: Request) -> Response:
    """`/cache`"""
    sources, query = sources_of(request), request.query_params
    try:
        stats = await sources.cached.get("cache-stats-page", lambda: look(sources.store), fresh_s=_FRESH_S)
        trouble = None
    except RedisAway as error:
        stats, trouble = None, f"What is stored cannot be seen. {error}"
    number = query.get("answers", "")
    return await page(
        request,
        "cache.html",
        stats=stats,
        shown=_SHOWN,
        dimensions=DIMENSIONS,
        chosen={name: query.get(name, "") for name in ("by", "value", "older_than")},
        answers=int(number) if number.isascii() and number.isdigit() and len(number) < 12 else None,
        counted="counted" in query,
        trouble=trouble,
    )


async def flush_cache(request: Request) -> Response:
    """`POST /cache/flush`: `by` and `value`, `older_than`, and `act`: count or flush."""
    sources = sources_of(request)
    try:
        form = await form_of(request)
        what, older_than_s = _meant(form)
        only_count = form.get("act") != "flush"
        tally = await flush(sources.store, what, older_than_s=older_than_s, dry_run=only_count)
    except (BadForm, ValueError) as error:
        return not_done(str(error), 400, "/cache")
    except RedisAway as error:
        return not_done(f"Not everything that is meant may have been removed. {error}", 503, "/cache")
    if not only_count:
        sources.cached.forget()
        untold = await tell(sources.config, sources.store, tally, _SOURCE)
        log = logger("dashboard")
        log.info("flushed", answers=tally.answers, what=what.words(), older_than_s=older_than_s, untold=untold)
    there: dict[str, Any] = {name: form.get(name, "") for name in ("by", "value", "older_than")} if only_count else {}
    return RedirectResponse(
        f"/cache?{with_(there, answers=str(tally.answers), counted='1' if only_count else '')}", 303
    )


def _meant(form: dict[str, str]) -> tuple[Selection, int | None]:
    """What is to be flushed.

    :raises BadForm: if nothing is named, or something that answers have not.
    :raises ValueError: if the age is none, with a sentence.
    """
    by, value, age = (form.get(name, "").strip() for name in ("by", "value", "older_than"))
    older_than_s = age_s(age) if age else None
    if by == "all":
        return Selection(), older_than_s
    if by not in DIMENSIONS:
        raise BadForm(f"Answers are flushed by {', '.join(DIMENSIONS)}, or all of them.")
    if not value and by != "namespace":
        raise BadForm(f"Name the {by} whose answers are to be flushed, or choose all answers.")
    return Selection(**{by: value}), older_than_s
