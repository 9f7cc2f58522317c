"""What calls will use of a backend's limits, and what they used."""

import timeit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_backends.prices import Prices
from optimizer_config.amounts import Amounts
from optimizer_config.model import Backend
from optimizer_state.estimates import Estimates
from optimizer_wire.messages import Usage
from optimizer_workers.estimate import ATTACHMENT_CHARS, UNKNOWN_USUAL_TOKENS, Estimator, micro_usd, request_chars

BACKEND = Backend(name="b", api="openai", base_url="http://127.0.0.1:1", models=("m",))
TEXT = {"messages": [{"role": "user", "content": "x" * 1000}]}


@pytest.fixture
def prices(tmp_path):
    """A dollar for a million tokens of input, four for output."""
    file = tmp_path / "prices.toml"
    file.write_text("[b.m]\ninput = 1.0\noutput = 4.0\n")
    return Prices(str(file))


def estimator(prices=None, clock=lambda: 0.0, **fields):
    """An estimator of a backend that differs in some fields."""
    backend = msgspec.structs.replace(BACKEND, **fields)
    made = Estimates(backend.models, counts_max_tokens=backend.counts_max_tokens)
    return Estimator(backend, prices or Prices(), made, clock=clock)


# --- the length of a prompt


@pytest.mark.parametrize(
    ("params", "chars"),
    [
        (TEXT, 1000),
        ({"messages": [{"role": "system", "content": "abc"}, {"role": "user", "content": "de"}]}, 5),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "abc"}]}]}, 3),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:" + "x" * 99999}}]}
                ]
            },
            ATTACHMENT_CHARS,
        ),
        ({"messages": [], "tools": [{"a": "b"}]}, len('[{"a":"b"}]')),
        ({"messages": [], "response_format": {"a": "b"}}, len('{"a":"b"}')),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": [{"a": "b"}]}]}, len('[{"a":"b"}]')),
        ({"input": "four"}, 4),
        ({"input": ["four", "five!"]}, 9),
        ({"input": [1, 2, 3]}, 12),
        ({"input": [[1, 2], [3]]}, 12),
        ({}, 0),
        ({"messages": "no"}, 0),
    ],
)
def test_the_length_of_a_prompt(params, chars):
    """Texts, tools and formats by their characters; what is no text by a guess, not by the length of its bytes."""
    assert request_chars(params) == chars


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["content", "text", "tool_calls", "type"]), inner, max_size=3)
    ),
    max_leaves=9,
)


@given(st.dictionaries(st.sampled_from(["messages", "input", "tools", "max_tokens", "n", "response_format"]), JSON))
def test_any_parameters_have_an_estimate(params):
    """Whatever callers send, it is counted as something."""
    amounts = estimator().amounts(params, "chat", "m")

    assert amounts.requests == 1
    assert amounts.input_tokens >= 1
    assert amounts.output_tokens >= 0


# --- estimates


def test_a_chat_call(prices):
    """Tokens by the prompt's length and the maximum asked for, money by the price of both."""
    amounts = estimator(prices).amounts(TEXT | {"max_tokens": 100}, "chat", "m")

    assert amounts == Amounts(requests=1, input_tokens=308, output_tokens=100, micro_usd=708)


@pytest.mark.parametrize(
    ("params", "tokens"),
    [
        ({}, 512),
        ({"max_tokens": 9}, 9),
        ({"max_completion_tokens": 7, "max_tokens": 9}, 7),
        ({"max_completion_tokens": 7, "n": 3}, 21),
        ({"max_tokens": "many"}, 512),
        ({"max_tokens": True, "n": -1}, 512),
    ],
)
def test_the_maximum_that_was_asked_for(params, tokens):
    """By either of its names, for each choice; nonsense counts as none."""
    assert estimator().amounts(TEXT | params, "chat", "m").output_tokens == tokens


def test_embeddings_have_no_output():
    """Only their input counts."""
    assert estimator().amounts({"input": "x" * 1000}, "embed", "m") == Amounts(1, 308, 0, 0)


def test_what_nobody_prices_costs_nothing():
    """An unknown price holds nothing back."""
    assert estimator(kind="paid").amounts(TEXT, "chat", "m").micro_usd == 0


def test_prices_are_asked_for_now_and_then(prices):
    """Some change by the hour."""
    now = [0.0]
    made = estimator(prices, clock=lambda: now[0])
    before = made.amounts(TEXT, "chat", "m").micro_usd
    prices._rates["b"]["m"] = msgspec.structs.replace(prices._rates["b"]["m"], input=2.0, output=8.0)

    assert made.amounts(TEXT, "chat", "m").micro_usd == before
    now[0] = 601.0
    assert made.amounts(TEXT, "chat", "m").micro_usd == 2 * before


def test_estimates_follow_usage():
    """What was learned is what is expected next."""
    made = estimator()
    for _ in range(20):
        made.learn("m", 1000, Usage(input_tokens=250, output_tokens=40), 0.001)

    amounts = made.amounts(TEXT, "chat", "m")
    assert amounts.input_tokens == 250
    assert 40 <= amounts.output_tokens <= 48


def test_an_estimate_is_cheap():
    """Well below 50 microseconds for a usual prompt."""
    backend = msgspec.structs.replace(BACKEND, prices="groq")
    made = Estimator(backend, Prices(), Estimates(["m"]))
    params = {"messages": [{"role": "user", "content": "x" * 500}] * 20, "max_tokens": 100}
    best = min(timeit.repeat(lambda: made.amounts(params, "chat", "m"), number=200, repeat=20))

    assert best / 200 < 50e-6


# --- usage


@pytest.mark.parametrize(
    ("fields", "input_tokens"),
    [
        ({"ratelimit_headers": "groq"}, 60),
        ({"ratelimit_headers": "anthropic"}, 60),
        ({"name": "groq"}, 60),
        ({"ratelimit_headers": "openai"}, 100),
        ({"name": "groq", "ratelimit_headers": "openai"}, 100),
        ({}, 100),
    ],
)
def test_cached_input_counts_where_it_counts(fields, input_tokens):
    """Groq and Anthropic leave what their cache gave out of the limits; the others do not."""
    usage = Usage(input_tokens=100, output_tokens=7, cached_input_tokens=40, cache_write_tokens=30)

    assert estimator(**fields).used(usage, 0.5) == Amounts(1, input_tokens, 7, 500_000)


def test_unknown_usage_keeps_the_estimate():
    """A server that tells none is settled as it was reserved."""
    assert estimator().used(None, None) is None


def test_what_is_charged_in_full_is_settled_in_full():
    """Cerebras charges the maximum that was asked for, whatever was used."""
    reserved = Amounts(1, 90, 4000, 0)
    usage = Usage(input_tokens=100, output_tokens=7)

    assert estimator(counts_max_tokens=True).used(usage, None, reserved) == Amounts(1, 100, 4000, 0)
    assert estimator().used(usage, None, reserved) == Amounts(1, 100, 7, 0)


@pytest.mark.parametrize(
    ("usd", "micro"), [(None, 0), (0.0, 0), (1.0, 1_000_000), (1.2e-6, 2), (0.000003, 3), (-1.0, 0), (float("nan"), 0)]
)
def test_money_is_rounded_up(usd, micro):
    """A cap in money is never passed by rounding."""
    assert micro_usd(usd) == micro


def test_fair_shares_are_charged_with_what_is_usual():
    """An agent is charged with the mean of what such calls use, not with what nine of ten do not exceed."""
    estimates = Estimates(("m",))
    estimator = Estimator(Backend("b", "openai", "http://x", ("m",)), Prices(None), estimates)
    amounts = estimator.amounts({"messages": [{"role": "user", "content": "x" * 30}]}, "chat", "m")
    assert estimator.usual_tokens(amounts, "m") == amounts.input_tokens + UNKNOWN_USUAL_TOKENS

    for output in (10, 10, 10, 10, 10, 10, 10, 10, 10, 400):
        estimates.add("m", chars=30, input_tokens=10, output_tokens=output, micro_usd=0)
    amounts = estimator.amounts({"messages": [{"role": "user", "content": "x" * 30}]}, "chat", "m")
    assert estimator.usual_tokens(amounts, "m") <= amounts.input_tokens + 49
