"""What operators write on the command line is read against the limits of the backend."""

import pytest

from optimizer_config.errors import ConfigError
from optimizer_config.model import Backend, Limit, Reset
from optimizer_ops.budgets.wanted import configured_count, counts_of, name_of, shown

LIMITS = (
    Limit("rpm", "requests", 30, 60),
    Limit("tpm", "tokens", 12_000, 60),
    Limit("tpm[openai/gpt-oss-120b]", "tokens", 8_000, 60, models=("openai/gpt-oss-120b",)),
    Limit("usd_per_day", "usd", 2_000_000, 86_400, reset=Reset("day")),
)
GROQ = Backend("groq", "openai", "http://localhost", ("m",), limits=LIMITS, concurrency=8)


def test_counts_are_read_by_name():
    """Several counts may be written at once, with underscores, and for limits that are narrowed to models."""
    words = ["rpm=20", "tpm=6_000", "tpm[openai/gpt-oss-120b]=500", "concurrency=2"]

    assert counts_of(GROQ, words) == {"rpm": 20, "tpm": 6_000, "tpm[openai/gpt-oss-120b]": 500, "concurrency": 2}


def test_money_is_written_in_dollars():
    """A limit in money is set in dollars, and kept in millionths of one."""
    assert counts_of(GROQ, ["usd_per_day=1.25"]) == {"usd_per_day": 1_250_000}
    assert [shown(GROQ, "usd_per_day", n) for n in (1_250_000, 500)] == ["$1.25", "$0.000500"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("rpm", 'Write LIMIT=COUNT, for example rpm=20, not "rpm".'),
        ("rmp=20", 'groq has no limit "rmp" in the configuration; did you mean "rpm"?'),
        ("rpm=0", 'rpm must be a positive number such as 20, got "0"; to let no call start at all: optimizer pause'),
        ("rpm=many", 'got "many"'),
        ("rpm=-3", 'got "-3"'),
        ("rpm=2.5", 'got "2.5"'),
        ("usd_per_day=x", "usd_per_day must be a positive number such as 2.50"),
    ],
)
def test_a_mistake_is_one_sentence(word, sentence):
    """What cannot be meant is refused with a sentence that says what can."""
    with pytest.raises(ConfigError) as raised:
        counts_of(GROQ, [word])

    assert sentence in str(raised.value)


def test_a_limit_is_set_once():
    """Two counts for one limit are refused: nobody knows which was meant."""
    with pytest.raises(ConfigError, match="twice"):
        counts_of(GROQ, ["rpm=1", "rpm=2"])


def test_what_is_configured_is_found_by_name():
    """The configured count of each limit, and of concurrency, is known by the name it is set by."""
    assert [configured_count(GROQ, name_of(GROQ, name)) for name in ("rpm", "concurrency")] == [30, 8]
