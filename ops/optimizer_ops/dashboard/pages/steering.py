"""What can be changed from the pages, with the token: backends paused, drained, resumed."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from optimizer_config.errors import ConfigError
from optimizer_ops.dashboard.pages.forms import BadForm, form_of
from optimizer_ops.dashboard.pages.render import alone, sources_of
from optimizer_ops.dashboard.shown import with_
from optimizer_service.logs import logger
from optimizer_state.settings import Settings
from optimizer_state.store import RedisAway

VERBS = ("pause", "drain", "resume")


async def steer_backend(request: Request) -> Response:
    """`POST /backends/steer`: `backend` and `verb`."""
    sources = sources_of(request)
    try:
        form = await form_of(request)
        backend = sources.config.backend(form.get("backend", ""))
        verb = form.get("verb", "")
        if verb not in VERBS:
            raise BadForm(f"A backend can be told to {', '.join(VERBS)}.")
        await getattr(Settings(sources.store), verb)(backend.name)
    except (BadForm, ConfigError) as error:
        return _not_done(str(error), 400)
    except RedisAway as error:
        return _not_done(f"Nothing was changed. {error}", 503)
    logger("dashboard").info("steered", backend=backend.name, verb=verb)
    sources.cached.forget()
    return RedirectResponse(f"/backends/of?{with_({}, name=backend.name, said=verb)}", 303)


def _not_done(why: str, status: int) -> Response:
    return HTMLResponse(alone("not_done.html", why=why), status)
