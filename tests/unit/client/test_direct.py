"""The way past the optimizer: which backend, with which key, and what comes back."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from optimizer_client import (
    AsyncOptimizer,
    AuthenticationError,
    BackendUnavailable,
    DeadlineExceeded,
    InvalidRequest,
    Optimizer,
    OptimizerUnavailable,
)
from optimizer_client import direct as module
from optimizer_client.direct import DirectCaller, direct_caller, station
from optimizer_client.options import chat_request, embed_request
from optimizer_config import load

NOWHERE = "amqp://127.0.0.1:1/"


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A function that writes an optimizer.toml, which is then the one in force, and reads it."""

    def write(text):
        path = tmp_path / "optimizer.toml"
        path.write_text(text)
        monkeypatch.setenv("OPTIMIZER_CONFIG", str(path))
        return load(str(path), {})

    return write


def pick(config, environ, **options):
    """The backend and model for a request."""
    backend, model, secret = station(config, chat_request("agent", "Hi", None, options), environ)
    return backend.name, model, secret.reveal() if secret else None


def test_the_first_of_the_route_that_has_its_key_is_called(config):
    """A route is walked in its order; what has no key is passed over."""
    routes = config('[routes]\ndefault = ["groq", "mistral/open-mixtral"]\ncode = ["cerebras"]')
    keys = {"MISTRAL_API_KEY": "m", "CEREBRAS_API_KEY": "c"}

    assert pick(routes, keys) == ("mistral", "open-mixtral", "m")
    assert pick(routes, keys, task="code") == ("cerebras", routes.backends["cerebras"].default_model, "c")
    assert pick(routes, keys | {"GROQ_API_KEY": "g"}, task="creative")[0] == "groq"


def test_without_a_route_it_is_a_backend_that_costs_nothing(config):
    """With nothing written, the first free backend of the catalogue with a key serves; a paid one never does."""
    nothing = config("")

    assert pick(nothing, {"OPENAI_API_KEY": "o", "MISTRAL_API_KEY": "m"})[0] == "mistral"
    with pytest.raises(OptimizerUnavailable, match=r"GROQ_API_KEY .*is missing"):
        pick(nothing, {"OPENAI_API_KEY": "o"})


def test_the_model_that_was_asked_for_is_kept(config):
    """An alias, a backend, a backend with a model, and a model lead where they lead in the optimizer."""
    known = config('[models]\nfast = ["groq/llama-x"]')
    keys = {"GROQ_API_KEY": "g", "OPENAI_API_KEY": "o"}

    assert pick(known, keys, model="fast")[:2] == ("groq", "llama-x")
    assert pick(known, keys, model="openai")[0] == "openai"
    assert pick(known, keys, model="openai/o9")[:2] == ("openai", "o9")
    model = known.backends["groq"].default_model
    assert pick(known, keys, model=model)[:2] == ("groq", model)


def test_a_local_backend_needs_no_key_if_somebody_named_it(config):
    """Without a key, only a backend that the file or the request names is taken to be there."""
    assert pick(config('[routes]\ndefault = ["ollama"]'), {})[0] == "ollama"
    assert pick(config(""), {}, model="ollama")[0] == "ollama"
    with pytest.raises(OptimizerUnavailable):
        pick(config(""), {})


def test_embeddings_have_a_route_of_their_own(config):
    """An embeddings request takes the route `embed`, else the default."""
    routes = config('[routes]\ndefault = ["groq"]\nembed = ["mistral/mistral-embed"]')
    keys = {"GROQ_API_KEY": "g", "MISTRAL_API_KEY": "m"}

    backend, model, _ = station(routes, embed_request("agent", "text", {}), keys)

    assert (backend.name, model) == ("mistral", "mistral-embed")


def test_a_missing_aiohttp_is_said_at_once(monkeypatch):
    """Without the extra, making the client fails with the command that installs it."""
    monkeypatch.setattr(module, "find_spec", lambda _: None)

    with pytest.raises(ModuleNotFoundError, match=r"\.\[direct\]"):
        direct_caller()
    with pytest.raises(ModuleNotFoundError, match=r"\.\[direct\]"):
        Optimizer("agent", fallback="direct")


async def test_a_configuration_that_cannot_be_used_is_said(config, monkeypatch):
    """An optimizer.toml with a mistake is `OptimizerUnavailable` with the sentence that names the place."""
    config("")
    monkeypatch.setenv("OPTIMIZER_CONFIG", "/nowhere/optimizer.toml")

    with pytest.raises(OptimizerUnavailable, match=r"/nowhere/optimizer\.toml"):
        await DirectCaller().call(chat_request("agent", "Hi", None, {}))


@asynccontextmanager
async def backend(config, handler):
    """A backend on this machine, to which the default route leads; yields what it was asked."""
    asked = []

    async def completions(request):
        asked.append((await request.json(), request.headers.get("authorization")))
        return await handler()

    app = web.Application()
    app.router.add_post("/v1/chat/completions", completions)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    config(
        f'[backends.here]\nbase_url = "http://127.0.0.1:{port}/v1"\nmodels = ["m"]\napi_key_env = "HERE_KEY"\n'
        '[routes]\ndefault = ["here"]'
    )
    try:
        yield asked
    finally:
        await runner.cleanup()


async def answered():
    """An answer."""
    message = {"role": "assistant", "content": "Hello."}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return web.json_response({"object": "chat.completion", "model": "m-1", "choices": choices, "usage": usage})


def failing(status, message="No."):
    """A handler that fails."""

    async def handler():
        return web.Response(status=status, text=json.dumps({"error": {"message": message}}))

    return handler


async def test_an_agent_without_optimizer_is_answered_directly(config, monkeypatch):
    """With `fallback="direct"` and no RabbitMQ, the answer comes from the backend and says so."""
    monkeypatch.setenv("HERE_KEY", "secret")
    async with (
        backend(config, answered) as asked,
        AsyncOptimizer("agent", url=NOWHERE, connect_timeout=0.05, fallback="direct") as optimizer,
    ):
        reply = await optimizer.chat("Hi", task="creative", temperature=0)

    assert (reply.text, reply.source, reply.backend, reply.model) == ("Hello.", "direct", "here", "m-1")
    assert (reply.usage.total_tokens, reply.cost_usd, reply.task, reply.attempts) == (3, None, "creative", 1)
    assert [(body["model"], body["temperature"], key) for body, key in asked] == [("m", 0, "Bearer secret")]


async def test_the_blocking_client_is_answered_directly_too(config, monkeypatch):
    """`Optimizer` does the same from its threads: one by one, and many at once."""
    monkeypatch.setenv("HERE_KEY", "secret")

    def ask():
        with Optimizer("agent", url=NOWHERE, connect_timeout=0.05, fallback="direct") as optimizer:
            return [optimizer.chat("Hi"), *optimizer.chat_many([f"Hi {number}" for number in range(20)])]

    async with backend(config, answered) as asked:
        replies = await asyncio.to_thread(ask)

    assert [(reply.text, reply.source) for reply in replies] == [("Hello.", "direct")] * 21
    assert len(asked) == 21


@pytest.mark.parametrize(
    ("status", "error"), [(400, InvalidRequest), (401, AuthenticationError), (503, BackendUnavailable)]
)
async def test_what_a_direct_call_comes_to_is_a_typed_exception(config, monkeypatch, status, error):
    """A failure of the backend is raised as the class that the optimizer would have sent."""
    monkeypatch.setenv("HERE_KEY", "secret")
    async with backend(config, failing(status)):
        caller = DirectCaller()
        with pytest.raises(error) as caught:
            await caller.call(chat_request("agent", "Hi", None, {"request_id": "mine"}))
        await caller.close()

    assert caught.value.request_id == "mine"


async def test_a_direct_call_keeps_the_deadline(config, monkeypatch):
    """A backend that does not answer in time is a `DeadlineExceeded`, not a standstill."""
    monkeypatch.setenv("HERE_KEY", "secret")

    let_go = asyncio.Event()

    async def hang():
        await let_go.wait()
        return await answered()

    async with backend(config, hang):
        caller = DirectCaller()
        with pytest.raises(DeadlineExceeded):
            await caller.call(chat_request("agent", "Hi", None, {"timeout": 0.1}))
        await caller.close()
        let_go.set()


async def test_a_closed_caller_can_be_used_again(config, monkeypatch):
    """Closing closes connections; the next call opens new ones."""
    monkeypatch.setenv("HERE_KEY", "secret")
    async with backend(config, answered):
        caller = DirectCaller()
        for _ in range(2):
            assert (await caller.call(chat_request("agent", "Hi", None, {}))).text == "Hello."
            await caller.close()
