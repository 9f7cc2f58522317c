"""Which backends may serve a request, in which order. Pure: what is known of the fleet is passed in.

The written order is the preference. A backend that another one of the route can answer for clearly sooner goes behind
it, and one that an operator paused or drains gets no new requests while another one of the route lives.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from optimizer_config.model import Backend, Config
from optimizer_state.outlook import CLEARLY_MS, RESTART_MS
from optimizer_wire.errors import BackendUnavailable, UnknownModel
from optimizer_wire.messages import Hop, Op, Task


@dataclass(frozen=True, slots=True)
class Shut:
    """A backend that surely begins no new call before `until_ms`, because of `reason`."""

    until_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class View:
    """What is known of the fleet, at `now_ms`.

    `alive`: backends with a live worker, None while nobody knows: then every one counts. `aside`: those that operators
    paused or drain. `ready_ms`: when a backend could take a call sent there now; past means now. `shut`: those that
    surely take none for a while.
    """

    alive: frozenset[str] | None = None
    aside: frozenset[str] = frozenset()
    shut: Mapping[str, Shut] = field(default_factory=dict)
    ready_ms: Callable[[str], int] = lambda _: 0
    now_ms: int = 0


class Router:
    """Routes requests by task or by the model they name."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._backends = config.backends

    def check(self, model: str) -> None:
        """Make sure that something has this name.

        :raises UnknownModel: if nothing has.
        """
        named = model == "auto" or model in self._config.models or model.partition("/")[0] in self._backends
        if not named and not any(model in backend.models for backend in self._backends.values()):
            raise self._unknown(model)

    def route(self, model: str, task: Task, op: Op, view: View) -> tuple[Hop, ...]:
        """The stations for a request: backends with a live worker first, soonest first where it matters.

        :raises UnknownModel: if nothing has this name.
        :raises BackendUnavailable: if nothing that could serve it runs or is configured to run.
        """
        hops = tuple(dict.fromkeys(self._hops(model, task, op, view.alive)))
        served = [hop for hop in hops if view.alive is None or hop.backend in view.alive]
        # A configured backend without a worker has a queue: a call may wait there until its worker is back.
        waiting = [hop for hop in hops if hop not in served and hop.backend in self._config.configured]
        if not served and not waiting:
            names = ", ".join(dict.fromkeys(hop.backend for hop in hops)) or "any backend"
            example = hops[0].backend if hops else "groq"
            raise BackendUnavailable(f"No worker of {names} is running; start one with: optimizer worker {example}")
        open_for_new = [hop for hop in served if hop.backend not in view.aside] or served
        return (*_soonest_first(open_for_new, view), *waiting)

    def shut(self, model: str, task: Task, op: Op, view: View) -> dict[str, Shut] | None:
        """The backends of a route if none of them takes a new call for a while; None if one may.

        A configured one without a worker may have one again in a moment.

        :raises UnknownModel: if nothing has this name.
        """
        if not view.shut:
            return None
        alive = view.alive or frozenset()
        names = dict.fromkeys(hop.backend for hop in self._hops(model, task, op, alive))
        found = {name: view.shut[name] for name in names if name in alive and name in view.shut}
        if not found or any(name in alive and name not in found for name in names):
            return None
        absent = Shut(view.now_ms + RESTART_MS, "no worker")
        return {name: found.get(name, absent) for name in names if name in found or name in self._config.configured}

    def _hops(self, model: str, task: Task, op: Op, alive: frozenset[str] | None) -> Iterable[Hop]:
        if model == "auto":
            return self._by_task(task, op, alive)
        if model in self._config.models:
            return [self._hop(entry) for entry in self._config.models[model]]
        if model in self._backends:
            return [self._hop(model)]
        backend, slash, _ = model.partition("/")
        if slash and backend in self._backends:
            return [self._hop(model)]
        self.check(model)
        return [Hop(b.name, model) for b in self._usable(alive) if model in b.models]

    def _by_task(self, task: Task, op: Op, alive: frozenset[str] | None) -> Iterable[Hop]:
        routes = self._config.routes
        entries = (routes.get("embed") if op == "embed" else None) or routes.get(task) or routes.get("default")
        if entries:
            return [self._hop(entry) for entry in entries]
        # No route is written: whatever runs and costs nothing, in the order of the catalogue.
        return [Hop(b.name, b.default_model) for b in self._usable(alive) if b.kind != "paid"]

    def _usable(self, alive: frozenset[str] | None) -> list[Backend]:
        return [b for b in self._backends.values() if b.name in self._config.configured or b.name in (alive or ())]

    def _hop(self, entry: str) -> Hop:
        backend, _, model = entry.partition("/")
        return Hop(backend, model or self._backends[backend].default_model)

    def routes(self) -> dict[str, tuple[str, ...]]:
        """The backends of every route and alias that is written, by its name."""
        written = {**self._config.routes, **self._config.models}
        if not self._config.routes:
            # Whatever is configured and costs nothing serves.
            written["auto"] = tuple(b.name for b in self._usable(None) if b.kind != "paid")
        names = {name: tuple(entry.partition("/")[0] for entry in entries) for name, entries in written.items()}
        return {name: tuple(dict.fromkeys(backends)) for name, backends in names.items() if backends}

    def _unknown(self, model: str) -> UnknownModel:
        known = ["auto", *self._config.models, *self._backends, *(m for b in self._backends.values() for m in b.models)]
        close = get_close_matches(model, known, n=1, cutoff=0.75)
        hint = f" Did you mean {close[0]!r}?" if close else " Name an alias, a backend, or backend/model."
        return UnknownModel(f"No backend, alias or model is called {model[:80]!r}.{hint}")


def _soonest_first(hops: Iterable[Hop], view: View) -> Iterable[Hop]:
    """The written order, but none before another that can take a call clearly sooner."""
    left = [(hop, max(view.ready_ms(hop.backend), view.now_ms)) for hop in hops]
    while left:
        soon_ms = min(ready_ms for _, ready_ms in left) + CLEARLY_MS
        first = next(index for index, (_, ready_ms) in enumerate(left) if ready_ms <= soon_ms)
        yield left.pop(first)[0]
