"""The nearest known word to a mistyped one."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: `; did you mean "groq"?`, what is known, or nothing."""
    names = sorted(set(known))
    swapped = [name for name in names if sorted(name) == sorted(word.lower())]
    if near := swapped or get_close_matches(word.lower(), names, n=1, cutoff=0.6):
        return f'; did you mean "{near[0]}"?'
    return f"; known are {', '.join(names)}" if 0 < len(names) <= 16 else ""
