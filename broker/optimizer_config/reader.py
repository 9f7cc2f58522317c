"""Reading a TOML table key by key: every complaint names the file and the place, and no key is left unread."""

import math
from typing import Any, NoReturn

from optimizer_config.errors import ConfigError
from optimizer_config.guess import did_you_mean

_KINDS = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}


class Table:
    """A table of a configuration file. Each key is taken once; `finish` complains about those nobody took."""

    def __init__(self, values: dict[str, Any], file: str, place: str = "") -> None:
        self._values = dict(values)
        self._known: set[str] = set()
        self.file = file
        self.place = place

    def fail(self, key: str, sentence: str) -> NoReturn:
        """Raise the error about a key: `<file>: <place>.<key> <sentence>`.

        :raises ConfigError: always.
        """
        raise ConfigError(f"{self.file}: {self.at(key)} {sentence}", file=self.file, place=self.at(key))

    def at(self, key: str) -> str:
        """The dotted place of a key, quoted where TOML needs quotes."""
        word = key if key.replace("_", "").replace("-", "").isalnum() else f'"{key}"'
        return f"{self.place}.{word}" if self.place and key else self.place or word

    def has(self, key: str) -> bool:
        """Whether the key is written and not yet taken."""
        return key in self._values

    def unread(self) -> list[str]:
        """The keys not yet taken, in the order of the file."""
        return list(self._values)

    def peek(self, key: str) -> Any:
        """The raw value of a key that is still to be taken, or None."""
        return self._values.get(key)

    def take(self, key: str) -> Any:
        """The raw value of a key, or None."""
        self._known.add(key)
        return self._values.pop(key, None)

    def text(self, key: str) -> str | None:
        """Text that is not empty, or None if the key is absent."""
        return None if (value := self.take(key)) is None else self.as_text(key, value)

    def as_text(self, key: str, value: object) -> str:
        """The value as text that is not empty."""
        if not isinstance(value, str) or not value.strip():
            self.fail(key, f"must be text, got {shown(value)}.")
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str | None:
        """One of the allowed words, or None if the key is absent."""
        value: str | None = self.take(key)
        if value is not None and value not in allowed:
            hint = did_you_mean(value, allowed) if isinstance(value, str) else ""
            words = ", ".join(f'"{word}"' for word in allowed)
            self.fail(key, f"must be one of {words}, got {shown(value)}{hint if '?' in hint else '.'}")
        return value

    def flag(self, key: str) -> bool | None:
        """True or false, or None if the key is absent."""
        value = self.take(key)
        if value is not None and not isinstance(value, bool):
            self.fail(key, f"must be true or false, got {shown(value)}.")
        return value

    def whole(self, key: str, *, least: int = 1) -> int | None:
        """A whole number of at least `least`, or None if the key is absent. `1_000.0` is one too."""
        value = self.take(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            what = "a positive whole number" if least == 1 else f"a whole number of at least {least}"
            self.fail(key, f"must be {what}, got {shown(value)}.")
        return value

    def seconds(self, key: str, *, least: float = 0.0) -> float | None:
        """A finite number of seconds of at least `least`, or None if the key is absent."""
        return None if (value := self.take(key)) is None else self.as_seconds(key, value, least=least)

    def as_seconds(self, key: str, value: object, *, least: float = 0.0) -> float:
        """The value as a finite number of seconds of at least `least`."""
        return self._as_number(key, value, least, "a number of seconds of")

    def number(self, key: str) -> float | None:
        """A finite number of at least 0, or None if the key is absent."""
        return None if (value := self.take(key)) is None else self._as_number(key, value, 0.0, "a number of")

    def share(self, key: str) -> float | None:
        """A number from 0 to 1, or None if the key is absent."""
        value = self.take(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1):
            self.fail(key, f"must be a share from 0 to 1, for example 0.2, got {shown(value)}.")
        return None if value is None else float(value)

    def micro_usd(self, key: str) -> int | None:
        """An amount of US dollars in millionths, or None if the key is absent."""
        value = self.take(key)
        return None if value is None else round(self._as_number(key, value, 1e-6, "a number of dollars of") * 1e6)

    def _as_number(self, key: str, value: object, least: float, what: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
            self.fail(key, f"must be {what} at least {least:g}, got {shown(value)}.")
        return float(value)

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of different texts with at least one entry, or None if the key is absent."""
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, list) or not value:
            self.fail(key, f"must be a list of text with at least one entry, got {shown(value)}.")
        for entry in value:
            if not isinstance(entry, str) or not entry.strip():
                self.fail(key, f"must hold only text, got {shown(entry)}.")
            if value.count(entry) > 1:
                self.fail(key, f'names "{entry}" twice.')
        return tuple(value)

    def table(self, key: str) -> "Table":
        """The table at a key; an empty one if the key is absent."""
        value = self.take(key)
        return self.as_table(key, {} if value is None else value)

    def as_table(self, key: str, value: object) -> "Table":
        """The value as a table."""
        if not isinstance(value, dict):
            self.fail(key, f"must be a table, got {shown(value)}.")
        return Table(value, self.file, self.at(key))

    def finish(self) -> None:
        """Complain about a key that nobody took.

        :raises ConfigError: with the nearest known key.
        """
        for key in self._values:
            hint = did_you_mean(key, self._known)
            self.fail(key, f"is not a known key{hint or '.'}")


def shown(value: object) -> str:
    """A value as an error may show it: short, and no tables or lists in full."""
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'
    if isinstance(value, dict | list):
        return _KINDS[type(value)] if value else f"an empty {_KINDS[type(value)][2:]}"
    return str(value).lower() if isinstance(value, bool) else str(value)
