"""Numbers and times as people read them. Pure."""


def duration(seconds: float) -> str:
    """A time: `0.4 s`, `45 s`, `12 min`, `3.2 h`, `5 days`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 86_400:.0f} days"


def count_of(number: int, thing: str) -> str:
    """`no worker`, `1 worker`, `2 workers`."""
    return f"{f'{number:,}' if number else 'no'} {thing}{'' if number == 1 else 's' if number else ''}"


def size(count: float) -> str:
    """Bytes: `812 B`, `14.2 kB`, `3.1 MB`, `1.5 GB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1_000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1_000
    return f"{count:.1f} GB"
