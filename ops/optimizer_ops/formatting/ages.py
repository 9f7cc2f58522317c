"""Ages as people write them: `90s`, `15m`, `2h`, `7d`. Pure."""

import re

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_AGE = re.compile(r"(\d{1,9})([smhd])")


def age_s(text: str) -> int:
    """An age in seconds.

    :raises ValueError: with a sentence.
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no age: write a number with s, m, h or d, for example 15m or 7d.")
    return int(found[1]) * _UNITS_S[found[2]]
