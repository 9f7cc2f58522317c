"""Looking at the quotas of agents, tenants and the fleet. It changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from optimizer_config.model import Limit
from optimizer_config.model import Quotas as Settings
from optimizer_state.fleet_view import look_of
from optimizer_state.levels import LimitLevel, limit_level
from optimizer_state.scripts import Step
from optimizer_state.store import Store
from optimizer_state.windows import Window, windows_of

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class QuotaLevel:
    """One quota: whose (`fleet`, or `tenant` and `agent` with a name), its level, at `at_ms` of Redis' clock.

    `who` of an agent is `<tenant>/<agent>`.
    """

    subject: str
    who: str
    level: LimitLevel
    at_ms: int


class QuotaReader:
    """Looks at the quotas that are configured. Raises `RedisAway`."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._key = f"{store.prefix}:{{quota}}"

    async def levels(self) -> list[QuotaLevel]:
        """The quotas of everybody who used something of one in its window, those of which most is used first."""
        windows = [window for name in await self._names() if (window := self._window(name)) is not None]
        found: list[QuotaLevel] = []
        for first in range(0, len(windows), _AT_ONCE):
            found += await self._look(windows[first : first + _AT_ONCE])
        used = [each for each in found if each.level.used or each.level.reserved]
        return sorted(used, key=lambda each: (each.level.left / each.level.count, each.subject, each.who))

    async def _look(self, windows: list[Window]) -> list[QuotaLevel]:
        (reply,) = await self._store.run([Step("look", self._key, ("", *(window.name for window in windows)))])
        look = look_of(reply, windows, 0)
        levels = (limit_level(each, look.view.levels[each.name], look, look.view.seen_ms) for each in windows)
        return [
            QuotaLevel(subject, who, replace(level, name=limit), look.view.seen_ms)
            for level in levels
            for subject, who, limit in (_parts(level.name),)
        ]

    async def _names(self) -> list[str]:
        """The names of all windows in which something is counted."""
        begin, cursor, names = f"{self._key}:window:", 0, set()
        while True:
            cursor, keys = await self._store.command("SCAN", cursor, "MATCH", f"{begin}*", "COUNT", 1_000)
            names |= {key.decode().removeprefix(begin) for key in keys}
            if not int(cursor):
                return sorted(names)

    def _window(self, name: str) -> Window | None:
        """The window of a name; None if its quota is no longer configured."""
        subject, who, wanted = _parts(name)
        for window in windows_of(self._limits(subject, who)):
            if window.name == wanted:
                return replace(window, name=name)
        return None

    def _limits(self, subject: str, who: str) -> Iterable[Limit]:
        if subject == "agent":
            return self._settings.limits_of(who.partition("/")[2])
        return self._settings.limits.get(subject, ())  # type: ignore[call-overload,no-any-return]


def _parts(name: str) -> tuple[str, str, str]:
    """Subject, who, and limit: `fleet:rpm`, `tenant:blue:rpm`, `agent:blue/anna:rpm`."""
    subject, _, rest = name.partition(":")
    who, _, limit = rest.rpartition(":")
    return subject, who, limit
