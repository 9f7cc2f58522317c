"""Which stored answers are meant: those that have all of these properties. Pure."""

import msgspec

from optimizer_state.answer import Answer

_PROPERTIES = ("namespace", "tenant", "agent", "model", "backend", "task")


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is known of a stored answer, but the answer: times are Unix milliseconds.

    `ttl_ms` is how long it still stays, `bytes` the record's length, `memory` what it takes in Redis, also in bytes.
    """

    fingerprint: str
    tenant: str = ""
    agent: str = ""
    namespace: str | None = None
    task: str | None = None
    backend: str | None = None
    model: str | None = None
    stored_ms: int = 0
    since_ms: int = 0
    ttl_ms: int = 0
    bytes: int = 0
    memory: int = 0


class Selection(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Answers by what is known of them; without anything it means all of them.

    What is not known of an answer may be what is meant: a record of an older version, which does not tell its namespace
    or agent, is selected by any. A fingerprint may be the beginning of one.
    """

    fingerprint: str | None = None
    namespace: str | None = None
    tenant: str | None = None
    agent: str | None = None
    model: str | None = None
    backend: str | None = None
    task: str | None = None

    def takes(self, fingerprint: str, answer: Answer | Entry) -> bool:
        """Whether an answer is meant."""
        if self.fingerprint is not None and not fingerprint.startswith(self.fingerprint):
            return False
        for name in _PROPERTIES:
            wanted, known = getattr(self, name), getattr(answer, name)
            # The empty namespace is one like others.
            unknown = known is None or (known == "" and name != "namespace")
            if wanted is not None and not unknown and known != wanted:
                return False
        return True

    @property
    def everything(self) -> bool:
        """Whether it means all answers."""
        return self == Selection()

    @property
    def by_name(self) -> bool:
        """Whether fingerprints alone tell which answers are meant."""
        return self == Selection(fingerprint=self.fingerprint)

    def words(self) -> str:
        """In words: `tenant acme, model gpt-oss`."""
        named = ((name, getattr(self, name)) for name in ("fingerprint", *_PROPERTIES))
        return ", ".join(f"{name} {value or '(none)'}" for name, value in named if value is not None) or "everything"
