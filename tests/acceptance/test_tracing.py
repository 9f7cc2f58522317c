"""One trace from the agent to the backend, through the queues; and nothing where nobody traces."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.support.collector import Collector, collector
from tests.support.stack import Stack, wait_until
from tests.support.tap import shared_stack

from optimizer_client import AsyncOptimizer, Optimizer
from optimizer_wire import tracing as names
from optimizer_wire.errors import UnknownModel

SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
SECRET = "the secret of the harbour master"


@pytest.fixture(scope="module")
def traced(tmp_path_factory, amqp_url, redis_url):
    """A coordinator and a worker that trace, and what reaches the collector and the backend."""
    with collector() as seen, shared_stack(tmp_path_factory.mktemp("traced"), amqp_url, redis_url) as stack:
        serve(stack, seen, f'[tracing]\nendpoint = "{seen.url}"\n')
        yield stack, seen


@pytest.fixture(scope="module")
def untraced(tmp_path_factory, amqp_url, redis_url):
    """The same, without tracing."""
    with collector() as seen, shared_stack(tmp_path_factory.mktemp("untraced"), amqp_url, redis_url) as stack:
        serve(stack, seen)
        yield stack, seen


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test changes how quick the backend is for the next one."""
    yield
    for name in {"traced", "untraced"} & set(request.fixturenames):
        request.getfixturevalue(name)[1].delay_s = 0.0


@pytest.fixture
def agent_spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The agents of this test trace, into memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


def serve(stack: Stack, collected: Collector, extra: str = "") -> None:
    """A coordinator and a worker of the backend that notes what it is called with."""
    stack.extra = extra
    stack.backends["mine"] = {
        "api": "openai",
        "base_url": f"{collected.url}/v1",
        "models": ["m"],
        "kind": "local",
        "concurrency": 4,
    }
    stack.routes["default"] = ["mine"]
    stack.configure()
    stack.ready(stack.worker("mine", **SOON), stack.coordinator(**SOON))


def client(stack: Stack, agent: str = "a") -> AsyncOptimizer:
    return AsyncOptimizer(agent, url=stack.amqp_url, prefix=stack.prefix, timeout=30)


def ids(span) -> tuple[str, str]:
    """Trace and span, as they are written."""
    known = span.get_span_context()
    return f"{known.trace_id:032x}", f"{known.span_id:016x}"


def fresh() -> str:
    """A prompt that nobody has asked before."""
    return f"{SECRET} {uuid.uuid4().hex}"


async def asked(optimizer: AsyncOptimizer, prompt: str) -> tuple[str, str]:
    """Ask inside a span of the agent's own; returns its ids."""
    with trace.get_tracer("agent").start_as_current_span("agent works") as span:
        await optimizer.chat(prompt)
        return ids(span)


def test_one_trace(traced, agent_spans: InMemorySpanExporter):
    """What an agent asks inside a span of its own is one trace with it, down to the headers of the backend's call."""
    stack, collected = traced
    prompt = fresh()

    async def ask():
        async with client(stack) as optimizer:
            return await asked(optimizer, prompt), await asked(optimizer, prompt)

    (whole, root), (second, _) = asyncio.run(ask())
    wait_until(lambda: collected.of(whole, names.PROCESS_CALL) and collected.of(second, "process"), "the spans")
    (request,), (process,) = collected.of(whole, names.PROCESS_REQUEST), collected.of(whole, names.PROCESS_CALL)
    (call,), (hit,) = collected.of(whole, "chat m"), collected.of(second, names.PROCESS_REQUEST)
    asking = next(span for span in agent_spans.get_finished_spans() if ids(span)[0] == whole and span.name == names.ASK)
    headers = collected.called_with[-1]

    assert f"{asking.parent.span_id:016x}" == root
    assert (request.parent, process.parent, call.parent) == (ids(asking)[1], request.id, process.id)
    assert headers["traceparent"].startswith(f"00-{whole}-{call.id}-")
    assert (request.service, process.service) == ("optimizer-coordinator", "optimizer-worker")
    assert asking.attributes[names.SOURCE] == "backend"
    assert request.attributes[names.RESULT] == "lead"
    assert hit.attributes[names.RESULT] == "hit"
    assert call.attributes[names.GEN_AI_INPUT_TOKENS] == 3
    assert call.attributes[names.GEN_AI_OUTPUT_TOKENS] == 2
    assert call.attributes[names.GEN_AI_PROVIDER] == "mine"
    assert call.attributes[names.HTTP_STATUS] == 200
    assert SECRET.encode() not in collected.raw
    assert b"secret answer" not in collected.raw
    assert b"secret" not in repr([span.attributes for span in agent_spans.get_finished_spans()]).encode()


def test_collapsed_links_to_the_call(traced, agent_spans: InMemorySpanExporter):
    """A request that joins a call waits in its own trace, in a span that links to the call that it shares."""
    stack, collected = traced
    prompt = fresh()
    collected.delay_s, before = 1.0, len(collected.called_with)

    async def ask():
        async with client(stack, "a") as first, client(stack, "b") as second:
            leading = asyncio.create_task(asked(first, prompt))
            while len(collected.called_with) == before:
                await asyncio.sleep(0.01)
            return await asyncio.gather(leading, asked(second, prompt))

    (led, _), (joined, _) = asyncio.run(ask())
    wait_until(lambda: collected.of(joined, names.COLLAPSED) and collected.of(led, "chat m"), "the spans")
    (waited,), (call,) = collected.of(joined, names.COLLAPSED), collected.of(led, "chat m")
    (request,) = collected.of(joined, names.PROCESS_REQUEST)

    assert waited.links == ((led, call.id),)
    assert waited.parent == request.id
    assert request.attributes[names.RESULT] == "join"
    assert 0 < waited.duration_s <= call.duration_s + 1
    assert not collected.of(joined, "chat m")


def test_blocking_client(traced, agent_spans: InMemorySpanExporter):
    """The blocking client belongs to the trace of its thread, and errors are told in it."""
    stack, collected = traced
    prompt = fresh()

    with Optimizer("a", url=stack.amqp_url, prefix=stack.prefix, timeout=30) as optimizer:
        with trace.get_tracer("agent").start_as_current_span("agent works") as span:
            whole, _ = ids(span)
            optimizer.chat(prompt)
        with trace.get_tracer("agent").start_as_current_span("agent errs") as span:
            refused, _ = ids(span)
            with pytest.raises(UnknownModel):
                optimizer.chat(prompt, model="nobody/knows")
    wait_until(lambda: collected.of(whole, "chat m"), "the span of the call")
    erring = [span for span in agent_spans.get_finished_spans() if ids(span)[0] == refused and span.name == names.ASK]

    assert erring[0].attributes[names.ERROR_TYPE] == "unknown_model"
    assert not erring[0].status.is_ok


def test_passed_on_without_tracing(untraced, agent_spans: InMemorySpanExporter):
    """Processes that trace nothing pass on what an agent's trace says: the backend sees it."""
    stack, collected = untraced
    prompt = fresh()

    async def ask():
        async with client(stack) as optimizer:
            return await asked(optimizer, prompt)

    whole, _ = asyncio.run(ask())
    asking = next(span for span in agent_spans.get_finished_spans() if span.name == names.ASK)

    assert collected.called_with[-1]["traceparent"].startswith(f"00-{whole}-{ids(asking)[1]}-")
    assert not collected.spans


def test_nothing_where_nobody_traces(untraced):
    """Where neither an agent nor our processes trace, no message and no call says anything of a trace."""
    stack, collected = untraced
    prompt = fresh()

    async def ask():
        async with client(stack) as optimizer:
            await optimizer.chat(prompt)

    asyncio.run(ask())

    assert "traceparent" not in collected.called_with[-1]
    assert not collected.spans


def test_trace_begins_at_the_coordinator(traced):
    """A request of an agent that traces nothing begins a trace where it comes in."""
    stack, collected = traced
    prompt, name = fresh(), uuid.uuid4().hex

    async def ask():
        async with client(stack) as optimizer:
            await optimizer.chat(prompt, request_id=name)

    asyncio.run(ask())
    begun = wait_until(
        lambda: [
            span
            for span in list(collected.spans)
            if span.name == names.PROCESS_REQUEST and span.attributes[names.MESSAGING_ID] == name
        ],
        "the span of the request",
    )
    request = begun[0]

    assert request.parent == ""
    wait_until(lambda: collected.of(request.trace, "chat m"), "the call in the same trace")
