"""What `optimizer backends NAME` shows of one backend. `detail_of` is blocking, and never raises."""

import msgspec

from optimizer_config.model import Backend, BreakerSettings, Config
from optimizer_ops.history.reader import History, HistoryUnavailable
from optimizer_ops.history.views import Totals
from optimizer_ops.live.status import BackendStatus, LiveStatus, Queue
from optimizer_ops.status.errors import Failure, failures_of
from optimizer_ops.status.past import HOUR_S

_CALLS_MOST = 2_000


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """One backend in full. `hour` and `failures` are of the last 60 minutes; `missing` says why there are none."""

    status: BackendStatus
    url: str
    timeout_s: float
    breaker_settings: BreakerSettings
    queues: list[Queue]
    hour: Totals = Totals()
    failures: list[Failure] = []
    missing: str = ""


def detail_of(config: Config, backend: Backend, live: LiveStatus) -> Detail | None:
    """A backend in full; None if it was not looked at."""
    status = next((each for each in live.backends if each.name == backend.name), None)
    if status is None:
        return None
    detail = Detail(
        status=status,
        url=backend.base_url,
        timeout_s=backend.timeout_s,
        breaker_settings=backend.breaker,
        queues=[queue for queue in live.queues if queue.backend == backend.name],
    )
    try:
        history = History.open(config.history_url)
    except HistoryUnavailable as error:
        return msgspec.structs.replace(detail, missing=str(error))
    try:
        since = live.at - HOUR_S
        calls = history.calls(since, limit=_CALLS_MOST, backend=backend.name)
        totals = history.totals(since, backend=backend.name)
    except HistoryUnavailable as error:
        return msgspec.structs.replace(detail, missing=str(error))
    finally:
        history.close()
    return msgspec.structs.replace(detail, hour=totals, failures=failures_of(calls))
