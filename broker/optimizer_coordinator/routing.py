"""Which backends may serve a request, in which order. Pure: who is alive is passed in."""

from collections.abc import Iterable
from difflib import get_close_matches

from optimizer_config.model import Backend, Config
from optimizer_wire.errors import BackendUnavailable, UnknownModel
from optimizer_wire.messages import Hop, Op, Task


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

    def route(self, model: str, task: Task, op: Op, alive: frozenset[str] | None) -> tuple[Hop, ...]:
        """The stations for a request: backends with a live worker first, the order of the route otherwise.

        `alive` is None while nobody knows: then every backend counts as alive.

        :raises UnknownModel: if nothing has this name.
        :raises BackendUnavailable: if nothing that could serve it runs or is configured to run.
        """
        hops = tuple(dict.fromkeys(self._hops(model, task, op, alive)))
        served = [hop for hop in hops if alive is None or hop.backend in alive]
        # A configured backend without a worker has a queue: a call may wait there until its worker is back.
        waiting = [hop for hop in hops if hop not in served and hop.backend in self._config.configured]
        if not served and not waiting:
            names = ", ".join(dict.fromkeys(hop.backend for hop in hops)) or "any backend"
            example = hops[0].backend if hops else "groq"
            raise BackendUnavailable(f"No worker of {names} is running; start one with: optimizer worker {example}")
        return (*served, *waiting)

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

    def _unknown(self, model: str) -> UnknownModel:
        known = ["auto", *self._config.models, *self._backends, *(m for b in self._backends.values() for m in b.models)]
        close = get_close_matches(model, known, n=1, cutoff=0.75)
        hint = f" Did you mean {close[0]!r}?" if close else " Name an alias, a backend, or backend/model."
        return UnknownModel(f"No backend, alias or model is called {model[:80]!r}.{hint}")
