"""Every error of every provider of the catalogue, as it looks on the wire, and what it is."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_backends.families import FAMILIES
from optimizer_backends.outcome import Outcome
from optimizer_config.catalogue import catalogue


def read(status, body, headers=(), api="openai"):
    """What a family makes of an error."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return FAMILIES[api].response(status, tuple(headers), raw)


def openai(message="m", kind=None, code=None, param=None):
    """An error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


CASES = {case["name"]: case for case in json.loads(Path(__file__).with_name("errors.json").read_text())}


def case(name):
    """What the family makes of an error of the table."""
    told = CASES[name]
    return read(told["status"], told.get("body", told.get("text", "").encode()), api=told["api"])


@pytest.mark.parametrize("name", CASES)
def test_every_error(name):
    """Each provider's error is what the table says."""
    result = case(name)

    assert result.outcome == CASES[name]["outcome"], result
    assert result.message
    assert result.signature.split()[0].isdigit()
    assert (result.body, result.complete, result.usage) == (None, False, None)


def test_the_table_covers_the_catalogue():
    """No provider is forgotten."""
    told = {name.split()[0] for name in CASES}

    assert set(catalogue()) - {"llamacpp"} <= told
    assert "llama.cpp" in told


def test_signatures_name_the_kind_of_error():
    """The status and the codes, without free text."""
    assert read(429, openai("m", "tokens", "rate_limit_exceeded")).signature == "429 rate_limit_exceeded tokens"
    assert case("anthropic overloaded").signature == "529 overloaded_error"
    assert case("gemini exhausted").signature == "429 resource_exhausted"
    assert read(500, b"").signature == "500"
    assert read(429, {"code": "A sentence of xAI", "error": "another"}).signature == "429"


# --- pauses


def test_google_names_its_pause_in_the_body():
    """A minute's violation carries a pause that is believed; a day's carries one that is not."""
    minute, day = case("gemini minute"), case("gemini day")

    assert (minute.retry_after_s, day.retry_after_s) == (22.0, None)


@pytest.mark.parametrize(
    ("status", "after", "outcome", "pause"),
    [
        (429, "3600", "throttled", 3600.0),
        (429, "3601", "quota_day", 3601.0),
        (429, "999999", "quota_day", 86400.0),
        (503, "999999", "overloaded", 3600.0),
        (500, "2", "transient", 2.0),
        (401, "2", "unauthorized", None),
        (200, "2", "transient", None),
    ],
)
def test_long_pauses(status, after, outcome, pause):
    """A rate limit of more than an hour is a day's quota; other pauses are cut to an hour."""
    result = read(status, {"x": 1}, [("retry-after", after)])

    assert (result.outcome, result.retry_after_s) == (outcome, pause)


def test_a_day_limit_keeps_the_pause_of_its_header():
    """Groq's days are rolling: its header tells when there is room again."""
    told = CASES["groq rpd"]
    result = read(told["status"], told["body"], [("retry-after", "432")])

    assert (result.outcome, result.retry_after_s) == (Outcome.quota_day, 432.0)


def test_billing_has_no_pause():
    """Waiting does not bring money."""
    result = read(429, openai("m", "insufficient_quota"), [("retry-after", "2")])

    assert (result.outcome, result.retry_after_s) == (Outcome.billing, None)


def test_headers_are_kept():
    """Every header of an error reaches the budget."""
    headers = (("x-ratelimit-remaining-tokens", "0"), ("x-a", "1"), ("x-a", "2"))

    assert read(429, {}, headers).headers == headers


# --- messages


def test_own_words_are_quoted_where_they_help():
    """What a caller can mend is told in the backend's own words; what only the operator can is not."""
    helped = read(400, openai("Unsupported parameter: 'max_tokens'"))
    hidden = read(401, openai("Incorrect API key provided: sk-proj-12345678. See org-77."))

    assert helped.message.endswith("(400): Unsupported parameter: 'max_tokens'")
    assert hidden.message == "The backend does not accept the key (401)."


def test_validation_errors_do_not_echo_the_request():
    """Nested validation errors repeat the input: they are not shown at all."""
    assert "the prompt" not in case("mistral validation").message


def test_results_show_neither_answers_nor_headers():
    """The representation of a result is fit for a log."""
    body = {"choices": [{"message": {"content": "private"}, "finish_reason": "stop"}], "model": "m"}
    result = read(200, body, [("set-cookie", "private")])

    assert "private" not in repr(result)
    assert "private" not in str(result.__rich_repr__())


# --- nothing breaks the reader

NAMES = """error message type code status details metadata choices usage content data reason violations quotaId
    retryDelay finish_reason prompt_tokens total_tokens input_tokens stop_details raw detail"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["openai", "anthropic"]), st.sampled_from([200, 201, 204, 302, 400, 403, 429, 500, 503]), JSON)
def test_any_json_has_an_outcome(api, status, body):
    """Whatever JSON comes back, there is an outcome, and an answer only if there is a body."""
    result = read(status, body, api=api)

    assert result.outcome.ok == (result.body is not None)
    assert result.outcome.ok or result.message


@given(st.sampled_from(["openai", "anthropic"]), st.sampled_from([200, 400, 500]), st.binary(max_size=60))
def test_any_bytes_have_an_outcome(api, status, body):
    """Whatever bytes come back, there is an outcome."""
    assert read(status, body, api=api).outcome in Outcome
