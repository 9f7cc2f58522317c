"""What the headers of each provider say of its limits, and of when to come back."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_backends.families import FAMILIES
from optimizer_backends.hints import http_date
from optimizer_backends.ratelimit_tables import TABLES
from optimizer_backends.ratelimit_values import count, items, seconds
from optimizer_backends.ratelimits import add_limits, remaining
from optimizer_config.amounts import Remaining
from optimizer_config.catalogue import catalogue
from optimizer_config.load import load

DATE = ("date", "Wed, 21 Oct 2026 07:28:00 GMT")
NOW = http_date(DATE[1])
MINUTE, HOUR, DAY, MONTH = 60.0, 3600.0, 86400.0, 31 * 86400.0


def told(table, headers, status=200):
    """What a table makes of headers: (dimension, window, remaining, limit, reset)."""
    found = remaining(table, tuple(headers.items()), status)
    return [(each.dimension, each.per_s, each.remaining, each.limit, each.reset_s) for each in found]


def refused(table, headers, status=429, body=None, api="openai"):
    """An error with these headers as the backend's client hands it over."""
    result = FAMILIES[api].response(status, tuple(headers.items()), json.dumps(body or {}).encode())
    add_limits(result, table)
    return result


@pytest.mark.parametrize("table", sorted(TABLES))
def test_the_configuration_knows_every_table(tmp_path, table):
    """Each can be chosen for a backend, and what the catalogue chooses exists."""
    file = tmp_path / "optimizer.toml"
    file.write_text(
        f'[backends.b]\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["m"]\nratelimit_headers = "{table}"\n'
    )

    assert load(str(file)).backend("b").ratelimit_headers == table
    assert {backend.ratelimit_headers for backend in catalogue().values()} <= {None, *TABLES}


# --- values


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("30000", 30000),
        (" 7 ", 7),
        ("59.5", 59),
        ("-1", None),
        ("", None),
        (None, None),
        ("1e9", None),
        *((text, None) for text in ("9" * 16, "9" * 400, "1_000", "nan", "٣", "0x10")),
    ],
)
def test_counts(text, number):
    """Whole numbers from 0 on; what is negative, absurd or no number is none."""
    assert count(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2ms", 0.002),
        ("8.64s", 8.64),
        ("6m0s", 360.0),
        ("0s", 0.0),
        ("17.399999999s", 17.399999999),
        ("2m59.56s", 179.56),
        ("1m26.4s", 86.4),
        ("4h17m", 15420.0),
        ("1d2h", 93600.0),
        ("150us", 0.00015),
        ("150µs", 0.00015),
        ("33011.382867", 33011.382867),
        ("23", 23.0),
        ("2026-10-21T07:28:59Z", 59.0),
        ("2026-10-21T09:28:59+02:00", 59.0),
        ("2026-10-21T07:27:59Z", 0.0),
        ("1792567740", 60.0),
        ("1792567740.5", 60.5),
        ("2026-10-21T07:28:59", None),
        ("2027-10-21T07:28:59Z", None),
        ("9999-12-31T23:59:59Z", None),
        ("-5", None),
        ("-5s", None),
        ("5 s", None),
        ("s", None),
        ("99999999999d", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("1" * 70, None),
    ],
)
def test_times(text, number):
    """Durations as Go writes them, seconds, Unix times and instants; nonsense, and the far future, are none."""
    assert seconds(text, NOW) == (None if number is None else pytest.approx(number))


@pytest.mark.parametrize("text", ["2026-10-21T07:28:59Z", "1792567740"])
def test_instants_need_the_date_of_the_response(text):
    """Our own clock may be an hour off."""
    assert seconds(text, None) is None


def test_structured_fields():
    """Items of names and parameters, also where a gateway lost a quotation mark."""
    assert items('"a";r=1;t=2, "b";r=3') == [(["a"], {"r": "1", "t": "2"}), (["b"], {"r": "3"})]
    assert items('api";r=999;t=295') == [(["api"], {"r": "999", "t": "295"})]


# --- dimensions and windows


def test_the_same_names_mean_other_windows():
    """Groq counts requests by the day, OpenAI by the minute."""
    headers = {"x-ratelimit-remaining-requests": "9", "x-ratelimit-remaining-tokens": "99"}

    assert told("groq", headers) == [("requests", DAY, 9, None, None), ("tokens", MINUTE, 99, None, None)]
    assert told("openai", headers) == [("requests", MINUTE, 9, None, None), ("tokens", MINUTE, 99, None, None)]


@pytest.mark.parametrize(
    ("limit", "left", "reset", "window"),
    [
        ("10000", "9999", "6ms", MINUTE),
        ("10000", "9999", "8.64s", DAY),
        ("10000", "0", "1m0s", MINUTE),
        ("200", "0", "24h0m0s", DAY),
        ("200", "190", "1h12m0s", DAY),
        ("60", "59", "1s", MINUTE),
        ("10000", "9999", "59.9s", MINUTE),
        ("200", "199", "23h10m0s", DAY),
        ("10000", "10000", "0s", MINUTE),
        ("10000", "9000", "", MINUTE),
    ],
)
def test_openai_does_not_name_its_window(limit, left, reset, window):
    """It follows from how long the bucket takes to be full; requests of some models are counted by the day."""
    headers = {"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": left}

    assert told("openai", headers | {"x-ratelimit-reset-requests": reset})[0][:3] == ("requests", window, int(left))


def test_cerebras_names_its_windows():
    """Requests and tokens by the minute, hour and day; resets are seconds."""
    headers = {
        "x-ratelimit-limit-requests-day": "14400",
        "x-ratelimit-remaining-requests-day": "14000",
        "x-ratelimit-reset-requests-day": "33011.382867",
        "x-ratelimit-remaining-requests-minute": "4",
        "x-ratelimit-remaining-requests-hour": "90",
        "x-ratelimit-remaining-tokens-minute": "29000",
        "x-ratelimit-remaining-tokens-hour": "900000",
        "x-ratelimit-remaining-tokens-day": "800000",
    }

    assert sorted(told("cerebras", headers)) == [
        ("requests", MINUTE, 4, None, None),
        ("requests", HOUR, 90, None, None),
        ("requests", DAY, 14000, 14400, 33011.382867),
        ("tokens", MINUTE, 29000, None, None),
        ("tokens", HOUR, 900000, None, None),
        ("tokens", DAY, 800000, None, None),
    ]


def test_mistral_has_three_generations_of_names():
    """Windows stand in the names; where two names tell the same limit, the lower counts."""
    headers = {
        "ratelimitbysize-remaining": "500",
        "ratelimitbysize-reset": "23",
        "x-ratelimitbysize-remaining-minute": "400",
        "x-ratelimitbysize-remaining-month": "9000",
        "x-ratelimit-remaining-req-minute": "30",
    }

    assert sorted(told("mistral", headers)) == [
        ("requests", MINUTE, 30, None, None),
        ("tokens", MINUTE, 400, None, None),
        ("tokens", MONTH, 9000, None, None),
    ]


def test_anthropics_tokens_count_only_as_a_total():
    """`tokens-*` is the most restrictive limit: beside input and output it is told apart by its size."""
    name = "anthropic-ratelimit-{}".format
    headers = {
        name("input-tokens-limit"): "400",
        name("input-tokens-remaining"): "399",
        name("output-tokens-limit"): "80",
        name("output-tokens-remaining"): "70",
        name("tokens-limit"): "480",
        name("tokens-remaining"): "469",
    }
    split = [("input_tokens", MINUTE, 399, 400, None), ("output_tokens", MINUTE, 70, 80, None)]

    assert told("anthropic", headers) == [*split, ("tokens", MINUTE, 469, 480, None)]
    assert told("anthropic", headers | {name("tokens-limit"): "100", name("tokens-remaining"): "9"}) == split


@pytest.mark.parametrize(("left", "most"), [("49000", 49999), ("50000", 50000), ("0", 0), ("49312", 49312)])
def test_anthropic_rounds_tokens(left, most):
    """To thousands; what is rounded off is not taken for used up."""
    name = "anthropic-ratelimit-{}".format
    headers = {name("tokens-limit"): "50000", name("tokens-remaining"): left, name("requests-remaining"): "2000"}

    assert told("anthropic", headers) == [("requests", MINUTE, 2000, None, None), ("tokens", MINUTE, most, 50000, None)]


def test_shares_without_amounts_are_no_limits():
    """Anthropic's subscriptions tell a share of something unknown."""
    headers = {
        "anthropic-ratelimit-unified-5h-utilization": "0.93",
        "anthropic-ratelimit-unified-5h-status": "allowed",
        "anthropic-ratelimit-unified-5h-reset": "1792567740",
    }

    assert told("anthropic", headers) == []


@pytest.mark.parametrize(
    ("extra", "limits"),
    [
        ({}, [("requests", MINUTE, 99, 100, None)]),
        ({"x-ratelimit-renewalperiod-requests": "10"}, [("requests", 10.0, 99, 100, None)]),
        ({"x-ratelimit-renewalperiod-requests": "-1"}, [("requests", MINUTE, 99, 100, None)]),
        ({"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "-1"}, []),
        ({"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "0"}, []),
        ({"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"}, []),
        ({"x-ratelimit-remaining-requests": "0"}, [("requests", MINUTE, 0, 100, None)]),
        ({"x-ratelimit-reset-requests": "500"}, [("requests", MINUTE, 99, 100, None)]),
        ({"x-ratelimit-reset-requests": "7"}, [("requests", MINUTE, 99, 100, 7.0)]),
    ],
)
def test_azure_sends_numbers_that_mean_nothing(extra, limits):
    """-1 and 0 with an answer are no limit, and a reset that is longer than the window is no time."""
    headers = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "99"}

    assert told("azure", headers | extra) == limits


def test_together_counts_by_the_second():
    """Requests and tokens."""
    headers = {
        "x-ratelimit-limit": "2",
        "x-ratelimit-remaining": "1",
        "x-ratelimit-reset": "2",
        "x-ratelimit-limit-dynamic": "5",
        "x-tokenlimit-limit": "300",
        "x-tokenlimit-remaining": "200",
    }

    assert told("together", headers) == [("requests", 1.0, 1, 2, 2.0), ("tokens", 1.0, 200, 300, None)]


def test_sambanova_counts_by_minute_and_day():
    """Under the plain names by the minute, under those with `day` by the day."""
    headers = {
        "x-ratelimit-remaining-requests": "19",
        "x-ratelimit-remaining-requests-day": "0",
        "x-ratelimit-reset-requests-day": "4h17m",
        "x-ratelimit-remaining-tokens": "7",
    }

    assert told("sambanova", headers) == [("requests", MINUTE, 19, None, None), ("requests", DAY, 0, None, 15420.0)]


@pytest.mark.parametrize(
    ("state", "policy", "limits"),
    [
        ('"api";r=9;t=5', '"api";q=10;w=60', [("requests", 60.0, 9, 10, 5.0)]),
        ('"api";r=9', '"fixed window";"api";q=10;w=300', [("requests", 300.0, 9, 10, None)]),
        (
            '"a";r=1, "b";r=2',
            '"a";q=5;w=1, "b";q=9;w=60',
            [("requests", 1.0, 1, 5, None), ("requests", 60.0, 2, 9, None)],
        ),
        ('"api";r=9', '"other";q=10;w=60', []),
        ('"api";r=9', '"api";q=10', []),
        ('"api";r=9', '"api";q=10;w=60;qu="content-bytes"', []),
        ('"api";r=-1', '"api";q=10;w=60', []),
        ("", '"api";q=10;w=60', []),
        ('"api";r=9', "", []),
    ],
)
def test_structured_fields_need_their_policy(state, policy, limits):
    """A state counts only with a policy of its name that tells a window, in requests."""
    assert told("huggingface", {"ratelimit": state, "ratelimit-policy": policy}) == limits


@pytest.mark.parametrize("table", [*TABLES, None, "unknown"])
def test_unknown_names_are_ignored(table):
    """What no row names is never guessed."""
    headers = {
        "x-ratelimit-remaining-widgets": "0",
        "x-ratelimit-remaining-tokens_usage_based": "0",
        "x-ratelimit-remaining-input-images": "0",
        "x-rate-limit-remaining": "0",
        "anthropic-ratelimit-widgets-remaining": "0",
    }

    assert told(table, headers) == []


def test_more_left_than_there_is_means_nothing():
    """Such a pair cannot be trusted."""
    assert told("groq", {"x-ratelimit-remaining-tokens": "11", "x-ratelimit-limit-tokens": "10"}) == []


WORDS = st.one_of(
    st.text(max_size=30),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.from_regex(r"[0-9]{1,4}(d|h|m|s|ms|us){1,3}", fullmatch=True),
    st.sampled_from(["2026-10-21T07:28:59Z", "0001-01-01T00:00:00-23:59", DATE[1], '"api";r=9;t=1;w=5', "rejected"]),
)
NAMES = sorted(
    {name for table in TABLES.values() for row in table.rows for name in (row.remaining, row.limit, row.reset)}
    | {"date", "ratelimit", "ratelimit-policy", "retry-after", "anthropic-ratelimit-unified-status"}
    | {"anthropic-ratelimit-unified-reset", "x-ratelimit-renewalperiod-requests"}
)


@given(st.sampled_from(sorted(TABLES)), st.lists(st.tuples(st.sampled_from(NAMES), WORDS), max_size=12), st.booleans())
def test_any_values_are_survived(table, headers, refusal):
    """Whatever stands in the headers, what is read is plausible and a pause is at most a day."""
    status = 429 if refusal else 200
    for each in remaining(table, tuple(headers), status):
        assert 0 <= each.remaining <= 10**15
        assert each.limit is None or each.remaining <= each.limit
        assert 0 < each.per_s < math.inf
    result = FAMILIES["openai"].response(status, tuple(headers), b"{}")
    add_limits(result, table)

    assert result.retry_after_s is None or 0 <= result.retry_after_s <= 86400


# --- when to come back


def test_a_result_holds_what_remains():
    """Of answers and refusals alike."""
    assert refused("groq", {"x-ratelimit-remaining-tokens": "0"}).remaining == (Remaining("tokens", MINUTE, 0),)


def test_anthropic_without_retry_after():
    """The later reset of the limits that are used up, by the response's own clock."""
    name = "anthropic-ratelimit-{}".format
    headers = {
        "date": DATE[1],
        name("requests-remaining"): "0",
        name("requests-reset"): "2026-10-21T07:28:10Z",
        name("output-tokens-remaining"): "0",
        name("output-tokens-reset"): "2026-10-21T07:28:31Z",
        name("input-tokens-remaining"): "1000",
        name("input-tokens-reset"): "2026-10-21T07:28:59Z",
    }

    assert refused("anthropic", headers, api="anthropic").retry_after_s == 31.0
    assert refused("anthropic", headers | {"retry-after": "7"}, api="anthropic").retry_after_s == 7.0


def test_anthropics_subscriptions_tell_when_their_window_ends():
    """The window that refuses, not the one that still allows; of more than an hour it is a matter of the day."""
    headers = {
        "date": DATE[1],
        "anthropic-ratelimit-unified-5h-status": "rejected",
        "anthropic-ratelimit-unified-5h-reset": "1792567740",
        "anthropic-ratelimit-unified-7d-status": "allowed",
        "anthropic-ratelimit-unified-7d-reset": "1792967740",
    }
    soon = refused("anthropic", headers, api="anthropic")
    later = refused("anthropic", headers | {"anthropic-ratelimit-unified-5h-reset": "1792574880"}, api="anthropic")

    assert (soon.outcome, soon.retry_after_s) == ("throttled", 60.0)
    assert (later.outcome, later.retry_after_s) == ("quota_day", 7200.0)


def test_cerebras_resets_are_pauses():
    """Of the limits that are used up; a used-up day is a matter of the day."""
    minute = {"x-ratelimit-remaining-tokens-minute": "0", "x-ratelimit-reset-tokens-minute": "26.28"}
    day = {"x-ratelimit-remaining-tokens-day": "0", "x-ratelimit-reset-tokens-day": "1800.5"}
    left = {"x-ratelimit-remaining-requests-day": "10", "x-ratelimit-reset-requests-day": "33011.4"}

    assert (refused("cerebras", minute | left).outcome, refused("cerebras", minute | left).retry_after_s) == (
        "throttled",
        26.28,
    )
    assert (refused("cerebras", minute | day).outcome, refused("cerebras", minute | day).retry_after_s) == (
        "quota_day",
        1800.5,
    )


def test_togethers_reset_is_the_pause_it_suggests():
    """Whatever is left."""
    assert refused("together", {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "3"}).retry_after_s == 3.0


@pytest.mark.parametrize("table", ["openai", "groq"])
def test_nobody_waits_until_a_bucket_is_full(table):
    """The resets of OpenAI and Groq tell when everything is back, which nobody needs."""
    headers = {
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "58s",
    }

    assert refused(table, headers).retry_after_s is None


def test_a_days_quota_tells_when_it_begins_anew():
    """The reset of the day that is used up, if there is no `retry-after`."""
    headers = {
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "7h12m0s",
    }
    body = {"error": {"message": "on requests per day (RPD)", "type": "requests", "code": "rate_limit_exceeded"}}

    assert refused("groq", headers, body=body).retry_after_s == 25920.0
    assert refused("groq", headers | {"retry-after": "86"}, body=body).retry_after_s == 86.0
    assert refused("groq", headers).outcome == "quota_day"


def test_billing_waits_only_for_a_day_that_is_told():
    """Money does not come back with the minute."""
    headers = {"x-ratelimit-remaining-requests-minute": "0", "x-ratelimit-reset-requests-minute": "9"}
    day = {"x-ratelimit-remaining-tokens-day": "0", "x-ratelimit-reset-tokens-day": "900"}

    assert refused("cerebras", headers, 402).retry_after_s is None
    assert refused("cerebras", headers | day, 402).retry_after_s == 900.0


def test_answers_are_left_alone():
    """A limit that is used up by a good answer is nothing to pause for here."""
    body = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    result = refused("cerebras", {"x-ratelimit-remaining-tokens-day": "0"}, 200, body)

    assert (result.outcome, result.retry_after_s) == ("answered", None)


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("False", False), ("maybe", None), (None, None)])
def test_what_the_backend_thinks_of_another_try(value, expected):
    """`x-should-retry`, as OpenAI and Anthropic send it."""
    assert refused("openai", {"x-should-retry": value} if value else {}).should_retry is expected
