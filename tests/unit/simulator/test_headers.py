"""The headers have the names and value formats of the recorded answers of real providers."""

import re
from datetime import datetime

import pytest

from optimizer_ops.simulator.headers import Moment, go_duration, rate_headers, retry_headers
from optimizer_ops.simulator.limits import Cost, Limiter, Refusal
from optimizer_ops.simulator.spec import Limit, Limits

WALL = 1_754_136_045.0
GO = r"(\d+h)?(\d+m)?(\d+(\.\d+)?s|\d+(\.\d+)?ms)"
NUMBER = r"\d+"
REQUEST_ID = r"req_\w+"


def headers_after_one_call(style, **limits):
    """The headers of a backend that answered one call of 78 tokens ten seconds ago."""
    limiter = Limiter(Limits(**limits))
    limiter.admit(0, Cost(50, 28), 0)
    return dict(rate_headers(style, Moment(limiter.windows, 10, WALL, "abc", tokens=78)))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-1, "0s"),
        (0.002, "2ms"),
        (0.13, "130ms"),
        (6, "6s"),
        (8.64, "8.64s"),
        (59.9999, "1m0s"),
        (360, "6m0s"),
        (179.56, "2m59.56s"),
        (86400, "24h0m0s"),
        (15420, "4h17m0s"),
    ],
)
def test_durations_are_written_as_go_does(seconds, text):
    """The recorded forms are reproduced."""
    assert go_duration(seconds) == text


@pytest.mark.parametrize(
    ("style", "limits", "expected"),
    [
        (
            "openai",
            {"rpm": 500, "tpm": 30000, "rpd": 7},
            {
                "x-ratelimit-limit-requests": "500",
                "x-ratelimit-remaining-requests": "499",
                "x-ratelimit-reset-requests": "50s",
                "x-ratelimit-limit-tokens": "30000",
                "x-ratelimit-remaining-tokens": "29922",
                "x-ratelimit-reset-tokens": "50s",
                "openai-processing-ms": NUMBER,
                "x-request-id": REQUEST_ID,
            },
        ),
        (
            "groq",
            {"rpm": 30, "rpd": 14400, "tpm": 6000, "tpd": 9000},
            {
                "x-ratelimit-limit-requests": "14400",
                "x-ratelimit-remaining-requests": "14399",
                "x-ratelimit-reset-requests": "23h59m50s",
                "x-ratelimit-limit-tokens": "6000",
                "x-ratelimit-remaining-tokens": "5922",
                "x-ratelimit-reset-tokens": GO,
                "x-groq-region": "fra",
                "x-request-id": REQUEST_ID,
            },
        ),
        (
            "cerebras",
            {"rpm": 5, "rpd": 14400, "tpm": 30000},
            {
                "x-ratelimit-limit-requests-day": "14400",
                "x-ratelimit-remaining-requests-day": "14399",
                "x-ratelimit-reset-requests-day": r"\d+\.\d{6}",
                "x-ratelimit-limit-requests-minute": "5",
                "x-ratelimit-limit-tokens-minute": "30000",
                "x-ratelimit-remaining-tokens-minute": "29922",
                "x-ratelimit-reset-tokens-minute": r"50\.000000",
            },
        ),
        (
            "mistral",
            {"rpm": 60, "tpm": 500000},
            {
                "x-ratelimit-limit-req-minute": "60",
                "x-ratelimit-remaining-req-minute": "59",
                "x-ratelimit-limit-tokens-minute": "500000",
                "x-ratelimit-remaining-tokens-minute": "499922",
                "x-ratelimit-tokens-query-cost": "78",
                "x-kong-request-id": r"\w+",
            },
        ),
        (
            "anthropic",
            {"rpm": 50, "tpm": 50000, "itpm": 40000, "otpm": 8000},
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": r"2025-08-02T12:01:35Z",
                "anthropic-ratelimit-tokens-remaining": "50000",
                "anthropic-ratelimit-input-tokens-limit": "40000",
                "anthropic-ratelimit-output-tokens-remaining": "8000",
                "request-id": REQUEST_ID,
                "anthropic-organization-id": r"[0-9a-f-]{36}",
            },
        ),
        (
            "together",
            {"rps": 2, "tpm": 120000},
            {
                "x-ratelimit-limit": "2",
                "x-ratelimit-remaining": "2",
                "x-ratelimit-reset": "1",
                "x-tokenlimit-limit": "2000",
                "x-queue-time": "0",
            },
        ),
    ],
)
def test_each_provider_has_its_own_names_and_formats(style, limits, expected):
    """Names, windows and formats follow the provider, not one scheme."""
    found = headers_after_one_call(style, **limits)

    assert set(expected) <= set(found)
    for name, pattern in expected.items():
        assert re.fullmatch(pattern, found[name]), (name, found[name])


def test_mistral_writes_its_window_into_the_name():
    """A window of ten seconds is named as recorded."""
    found = headers_after_one_call("mistral", more=(Limit(count=60, per_s=10.0),))

    assert found["x-ratelimit-limit-req-10-second"] == "60"


def test_groq_tells_nothing_of_its_minute():
    """Groq shows requests per day only, so a limit per minute stays unseen."""
    assert not [name for name in headers_after_one_call("groq", rpm=30) if name.endswith("-requests")]


def test_none_tells_nothing():
    """A backend without headers sends none."""
    assert headers_after_one_call("none", rpm=3, tpm=100) == {}


def test_anthropic_resets_are_moments():
    """A reset is a time of day in UTC, not a duration."""
    reset = headers_after_one_call("anthropic", rpm=50)["anthropic-ratelimit-requests-reset"]

    assert datetime.fromisoformat(reset).timestamp() == WALL + 50


@pytest.mark.parametrize(
    ("style", "hints"),
    [
        ("openai", {"retry-after": "3", "retry-after-ms": "2300"}),
        ("groq", {"retry-after": "3"}),
        ("mistral", {"retry-after": "3"}),
        ("anthropic", {"retry-after": "3"}),
        ("cerebras", {}),
        ("together", {}),
        ("none", {}),
    ],
)
def test_hints_to_retry_follow_the_provider(style, hints):
    """Whole seconds, milliseconds, or nothing."""
    assert dict(retry_headers(style, Refusal(None, 1, 1, 2.3))) == hints
