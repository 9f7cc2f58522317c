"""Counts, shares, money, durations and sizes, with as many digits as tell something. Pure."""

UNKNOWN = "–"
_SIZES = (("kB", 1e3), ("MB", 1e6), ("GB", 1e9))


def count_of(number: int, thing: str) -> str:
    """`no worker`, `1 worker`, `2 workers`."""
    return f"{f'{number:,}' if number else 'no'} {thing}{'' if number == 1 else 's' if number else ''}"


def percent(share: float | None) -> str:
    """`37 %`, `0.4 %`; 0 and 100 % only where it is that."""
    if share is None:
        return UNKNOWN
    value = share * 100
    if value == 0 or 10 <= value < 99 or value >= 99.95:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if value >= 0.1 else "< 0.1 %"


def dollars(usd: float | None) -> str:
    """US dollars: `$1,204`, `$12.35`, `$0.0041`."""
    if usd is None:
        return UNKNOWN
    size_ = abs(usd)
    if size_ >= 1_000:
        return f"${usd:,.0f}"
    if size_ >= 0.1 or size_ == 0:
        return f"${usd:,.2f}"
    if size_ >= 0.000_1:
        return f"${usd:.4f}"
    return f"${usd:.6f}" if size_ >= 0.000_001 else "< $0.000001"


def duration(seconds: float | None) -> str:
    """A time in seconds: `0.4 s`, `45 s`, `12 min`, `3.2 h`, `5 days`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 86_400:.0f} days"


def milliseconds(ms: float | None) -> str:
    """A time in milliseconds: `0.4 ms`, `120 ms`, `1.25 s`, `12 s`, `31 min`."""
    if ms is None:
        return UNKNOWN
    if ms < 1:
        return f"{ms:.1f} ms"
    if ms < 1_000:
        return f"{ms:.0f} ms"
    return f"{ms / 1_000:.2f} s" if ms < 10_000 else duration(ms / 1_000)


def size(count: float) -> str:
    """Bytes: `812 B`, `14.2 kB`, `3.1 MB`, `1.5 GB`."""
    if count < 1_000:
        return f"{count:.0f} B"
    unit, one = next(((unit, one) for unit, one in _SIZES if count < one * 999.95), _SIZES[-1])
    return f"{count / one:.1f} {unit}"
