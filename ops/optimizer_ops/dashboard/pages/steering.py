"""What can be changed of a backend from its page, with the token: paused, drained, resumed, unblocked."""

from typing import Literal

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from optimizer_config.errors import ConfigError
from optimizer_ops.budgets.operator_event import Act, tell
from optimizer_ops.dashboard.filters import with_
from optimizer_ops.dashboard.pages.forms import BadForm, form_of
from optimizer_ops.dashboard.pages.render import not_done, sources_of
from optimizer_service.logs import logger
from optimizer_state.settings import Settings
from optimizer_state.store import RedisAway, Store
from optimizer_state.unblocking import unblock

Verb = Literal["pause", "drain", "resume", "unblock"]
_ACTS: dict[str, Act] = {"pause": "paused", "drain": "draining", "resume": "resumed", "unblock": "unblocked"}


async def steer_backend(request: Request) -> Response:
    """`POST /backends/steer`: `backend` and `verb`."""
    sources = sources_of(request)
    try:
        form = await form_of(request)
        backend, verb = sources.config.backend(form.get("backend", "")), form.get("verb", "")
        if verb not in _ACTS:
            raise BadForm(f"A backend can be told to {', '.join(_ACTS)}.")
        await _do(sources.store, backend.name, verb)
    except (BadForm, ConfigError) as error:
        return not_done(str(error), 400, "/backends")
    except RedisAway as error:
        return not_done(f"Nothing was changed. {error}", 503, "/backends")
    act = _ACTS[verb]
    untold = await tell(
        sources.config, sources.store, backend.name, act, f"{backend.name} {act}, through the dashboard."
    )
    logger("dashboard").info("steered", backend=backend.name, act=act, untold=untold)
    sources.cached.forget()
    return RedirectResponse(f"/backends/of?{with_({}, name=backend.name, said=verb)}", 303)


async def _do(store: Store, backend: str, verb: str) -> None:
    if verb == "unblock":
        await unblock(store, backend)
    else:
        await getattr(Settings(store), verb)(backend)
