"""The official SDKs are the referees of our adapters.

Over real HTTP, from the same recorded bodies, both must read the same text, calls, usage and errors; and what our
adapters send must be what the SDKs would send. `recorded/` holds one response each, shaped by the vendors'
documentation and public recordings.
"""

import contextlib
import json
from pathlib import Path

import anthropic
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from anthropic._exceptions import extract_error_code
from genai_prices import extract_usage
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from optimizer_backends.families import FAMILIES
from optimizer_backends.http import BackendClient
from optimizer_config.credentials import Secret
from optimizer_config.model import Backend

TestServer.__test__ = False  # a server, not a test
RECORDED = {file.stem: json.loads(file.read_text()) for file in (Path(__file__).parent / "recorded").glob("*.json")}
ANSWERS = sorted(name for name, told in RECORDED.items() if told["status"] == 200)
ERRORS = sorted(name for name, told in RECORDED.items() if told["status"] != 200)
CHATS = [name for name in ANSWERS if RECORDED[name].get("op", "chat") == "chat"]
USER = [{"role": "user", "content": "why?"}]
KEY = "sk-secret-key-1234"


def speaks(name):
    """The protocol that a recording is in."""
    return "anthropic" if name.startswith("anthropic") else "openai"


@contextlib.asynccontextmanager
async def serving(name):
    """A server that answers everything with a recording, and the list of bodies that it was sent."""
    told, sent = RECORDED[name], []

    async def answer(request):
        sent.append({"path": request.path, "headers": request.headers, "body": json.loads(await request.read())})
        text = told.get("padding", "") + json.dumps(told["body"])
        headers = {"content-type": "application/json", **told["headers"]}
        return web.Response(status=told["status"], text=text, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}", sent


async def ours(name, model="m", **params):
    """What our client makes of a recording, and what it sent."""
    op = RECORDED[name].get("op", "chat")
    params = params or ({"messages": USER} if op == "chat" else {"input": ["a", "b"]})
    async with serving(name) as (url, sent):
        base = url if speaks(name) == "anthropic" else f"{url}/v1"
        backend = Backend("b", speaks(name), base, ("m",))
        async with BackendClient(backend, Secret(KEY), limit=1) as client:
            return await client.call(op, model, params, 10), sent[0]


async def theirs(name, **params):
    """What the official SDK makes of a recording, answer or exception, and what it sent."""
    op = RECORDED[name].get("op", "chat")
    async with serving(name) as (url, sent):
        settings = {"api_key": KEY, "max_retries": 0, "timeout": 10}
        try:
            if speaks(name) == "anthropic":
                async with anthropic.AsyncAnthropic(base_url=url, **settings) as client:
                    params = params or {"messages": USER, "max_tokens": 9}
                    return await client.messages.create(**{"model": "m", **params}), sent[0]
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", **settings) as client:
                if op == "embed":
                    told = await client.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
                    return told, sent[0]
                params = params or {"messages": USER}
                return await client.chat.completions.create(**{"model": "m", **params}), sent[0]
        except (openai.APIError, anthropic.APIError) as error:
            return error, sent[0]


# --- answers


@pytest.mark.parametrize("name", [name for name in CHATS if speaks(name) == "openai"])
async def test_openai_answers(name):
    """Text, calls, reasons, model and usage of a chat completion are those that the SDK reads."""
    (result, _), (referee, _) = await ours(name), await theirs(name)
    told = ChatCompletion.model_validate(result.body)

    assert result.outcome == "answered"
    assert told.choices == referee.choices
    assert (told.model, result.model) == (referee.model, referee.model)
    assert result.finish_reason == referee.choices[0].finish_reason
    assert (told.usage, result.usage.input_tokens) == (referee.usage, referee.usage.prompt_tokens)
    assert result.usage.total_tokens == referee.usage.total_tokens
    assert result.body == RECORDED[name]["body"]


async def test_embeddings():
    """Vectors and usage of embeddings are those that the SDK reads."""
    (result, _), (referee, _) = await ours("openai_embeddings"), await theirs("openai_embeddings")
    told = CreateEmbeddingResponse.model_validate(result.body)

    assert [entry.embedding for entry in told.data] == [entry.embedding for entry in referee.data]
    assert (result.usage.input_tokens, result.model) == (referee.usage.prompt_tokens, referee.model)


FINISH = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}


@pytest.mark.parametrize("name", [name for name in CHATS if speaks(name) == "anthropic"])
async def test_anthropic_answers(name):
    """A message that the Anthropic SDK reads says the same as the chat completion that OpenAI's types accept."""
    (result, _), (referee, _) = await ours(name), await theirs(name)
    told = ChatCompletion.model_validate(result.body)
    message = told.choices[0].message
    calls = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]

    assert (message.content or "") == "".join(block.text for block in referee.content if block.type == "text")
    assert calls == [(block.id, block.name, block.input) for block in referee.content if block.type == "tool_use"]
    assert told.choices[0].finish_reason == result.finish_reason == FINISH[referee.stop_reason]
    assert result.complete == (referee.stop_reason in {"end_turn", "tool_use"})
    assert (told.id, told.model, result.model) == (referee.id, referee.model, referee.model)
    usage = referee.usage
    from_cache, to_cache = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    assert result.usage.input_tokens == told.usage.prompt_tokens == usage.input_tokens + from_cache + to_cache
    assert result.usage.output_tokens == told.usage.completion_tokens == usage.output_tokens
    assert (result.usage.cached_input_tokens, result.usage.cache_write_tokens) == (from_cache, to_cache)


async def test_a_retry_hint_with_an_answer_means_nothing():
    """Anthropic sends `retry-after` with answers."""
    result, _ = await ours("anthropic_text")

    assert ("retry-after", "53") in result.headers
    assert result.retry_after_s is None


FLAVOURS = {"openai": "chat", "cerebras": "chat", "deepseek": "chat", "x-ai": "chat", "openrouter": "chat"}
PRICED = [name for name in CHATS if RECORDED[name]["provider"] not in {None, "together", "google"}]


@pytest.mark.parametrize("name", PRICED)
async def test_usage_as_the_price_table_reads_it(name):
    """Our counts are those that genai-prices takes from the same body."""
    told = RECORDED[name]
    result, _ = await ours(name)
    flavour = FLAVOURS.get(told["provider"], "default")
    referee = extract_usage(told["body"], provider_id=told["provider"], api_flavor=flavour).usage

    assert result.usage.input_tokens == referee.reported_value("input_tokens")
    assert result.usage.output_tokens == referee.reported_value("output_tokens")
    assert result.usage.cached_input_tokens == referee.reported_value("cache_read_tokens")
    assert result.usage.cache_write_tokens == referee.reported_value("cache_write_tokens")
    assert result.usage.reasoning_tokens == referee.reported_value("output_reasoning_tokens")


# --- errors

CLASSES = {
    "unauthorized": {"AuthenticationError", "PermissionDeniedError"},
    "context_too_long": {"BadRequestError", "APIStatusError", "ContentTooLargeError"},
    "unknown_model": {"NotFoundError"},
    "throttled": {"RateLimitError"},
    "ramp": {"RateLimitError"},
    "quota_day": {"RateLimitError"},
    "billing": {"RateLimitError", "APIStatusError", "PaymentRequiredError"},
    "overloaded": {"InternalServerError", "OverloadedError", "ServiceUnavailableError"},
    "transient": {"InternalServerError"},
}


@pytest.mark.parametrize("name", ERRORS)
async def test_errors(name):
    """Where the SDK raises, ours has the outcome that fits, with the same status and codes."""
    told = RECORDED[name]
    (result, _), (referee, _) = await ours(name), await theirs(name)

    assert result.outcome == told["outcome"]
    assert any(kind.__name__ in CLASSES[told["outcome"]] for kind in type(referee).__mro__), type(referee)
    assert (result.status, result.retry_after_s) == (referee.status_code, told.get("retry_after_s"))
    codes = [getattr(referee, field, None) for field in ("code", "type")] + [extract_error_code(referee.body)]
    for code in filter(None, codes):
        assert str(code) in result.signature
    assert KEY not in result.message


# --- requests

FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
PARAMS = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": "x"}'}},
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a dot"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "max_completion_tokens": 100,
    "stop": ["END"],
    "user": "u1",
}  # fmt: skip


async def test_openai_requests():
    """What we send is what the SDK sends: the same path, key and body."""
    (_, mine), (_, referee) = await ours("openai_text", **PARAMS), await theirs("openai_text", **PARAMS)

    assert (mine["path"], mine["body"]) == (referee["path"], referee["body"])
    assert mine["headers"]["authorization"] == referee["headers"]["authorization"]


async def test_anthropic_requests():
    """What we translate is accepted by the SDK as its own parameters, and it sends the same."""
    _, mine = await ours("anthropic_text", **PARAMS)
    _, referee = await theirs("anthropic_text", **mine["body"])

    assert (mine["path"], mine["body"]) == (referee["path"], referee["body"])
    assert mine["headers"]["x-api-key"] == KEY
    assert mine["headers"]["anthropic-version"]


def test_every_family_has_recordings():
    """Both protocols are refereed, answers and errors."""
    for names in (ANSWERS, ERRORS):
        assert {speaks(name) for name in names} == set(FAMILIES)
