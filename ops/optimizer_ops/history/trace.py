"""The whole way of one request, step by step, from the rows that tell of it. Pure."""

from collections.abc import Iterator, Sequence

from optimizer_ops.history.segments import segments
from optimizer_ops.history.verdict import missing, seconds, verdict
from optimizer_ops.history.views import CallRow, Happening, RequestRow, Step, Trace

_BREAKER = "optimizer.circuit_breaker."
# Told of a backend, not of a request.
OF_BACKENDS = ("optimizer.rate_limit", f"{_BREAKER}open", f"{_BREAKER}half_open", f"{_BREAKER}closed")

_Part = tuple[float, str, str, str]


def trace_of(
    request: RequestRow,
    leader: RequestRow | None,
    calls: Sequence[CallRow],
    own: Sequence[Happening],
    around: Sequence[Happening],
    now: float,
) -> Trace:
    """The way of a request.

    `leader` is the request that led its flight, if that is another one; `own` are the events of the request and its
    flight, `around` those of the backends that were called for it, while it waited.
    """
    parts = [
        _asked(request),
        *_flight(request, leader),
        *(part for number, call in enumerate(calls, 1) for part in _call(number, call)),
        *(part for each in own for part in _happened(each)),
        *(part for each in around for part in _around(each)),
        *_end(request, calls),
    ]
    steps = [
        Step(at=at, after_ms=(at - request.asked) * 1000, what=what, where=where, detail=detail)
        for at, what, where, detail in sorted(parts, key=lambda part: part[0])
    ]
    spent = segments(request, calls, own, now)
    return Trace(request=request, calls=list(calls), steps=steps, verdict=verdict(request, leader, calls, spent, now))


def _asked(request: RequestRow) -> _Part:
    size = "" if request.prompt_chars is None else f", {request.prompt_chars:,} characters"
    return request.asked, "asked", request.agent, f"{request.op}, {request.task or 'no task'}, {request.priority}{size}"


def _flight(request: RequestRow, leader: RequestRow | None) -> Iterator[_Part]:
    if request.source == "collapsed":
        detail = "" if leader is None else f"of request {leader.id}, which {leader.agent} asked"
        yield request.asked, "joined a call", "", detail
    elif request.source == "backend":
        yield request.asked, "led a call", "", "of its own: there was none that it could join"
    if leader is not None:
        yield leader.asked, "leader asked", leader.agent, leader.id


def _call(number: int, call: CallRow) -> Iterator[_Part]:
    where = f"{call.backend}/{call.model}"
    waited_s = (call.waited_ms or 0) / 1000
    why = missing(call.waited_for)
    if waited_s >= 0.01:
        yield call.started - waited_s, "got in line", call.backend, f"for {seconds(waited_s)}" + (why and f": {why}")
    yield call.started, f"call {number} began", where, call.worker
    if call.ended is None:
        return
    lasted = seconds((call.call_ms or 0) / 1000) if call.call_ms else seconds(call.ended - call.started)
    if call.outcome == "answered":
        tokens = f"{call.input_tokens or 0:,} + {call.output_tokens or 0:,} tokens"
        cost = "price unknown" if call.cost_usd is None else f"${call.cost_usd:.6f}"
        yield call.ended, f"call {number} answered", where, f"after {lasted}: {tokens}, {cost}"
    else:
        status = f" (HTTP {call.status})" if call.status else ""
        said = f": {call.message}" if call.message else ""
        yield call.ended, f"call {number} {call.outcome}", where, f"after {lasted}{status}{said}"


def _happened(each: Happening) -> Iterator[_Part]:
    where, message = each.backend or "", each.message or ""
    after = "" if not each.retry_after_s else f" in {seconds(each.retry_after_s)}"
    match each.type, each.outcome:
        case "optimizer.retry", _:
            yield each.at, "goes on", where, f"{message}{after}"
        case "optimizer.rate_limit", "moved":
            yield each.at, "moved on", where, message
        case "optimizer.rate_limit", _:
            rest = f"nobody calls it for {seconds(each.retry_after_s)}" if each.retry_after_s else message
            yield each.at, "rate refused", where, rest
        case "optimizer.quota", "waiting":
            yield each.at, "waits for a quota", "", f"{message}{after and f' There is room{after}.'}"
        case "optimizer.quota", _:
            yield each.at, "refused by a quota", "", message
        case "optimizer.dead", _:
            yield each.at, "became a dead letter", "", message


def _around(each: Happening) -> Iterator[_Part]:
    if each.type.startswith(_BREAKER):
        yield each.at, f"breaker {each.type.removeprefix(_BREAKER)}", each.backend or "", each.message or ""
    elif each.outcome == "waiting":
        yield each.at, "calls wait", each.backend or "", each.message or ""


def _end(request: RequestRow, calls: Sequence[CallRow]) -> Iterator[_Part]:
    if request.ended is None:
        return
    where = f"{request.backend}/{request.model}" if request.backend else ""
    after = seconds(request.ended - request.asked)
    if request.outcome != "answered":
        yield request.ended, f"ended: {request.outcome}", where, request.message or ""
    elif request.source == "cache":
        age = "" if request.age_s is None else f", the answer was {seconds(request.age_s)} old"
        yield request.ended, "answered from the cache", where, f"after {after}{age}"
    else:
        told = next((call.waiters for call in calls if call.outcome == "answered" and call.waiters), 1)
        others = f", and {told - 1} more with it" if told > 1 else ""
        yield request.ended, "answered", where, f"after {after}{others}"
