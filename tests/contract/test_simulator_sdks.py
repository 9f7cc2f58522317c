"""The official SDKs are the referees: what the simulator sends, they must understand as the real thing."""

import contextlib

import anthropic
import openai
import pytest

from optimizer_ops.simulator.question import echo_of
from optimizer_ops.simulator.server import Simulator
from optimizer_ops.simulator.spec import parse_spec

USER = [{"role": "user", "content": "why?"}]
ECHO = f"echo:{echo_of('why?')}"
FUNCTION = {"name": "weather", "description": "", "parameters": {"type": "object", "properties": {}}}
OPENAI_STYLES = ["none", "openai", "groq", "cerebras", "mistral", "together", "gemini"]
STATUSES = [400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 529]


@contextlib.asynccontextmanager
async def openai_on(timeout_s=5.0, **spec):
    """A simulator and the official OpenAI client on it, which does not retry."""
    async with Simulator(parse_spec(spec)) as simulator:
        settings = {"base_url": simulator.url + "/v1", "api_key": "k", "max_retries": 0, "timeout": timeout_s}
        async with openai.AsyncOpenAI(**settings) as client:
            yield simulator, client


@contextlib.asynccontextmanager
async def anthropic_on(timeout_s=5.0, **spec):
    """A simulator and the official Anthropic client on it, which does not retry."""
    async with Simulator(parse_spec(spec)) as simulator:
        settings = {"base_url": simulator.url, "api_key": "k", "max_retries": 0, "timeout": timeout_s}
        async with anthropic.AsyncAnthropic(**settings) as client:
            yield simulator, client


# --- OpenAI


@pytest.mark.parametrize("style", OPENAI_STYLES)
async def test_openai_chat(style):
    """A chat completion has text, reason and usage, whosever headers it carries."""
    async with openai_on(headers=style) as (_, client):
        answer = await client.chat.completions.create(model="m", messages=USER)

    assert answer.choices[0].message.content.startswith(ECHO)
    assert (answer.choices[0].finish_reason, answer.model, answer.object) == ("stop", "m", "chat.completion")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (1, 32, 33)


async def test_openai_chat_cut_and_several():
    """A small maximum ends with `length`; `n` choices come as asked."""
    async with openai_on() as (_, client):
        answer = await client.chat.completions.create(model="m", messages=USER, max_completion_tokens=4, n=2)

    assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
    assert answer.usage.completion_tokens == 8


@pytest.mark.parametrize("style", OPENAI_STYLES)
@pytest.mark.parametrize("per_token_s", [0.0, 0.0001])
async def test_openai_streaming(style, per_token_s):
    """The chunks make the same text, end with a reason, and bring usage when asked."""
    async with openai_on(headers=style, latency={"per_token_s": per_token_s}) as (_, client):
        whole = await client.chat.completions.create(model="m", messages=USER)
        stream = await client.chat.completions.create(
            model="m", messages=USER, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert text == whole.choices[0].message.content
    assert (reasons[-1], set(reasons[:-1])) == ("stop", {None})
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage == whole.usage
    assert chunks[0].choices[0].delta.role == "assistant"


async def test_openai_tool_call():
    """A required tool is called, whole and streamed, with arguments that are JSON."""
    tools = [{"type": "function", "function": FUNCTION}]
    request = {"model": "m", "messages": USER, "tools": tools, "tool_choice": "required"}
    async with openai_on() as (_, client):
        answer = await client.chat.completions.create(**request)
        async with client.chat.completions.stream(**request) as stream:
            streamed = await stream.get_final_completion()

    for completion in (answer, streamed):
        (call,) = completion.choices[0].message.tool_calls
        assert completion.choices[0].finish_reason == "tool_calls"
        assert (call.function.name, call.function.arguments) == ("weather", f'{{"echo":"{echo_of("why?")}"}}')


async def test_openai_embeddings():
    """Vectors are the same in the client's packed form and as plain numbers."""
    async with openai_on(embedding_size=5) as (_, client):
        packed = await client.embeddings.create(model="m", input=["a", "b"])
        plain = await client.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
        short = await client.embeddings.create(model="m", input="a", dimensions=2)

    assert [len(item.embedding) for item in packed.data] == [5, 5]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert len(short.data[0].embedding) == 2
    assert packed.usage.prompt_tokens == 2


async def test_openai_models():
    """The list of models and a single one are read."""
    async with openai_on(models=["a", "b"]) as (_, client):
        listed = [model.id async for model in client.models.list()]
        single = await client.models.retrieve("b")
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("c")

    assert (listed, single.id) == (["a", "b"], "b")


@pytest.mark.parametrize("style", OPENAI_STYLES)
@pytest.mark.parametrize("status", STATUSES)
async def test_openai_errors(style, status):
    """Each status becomes the exception that the SDK has for it, in every provider's shape."""
    classes = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        404: openai.NotFoundError,
        409: openai.ConflictError,
        422: openai.UnprocessableEntityError,
        429: openai.RateLimitError,
    }
    async with openai_on(headers=style, fail=[status]) as (_, client):
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="m", messages=USER)

    assert type(caught.value) is classes.get(status, openai.InternalServerError)
    assert caught.value.status_code == status
    # Gemini's compatible endpoint wraps its errors in a list, which the SDK passes on as it is.
    body = caught.value.body[0]["error"] if style == "gemini" else caught.value.body
    assert body["message"]


@pytest.mark.parametrize(
    ("fault", "code", "kind"),
    [
        ("slow_down", "slow_down", "requests"),
        ("billing", "credit_balance_exhausted", "insufficient_quota"),
        ("context_too_long", "context_length_exceeded", "invalid_request_error"),
        ("content_filter", "content_filter", "invalid_request_error"),
    ],
)
async def test_openai_error_codes(fault, code, kind):
    """Code and type, which decide whether to ask again, are read by the SDK."""
    async with openai_on(headers="openai", fail=[fault]) as (_, client):
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="m", messages=USER)

    assert (caught.value.code, caught.value.type) == (code, kind)


async def test_openai_rate_limit_headers():
    """The limits are seen on an answer; the hint and the request's id on a refusal."""
    async with openai_on(headers="openai", limits={"rpm": 1, "tpm": 1000}) as (_, client):
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=USER)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="m", messages=USER)

    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    assert raw.headers["x-ratelimit-remaining-tokens"] == "967"
    assert raw.parse().choices[0].message.content.startswith(ECHO)
    assert 59_000 < int(caught.value.response.headers["retry-after-ms"]) <= 60_000
    assert caught.value.request_id.startswith("req_")
    assert caught.value.code == "rate_limit_exceeded"


async def test_openai_retries_when_told():
    """With retries on, the SDK follows the hint and gets its answer at the second attempt."""
    async with openai_on(headers="openai", fail=[503]) as (simulator, client):
        answer = await client.with_options(max_retries=1).chat.completions.create(model="m", messages=USER)

    assert answer.choices[0].message.content.startswith(ECHO)
    assert [entry.status for entry in simulator.entries] == [503, 200]


async def test_openai_wrong_key():
    """A wrong key is an authentication error, and a right one is not."""
    async with openai_on(api_key="other") as (simulator, client):
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="m", messages=USER)
        simulator.patch({"api_key": "k"})
        await client.chat.completions.create(model="m", messages=USER)


@pytest.mark.parametrize("fault", ["reset", "cut"])
@pytest.mark.parametrize("stream", [False, True])
async def test_openai_connection_faults(fault, stream):
    """A broken connection is an error of the connection, or breaks the stream; it never looks like an answer."""
    async with openai_on(fail=[fault]) as (_, client):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the SDK lets its HTTP library's error through
            await _consume(await client.chat.completions.create(model="m", messages=USER, stream=stream))

    assert isinstance(caught.value, openai.APIConnectionError) or "httpx" in type(caught.value).__module__


@pytest.mark.parametrize("fault", ["hang", "hang_after_headers"])
async def test_openai_hanging(fault):
    """A backend that never answers runs into the client's timeout."""
    async with openai_on(timeout_s=0.1, fail=[fault]) as (_, client):
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(model="m", messages=USER)


async def test_openai_dribble():
    """An answer in small pieces is still the answer."""
    async with openai_on(fail=["dribble"], dribble_s=0.001) as (_, client):
        answer = await client.chat.completions.create(model="m", messages=USER)

    assert answer.choices[0].message.content.startswith(ECHO)


async def test_openai_error_within_a_stream():
    """An error after a 200 is raised by the stream."""
    async with openai_on(fail=["stream_error"]) as (_, client):
        stream = await client.chat.completions.create(model="m", messages=USER, stream=True)
        with pytest.raises(openai.APIError, match="Overloaded"):
            await _consume(stream)


async def _consume(answer):
    """Read a stream to its end."""
    if hasattr(answer, "__aiter__"):
        async for _ in answer:
            pass


# --- Anthropic


async def test_anthropic_message():
    """A message has text, reason and usage."""
    async with anthropic_on(headers="anthropic") as (_, client):
        message = await client.messages.create(model="m", messages=USER, max_tokens=100, system="be brief")

    assert message.content[0].text.startswith(ECHO)
    assert (message.stop_reason, message.role, message.model) == ("end_turn", "assistant", "m")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 32)


async def test_anthropic_message_cut():
    """A small maximum ends with `max_tokens`."""
    async with anthropic_on() as (_, client):
        message = await client.messages.create(model="m", messages=USER, max_tokens=4)

    assert (message.stop_reason, message.usage.output_tokens, len(message.content[0].text)) == ("max_tokens", 4, 16)


@pytest.mark.parametrize("per_token_s", [0.0, 0.0001])
async def test_anthropic_streaming(per_token_s):
    """The events add up to the message that would have come whole."""
    async with anthropic_on(latency={"per_token_s": per_token_s}) as (_, client):
        whole = await client.messages.create(model="m", messages=USER, max_tokens=100)
        async with client.messages.stream(model="m", messages=USER, max_tokens=100) as stream:
            streamed = await stream.get_final_message()

    assert streamed.content[0].text == whole.content[0].text
    assert streamed.stop_reason == whole.stop_reason
    assert streamed.usage.output_tokens == whole.usage.output_tokens


async def test_anthropic_tool_use():
    """A tool that the request insists on is used, whole and streamed."""
    tools = [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]
    request = {"model": "m", "messages": USER, "max_tokens": 100, "tools": tools, "tool_choice": {"type": "any"}}
    async with anthropic_on() as (_, client):
        whole = await client.messages.create(**request)
        async with client.messages.stream(**request) as stream:
            streamed = await stream.get_final_message()

    for message in (whole, streamed):
        assert message.stop_reason == "tool_use"
        assert (message.content[0].name, message.content[0].input) == ("weather", {"echo": echo_of("why?")})


async def test_anthropic_models():
    """The list of models is read by this SDK too."""
    async with anthropic_on(models=["a", "b"]) as (_, client):
        assert [model.id async for model in client.models.list()] == ["a", "b"]


@pytest.mark.parametrize("status", [*STATUSES, 413, 504])
async def test_anthropic_errors(status):
    """Each status becomes the exception that the SDK has for it, with the type that the API documents."""
    classes = {
        400: anthropic.BadRequestError,
        401: anthropic.AuthenticationError,
        403: anthropic.PermissionDeniedError,
        404: anthropic.NotFoundError,
        409: anthropic.ConflictError,
        413: anthropic.APIStatusError,
        422: anthropic.UnprocessableEntityError,
        429: anthropic.RateLimitError,
    }
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}
    async with anthropic_on(headers="anthropic", fail=[status]) as (_, client):
        with pytest.raises(anthropic.APIStatusError) as caught:
            await client.messages.create(model="m", messages=USER, max_tokens=9)

    assert isinstance(caught.value, classes.get(status, anthropic.InternalServerError))
    assert caught.value.status_code == status
    assert caught.value.body["error"]["type"] == kinds.get(status, caught.value.body["error"]["type"])
    assert caught.value.request_id.startswith("req_")


async def test_anthropic_rate_limit_headers():
    """Requests and three kinds of tokens are seen on an answer, seconds to wait on a refusal."""
    limits = {"rpm": 1, "tpm": 50000, "itpm": 40000, "otpm": 8000}
    async with anthropic_on(headers="anthropic", limits=limits) as (_, client):
        raw = await client.messages.with_raw_response.create(model="m", messages=USER, max_tokens=9)
        with pytest.raises(anthropic.RateLimitError) as caught:
            await client.messages.create(model="m", messages=USER, max_tokens=9)

    for kind in ("requests", "tokens", "input-tokens", "output-tokens"):
        for part in ("limit", "remaining", "reset"):
            assert f"anthropic-ratelimit-{kind}-{part}" in raw.headers
    assert caught.value.response.headers["retry-after"] == "60"


async def test_anthropic_error_within_a_stream():
    """An error event after a 200 is raised by the stream."""
    async with anthropic_on(fail=["stream_error"]) as (_, client):
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            async with client.messages.stream(model="m", messages=USER, max_tokens=99) as stream:
                await stream.get_final_message()


async def test_anthropic_wrong_key():
    """This protocol's key header is checked as well."""
    async with anthropic_on(api_key="other") as (_, client):
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(model="m", messages=USER, max_tokens=9)
