"""What operators change while the fleet runs: a backend paused or draining, and other counts of its limits.

One hash a backend beside its budget, `<prefix>:{backend:<name>}:settings`. Every reservation reads it in the step that
decides, so that a change holds for the next one of any worker. It has no time to live: what was set stays until it is
taken back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from optimizer_state.scripts import Step, backend_key
from optimizer_state.store import Store

Mode = Literal["paused", "draining"]

MODE = "mode"
LIMIT = "limit:"


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """What is set for one backend: no mode is the usual work; `limits` are counts in place of the configured ones."""

    mode: Mode | None = None
    limits: dict[str, int] = field(default_factory=dict)


class Settings:
    """The settings of all backends of one deployment. Every method raises `RedisAway`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def pause(self, backend: str) -> None:
        """Let no call start at this backend: what waits moves to another backend of its route, or waits."""
        await self._store.command("HSET", self._key(backend), MODE, "paused")

    async def drain(self, backend: str) -> None:
        """Route no new request to this backend; what already waits for it is still served."""
        await self._store.command("HSET", self._key(backend), MODE, "draining")

    async def resume(self, backend: str) -> None:
        """Undo `pause` and `drain`."""
        await self._store.command("HDEL", self._key(backend), MODE)

    async def set_limits(self, backend: str, counts: dict[str, int]) -> None:
        """Let these counts hold in place of the configured ones, by the name of the limit; all of them, or none."""
        words = (word for name, count in counts.items() for word in (LIMIT + name, count))
        await self._store.command("HSET", self._key(backend), *words)

    async def unset_limits(self, backend: str, names: Iterable[str]) -> None:
        """Let the configured counts of these limits hold again."""
        await self._store.command("HDEL", self._key(backend), *(LIMIT + name for name in names))

    async def of(self, backends: Iterable[str]) -> dict[str, BackendSettings]:
        """What is set for each of these backends, in one round trip."""
        names = list(backends)
        replies = await self._store.run([Step("settings", self._base(name), ()) for name in names])
        return {name: settings_of(reply) for name, reply in zip(names, replies, strict=True)}

    def _base(self, backend: str) -> str:
        return backend_key(self._store.prefix, backend)

    def _key(self, backend: str) -> str:
        return f"{self._base(backend)}:settings"


def settings_of(reply: list[bytes]) -> BackendSettings:
    """The settings in the fields and values of the hash."""
    found = {name.decode(): value.decode() for name, value in zip(reply[::2], reply[1::2], strict=True)}
    limits = {name.removeprefix(LIMIT): int(count) for name, count in found.items() if name.startswith(LIMIT)}
    return BackendSettings(mode_of(found.get(MODE, "")), limits)


def mode_of(word: str) -> Mode | None:
    """The mode that a word means; None for any that is not known, as for none."""
    return next((mode for mode in get_args(Mode) if mode == word), None)
