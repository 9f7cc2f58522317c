"""What is wrong, what was wrong, and how those do who keep watch."""

import time

from starlette.requests import Request
from starlette.responses import Response

from optimizer_ops.dashboard.pages.render import Asked, page, sources_of
from optimizer_ops.dashboard.pages.spans import SPANS
from optimizer_ops.history.reader import History

# A recorder writes at least this often, if only that it is there.
LATE_S = 30.0


async def health(request: Request) -> Response:
    """`/health-and-alerts`"""
    sources, asked = sources_of(request), Asked()
    recording, alerts = await asked.all(
        sources.ask(History.recording),
        sources.ask(History.alerts, SPANS["30d"].since(time.time())),
    )
    return await page(
        request,
        "health.html",
        recording=recording,
        late_s=LATE_S,
        lasting=[each for each in alerts or [] if each.until is None],
        past=[each for each in alerts or [] if each.until is not None][:100],
        hub=sources.hub,
        trouble=asked.trouble,
    )
