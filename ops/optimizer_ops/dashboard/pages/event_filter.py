"""Which events a viewer wants to see. Pure."""

from dataclasses import dataclass

from starlette.datastructures import QueryParams

from optimizer_wire.events import Event


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Each part that is not empty must match: a type by its beginning, an agent and a backend by name."""

    type: str = ""
    agent: str = ""
    backend: str = ""

    @classmethod
    def of(cls, query: QueryParams) -> "EventFilter":
        """As the page's form says it."""
        type_ = query.get("type", "").strip()
        if type_ and not type_.startswith("optimizer."):
            type_ = f"optimizer.{type_}"
        return cls(type_, query.get("agent", "").strip(), query.get("backend", "").strip())

    def matches(self, happened: Event) -> bool:
        """Whether to show it."""
        return (
            happened.type.startswith(self.type)
            and self.agent in ("", happened.agent)
            and self.backend in ("", happened.backend)
        )
