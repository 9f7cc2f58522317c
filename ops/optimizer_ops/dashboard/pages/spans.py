"""The spans of time that a page can show. Pure."""

from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams


@dataclass(frozen=True, slots=True)
class Span:
    """The last so many seconds; `step_s` is one bar of its chart, `grain_s` how exactly it begins."""

    name: str
    words: str
    seconds: float
    step_s: float
    grain_s: float

    def since(self, now: float) -> float:
        """When it began (Unix seconds), equal for all who ask at about the same time."""
        return now // self.grain_s * self.grain_s - self.seconds

    @property
    def per(self) -> str:
        """What one bar of the chart is."""
        return {60: "minute", 1800: "half hour", 10800: "3 hours", 43200: "12 hours"}[int(self.step_s)]


SPANS = {
    span.name: span
    for span in (
        Span("1h", "last hour", 3_600, 60, 1),
        Span("24h", "last 24 hours", 86_400, 1_800, 10),
        Span("7d", "last 7 days", 604_800, 10_800, 60),
        Span("30d", "last 30 days", 2_592_000, 43_200, 300),
    )
}


def span_of(query: QueryParams, default: str = "24h") -> Span:
    """The span that was asked for."""
    return SPANS.get(query.get("span", default), SPANS[default])


def kept(query: QueryParams, **changed: str | None) -> dict[str, Any]:
    """The query with some values changed, or (None) left out."""
    return {name: value for name, value in (dict(query) | changed).items() if value}
