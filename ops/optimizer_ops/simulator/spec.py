"""The script of a simulated backend, as data: every field has a default; JSON files and patches may set any of them."""

from pathlib import Path
from typing import Any, Literal

import msgspec

HeaderStyle = Literal["none", "openai", "groq", "cerebras", "mistral", "anthropic", "together", "gemini"]
Dimension = Literal["requests", "tokens", "input", "output"]

FAULTS = (
    "ok",
    "hang",
    "hang_after_headers",
    "hold",
    "reset",
    "cut",
    "malformed",
    "empty",
    "dribble",
    "stream_error",
    "throttled",
    "slow_down",
    "billing",
    "quota_day",
    "context_too_long",
    "content_filter",
)
"""What a request may meet instead of a plain answer, besides an HTTP status (see `faults.py` and `errors.py`)."""

_SHORTHANDS: tuple[tuple[str, Dimension, float], ...] = (
    ("rps", "requests", 1.0),
    ("rpm", "requests", 60.0),
    ("rph", "requests", 3600.0),
    ("rpd", "requests", 86400.0),
    ("tpm", "tokens", 60.0),
    ("tph", "tokens", 3600.0),
    ("tpd", "tokens", 86400.0),
    ("itpm", "input", 60.0),
    ("otpm", "output", 60.0),
)


class SpecError(ValueError):
    """The script cannot be understood; the message names the place."""


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long an answer takes: a first part that is drawn (seeded), and a part for every completion token.

    `fixed` is always `base_s`; `jitter` adds up to `spread_s`, evenly; `lognormal` has the median `base_s` and the
    shape `sigma`.
    """

    kind: Literal["fixed", "jitter", "lognormal"] = "fixed"
    base_s: float = 0.0
    spread_s: float = 0.0
    sigma: float = 0.5
    per_token_s: float = 0.0


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """No more than `count` of something within `per_s` seconds."""

    count: int
    per_s: float
    of: Dimension = "requests"


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the backend allows: shorthands as in `optimizer.toml`, any further windows in `more`."""

    rps: int | None = None
    rpm: int | None = None
    rph: int | None = None
    rpd: int | None = None
    tpm: int | None = None
    tph: int | None = None
    tpd: int | None = None
    itpm: int | None = None
    otpm: int | None = None
    concurrency: int | None = None
    more: tuple[Limit, ...] = ()
    algorithm: Literal["sliding_window", "token_bucket"] = "sliding_window"

    def windows(self) -> tuple[Limit, ...]:
        """All limits over time, the shorthands written out."""
        named = ((getattr(self, name), of, per_s) for name, of, per_s in _SHORTHANDS)
        return (
            *(Limit(count=count, per_s=per_s, of=of) for count, of, per_s in named if count is not None),
            *self.more,
        )


class SimulatorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One simulated backend.

    `fail` is a script, used up from the front: one entry for each admitted request, a status or one of `FAULTS`;
    `fail_repeat` starts it again at its end. After it, and without one, a share `fail_rate` of the requests meets one
    of `fail_with`.
    `models` empty means any model; else an unknown one is a 404. `answer_tokens` is how long an answer wants to be.
    `charge_max_tokens` counts the requested maximum against token limits, not what was used (as Cerebras does).
    """

    name: str = "simulated"
    headers: HeaderStyle = "none"
    extra_headers: dict[str, str] = {}
    latency: Latency = Latency()
    limits: Limits = Limits()
    fail: tuple[int | str, ...] = ()
    fail_repeat: bool = False
    fail_rate: float = 0.0
    fail_with: tuple[int | str, ...] = (503,)
    dribble_s: float = 0.02
    api_key: str | None = None
    models: tuple[str, ...] = ()
    max_context_tokens: int | None = None
    charge_max_tokens: bool = False
    answer_tokens: int = 32
    embedding_size: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse faults that do not exist, at the door."""
        for entry in (*self.fail, *self.fail_with):
            known = entry in FAULTS if isinstance(entry, str) else 100 <= entry <= 599
            if not known:
                raise ValueError(f"unknown failure {entry!r}: use an HTTP status or one of {', '.join(FAULTS)}")


def parse_spec(data: Any) -> SimulatorSpec:
    """The spec in decoded JSON. Raises SpecError."""
    try:
        return msgspec.convert(data, SimulatorSpec)
    except msgspec.ValidationError as error:
        raise SpecError(f"simulator spec: {error}") from error


def load_specs(path: Path) -> list[SimulatorSpec]:
    """The specs in a JSON file that holds one, or a list of them. Raises SpecError."""
    try:
        data = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise SpecError(f"{path} is not JSON: {error}") from error
    return [parse_spec(item) for item in (data if isinstance(data, list) else [data])]


def patched(spec: SimulatorSpec, patch: Any) -> SimulatorSpec:
    """The spec with a JSON merge patch applied: objects merge, null takes the default back. Raises SpecError."""
    if not isinstance(patch, dict):
        raise SpecError("the patch must be a JSON object of spec fields")
    return parse_spec(_merge(msgspec.to_builtins(spec), patch))


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged = dict(target)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            old = merged.get(key)
            merged[key] = _merge(old if isinstance(old, dict) else {}, value)
        else:
            merged[key] = value
    return merged
