"""Pausing, draining, resuming and unblocking backends and setting their counts.

Each says in a sentence, or in a JSON object, what holds now, and tells it as an event.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from optimizer_config.errors import ConfigError
from optimizer_config.model import Backend, Config
from optimizer_ops.budgets.operator_event import Act, tell
from optimizer_ops.budgets.wanted import configured_count, counts_of, name_of, shown
from optimizer_ops.formatting.units import duration
from optimizer_ops.terminal.output import print_json
from optimizer_service.exit_codes import EXIT_CONFIG, EXIT_UNAVAILABLE
from optimizer_service.lifetime import run
from optimizer_state.settings import Settings
from optimizer_state.store import RedisAway, Store
from optimizer_state.unblocking import unblock

Verb = Literal["pause", "drain", "resume"]
_NOW = {
    "pause": "{0} is paused: no call starts there; what waits moves on along its route, or waits for: "
    "optimizer resume {0}",
    "drain": "{0} is draining: new requests go elsewhere; what already waits for it is still served.",
    "resume": "{0} takes requests and calls again.",
}


_MODES: dict[Verb, Act] = {"pause": "paused", "drain": "draining", "resume": "resumed"}


class Changed(msgspec.Struct, frozen=True):
    """What `--json` prints: which backend, what was to be done, whether that changed something, and what holds now.

    `untold` is why those who listen to events were not told, if so.
    """

    backend: str
    act: Act
    changed: bool
    message: str
    untold: str | None = None


class _Unchanged(Exception):
    """There was nothing to change; the message says what holds."""


def mode(config: Config, name: str, verb: Verb, *, as_json: bool = False) -> int:
    """Pause, drain or resume a backend; returns the exit code."""

    async def work(store: Store, backend: Backend) -> str:
        await getattr(Settings(store), verb)(backend.name)
        return _NOW[verb].format(backend.name)

    return _change(config, name, _MODES[verb], work, as_json=as_json)


def unblock_backend(config: Config, name: str, *, as_json: bool = False) -> int:
    """Let a backend be tried now that is blocked or whose breaker is open; returns the exit code."""

    async def work(store: Store, backend: Backend) -> str:
        lifted = await unblock(store, backend.name)
        was = [
            f"{word} for {duration(ms / 1000)} more"
            for word, ms in (("blocked", lifted.blocked_ms), ("with an open breaker", lifted.breaker_ms))
            if ms
        ]
        if not was:
            raise _Unchanged(f"{backend.name} was neither blocked nor was its breaker open: nothing is changed.")
        return (
            f"{backend.name}, which was {' and '.join(was)}, is tried with the next call; the others follow when that "
            "was answered. Workers that rest notice it within 15 s."
        )

    return _change(config, name, "unblocked", work, as_json=as_json)


def set_counts(config: Config, name: str, words: Sequence[str], *, as_json: bool = False) -> int:
    """Set the counts in `rpm=20 tpm=500`; returns the exit code."""

    async def work(store: Store, backend: Backend) -> str:
        counts = counts_of(backend, words)
        await Settings(store).set_limits(backend.name, counts)
        return f"{backend.name}: {', '.join(_held(backend, limit, count) for limit, count in counts.items())}."

    return _change(config, name, "limits_set", work, as_json=as_json)


def reset_counts(config: Config, name: str, limits: Sequence[str], *, as_json: bool = False) -> int:
    """Take back what was set, for these limits or for all; returns the exit code."""

    async def work(store: Store, backend: Backend) -> str:
        settings = Settings(store)
        held = (await settings.of([backend.name]))[backend.name].limits
        wanted = [limit if limit in held else name_of(backend, limit) for limit in limits] or list(held)
        if not wanted:
            raise _Unchanged(f"{backend.name}: nothing was set; the configured counts hold.")
        await settings.unset_limits(backend.name, wanted)
        return f"{backend.name}: {', '.join(_configured(backend, limit) for limit in wanted)}."

    return _change(config, name, "limits_reset", work, as_json=as_json)


def _held(backend: Backend, limit: str, count: int) -> str:
    configured = configured_count(backend, limit)
    return f"{limit} is now {shown(backend, limit, count)} (configured: {shown(backend, limit, configured)})"


def _configured(backend: Backend, limit: str) -> str:
    try:
        return f"{limit} is {shown(backend, limit, configured_count(backend, limit))} again, as configured"
    except ConfigError:
        return f"{limit} is no longer set"  # it was set when the configuration still had it


def _change(
    config: Config, name: str, act: Act, work: Callable[[Store, Backend], Awaitable[str]], *, as_json: bool
) -> int:
    async def change() -> int:
        store = Store(config.redis_url, config.prefix)
        try:
            backend = config.backend(name)
            sentence = await work(store, backend)
            if not as_json:
                print(sentence, flush=True)
            untold = await tell(config, store, backend.name, act, sentence)
            if as_json:
                print_json(Changed(backend.name, act, changed=True, message=sentence, untold=untold or None))
        except _Unchanged as nothing:
            if as_json:
                print_json(Changed(name, act, changed=False, message=str(nothing)))
            else:
                print(nothing)
            return 0
        except ConfigError as error:
            print(f"optimizer: {error}", file=sys.stderr)
            return EXIT_CONFIG
        except RedisAway as error:
            print(f"optimizer: Nothing was changed. {error}", file=sys.stderr)
            return EXIT_UNAVAILABLE
        finally:
            await store.close()
        if untold:
            print(f"optimizer: warning: {untold}", file=sys.stderr)
        return 0

    return run(change())
