"""Request ids: UUIDv7 (RFC 9562, section 5.7), so that ids sort by the time they were made."""

import os
import time

# Asking the system for chance costs more than all the rest of an id, whether it is for one id or for many.
_AT_ONCE = 256
_CHANCE_BYTES = 10
_VARIANT = "89ab"

# What comes behind the time in ids to come. Taken from its end, which no two threads do at once.
_tails: list[str] = []
# A copy of this process must not make the same ids.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tails.clear)


def new_id() -> str:
    """A fresh UUIDv7 as text."""
    while True:
        try:
            tail = _tails.pop()
        except IndexError:
            _tails.extend(_fresh_tails())
        else:
            break
    milliseconds = f"{time.time_ns() // 1_000_000:012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-{tail}"


def _fresh_tails() -> list[str]:
    digits = os.urandom(_AT_ONCE * _CHANCE_BYTES).hex()
    return [_tail(digits[at : at + 2 * _CHANCE_BYTES]) for at in range(0, len(digits), 2 * _CHANCE_BYTES)]


def _tail(digits: str) -> str:
    """The version and the variant among random digits."""
    variant = _VARIANT[int(digits[3], 16) % 4]
    return f"7{digits[:3]}-{variant}{digits[4:7]}-{digits[7:19]}"
