"""Rates, times and money as the screens show them; a dash where nobody knows. Pure."""

from optimizer_ops.words import duration

NOTHING = "-"


def share(part: float | None) -> str:
    """`62 %`, with a digit below ten."""
    if part is None:
        return NOTHING
    if 0 < part < 0.001:
        return "<0.1 %"
    return f"{part * 100:.0f} %" if part >= 0.0995 or not part else f"{part * 100:.1f} %"


def milliseconds(ms: float | None) -> str:
    """`840 ms`, `1.2 s`, `2 min`."""
    if ms is None:
        return NOTHING
    return f"{ms:.0f} ms" if ms < 1_000 else duration(ms / 1_000)


def dollars(usd: float) -> str:
    """`$0.0123`, `$12.34`, `$1,234`."""
    if not usd:
        return "$0"
    digits = 4 if abs(usd) < 1 else 2 if abs(usd) < 1_000 else 0
    return f"${usd:,.{digits}f}"


def amount(number: float, dimension: str) -> str:
    """An amount of a limit: money, or a count with thousands."""
    return dollars(number) if dimension == "usd" else f"{number:,.0f}"
