"""When a whole route is out: none of its backends has a worker, or it is known not to answer. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optimizer_coordinator.routing import Shut

# A backend that is blocked for less merely said "slow down".
PARKED_MS = 60_000
# At the start of a fleet its workers are on their way.
FIRST_MS = 10_000
BREAKER, BLOCKED = "breaker", "blocked"


@dataclass(frozen=True, slots=True)
class Outage:
    """The routes (or aliases) whose backends are all out, and why. `back_ms`: when one may be back, if known."""

    backends: tuple[str, ...]
    routes: tuple[str, ...]
    reason: str
    back_ms: int | None = None

    @property
    def message(self) -> str:
        """The sentence for people."""
        names = ", ".join(self.routes)
        return f"Nothing serves {'the route' if len(self.routes) == 1 else 'the routes'} {names}: {self.reason}."


class Outages:
    """Notices when routes go out and when they are back."""

    def __init__(self, routes: Mapping[str, Sequence[str]]) -> None:
        named: dict[tuple[str, ...], list[str]] = {}
        for name, backends in routes.items():
            named.setdefault(tuple(sorted(backends)), []).append(name)
        self._routes = {backends: tuple(names) for backends, names in named.items()}
        self._parked: set[str] = set()
        self._since_ms: int | None = None
        self._up: set[tuple[str, ...]] = set()
        self._down: set[tuple[str, ...]] = set()

    @property
    def down(self) -> frozenset[tuple[str, ...]]:
        """The backends of each route that is out."""
        return frozenset(self._down)

    def look(
        self, alive: frozenset[str], stopped: Mapping[str, Shut], now_ms: int
    ) -> tuple[list[Outage], list[tuple[str, ...]]]:
        """What went out since the last look, and what is back. `stopped`: backends that begin no call for now."""
        self._since_ms = self._since_ms or now_ms
        reasons = {name: self._reason(name, alive, stopped.get(name), now_ms) for each in self._routes for name in each}
        gone, back = [], []
        for backends, routes in self._routes.items():
            whys = [f"{name} {why}" for name in backends if (why := reasons[name])]
            if len(whys) < len(backends):
                self._up.add(backends)
                if backends in self._down:
                    self._down.discard(backends)
                    back.append(backends)
            elif backends not in self._down and (backends in self._up or now_ms - self._since_ms >= FIRST_MS):
                self._down.add(backends)
                untils = [stopped[name].until_ms for name in backends if name in alive]
                gone.append(Outage(backends, routes, ", ".join(whys), min(untils, default=None)))
        return gone, back

    def _reason(self, name: str, alive: frozenset[str], shut: Shut | None, now_ms: int) -> str | None:
        """Why a backend is out, in words, or None."""
        blocked = shut is not None and shut.reason == BLOCKED
        parked = shut is not None and blocked and (name in self._parked or shut.until_ms >= now_ms + PARKED_MS)
        (self._parked.add if parked else self._parked.discard)(name)
        if name not in alive:
            return "has no worker"
        if shut is None or not (parked or shut.reason == BREAKER):
            return None
        for_s = max(0, shut.until_ms - now_ms) / 1000
        return f"failed too often and is left alone for {for_s:.0f} s" if not parked else f"is parked for {for_s:.0f} s"
