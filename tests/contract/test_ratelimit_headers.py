"""Recorded response headers of real providers, each with its source and licence, say which limits they tell.

`limits` of a recording is what the provider's documentation says its headers mean: dimension and window in seconds.
"""

import json
from pathlib import Path

import pytest

from optimizer_backends.hints import retry_after_s
from optimizer_backends.ratelimits import remaining

FILE = Path(__file__).parent / "recorded" / "headers" / "ratelimit_headers.json"
RECORDINGS = json.loads(FILE.read_text())


def headers_of(recording):
    """All headers as they came, the date among them."""
    headers = list(recording["headers"].items())
    return tuple([*headers, ("date", recording["date"])] if recording["date"] else headers)


def names():
    """A name for each recording."""
    return [f"{number}-{recording['host']}" for number, recording in enumerate(RECORDINGS)]


@pytest.mark.parametrize("recording", RECORDINGS, ids=names())
def test_every_recording_tells_its_limits(recording):
    """Dimension and window are those of the documentation, and what is left is a number of the headers.

    Anthropic rounds it to thousands.
    """
    told = remaining(recording["table"], headers_of(recording), recording["status"])

    assert [[each.dimension, each.per_s] for each in told] == recording["limits"]
    values = list(recording["headers"].values())
    if recording["table"] != "huggingface":
        assert all({str(each.remaining), str(each.remaining - 999)} & set(values) for each in told)
        assert all(each.limit is None or str(each.limit) in values for each in told)


@pytest.mark.parametrize("recording", RECORDINGS, ids=names())
def test_no_recorded_answer_asks_for_a_pause(recording):
    """Some providers and gateways send `retry-after` with answers: there it means nothing."""
    assert retry_after_s(recording["status"], headers_of(recording)) is None


def test_every_recording_names_its_source():
    """Where it is from and under which licence it may be kept."""
    assert len(RECORDINGS) == 61
    assert all(recording["source"] and recording["licence"] for recording in RECORDINGS)


def test_the_window_of_structured_fields_is_the_policys():
    """`r` of the state, `q` and `w` of the policy of the same name."""
    recording = next(each for each in RECORDINGS if each["host"] == "huggingface.co")
    (told,) = remaining("huggingface", headers_of(recording), 200)

    assert (told.remaining, told.limit, told.per_s, told.reset_s) == (999, 1000, 300, 295)
