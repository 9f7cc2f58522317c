"""Over real HTTP on this machine: answers, limits, faults, control, and the log that tells what happened."""

import asyncio
import contextlib
import io
import json
import time

import aiohttp
import pytest
from tests.support import judge

from optimizer_ops.simulator.question import echo_of
from optimizer_ops.simulator.server import Simulator
from optimizer_ops.simulator.spec import parse_spec

CHAT = "/v1/chat/completions"


@contextlib.asynccontextmanager
async def simulated(log=None, **spec):
    """A simulator and a session on it."""
    async with Simulator(parse_spec(spec), log) as simulator, aiohttp.ClientSession(simulator.url) as http:
        yield simulator, http


def asking(text="hi", **more):
    """Keyword arguments of a chat request."""
    return {"json": {"model": "m", "messages": [{"role": "user", "content": text}], **more}}


async def until(condition):
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("prefix", ["/v1", "", "/openai/v1", "/v1beta/openai"])
async def test_every_prefix_is_served(prefix):
    """Providers put the protocol under different paths; all of them answer."""
    async with simulated() as (_, http), http.post(f"{prefix}/chat/completions", **asking("where?")) as response:
        body = await response.json()

    assert response.status == 200
    assert body["choices"][0]["message"]["content"].startswith(f"echo:{echo_of('where?')}")
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"] == 34


async def test_many_at_once_each_get_their_own():
    """Two hundred concurrent questions have two hundred answers that belong to them."""
    async with simulated(latency={"kind": "jitter", "spread_s": 0.02}) as (simulator, http):

        async def ask(text):
            """The text of the answer."""
            async with http.post(CHAT, **asking(text)) as response:
                return (await response.json())["choices"][0]["message"]["content"]

        texts = [f"question {number}" for number in range(200)]
        found = await asyncio.gather(*map(ask, texts))

    assert all(answer.startswith(f"echo:{echo_of(text)}") for text, answer in zip(texts, found, strict=True))
    assert simulator.stats()["questions"] == 200
    assert simulator.stats()["in_flight"] == 0


async def test_the_limit_refuses_in_the_providers_words():
    """The third request within the window is a 429 with body, hint and headers of the provider."""
    async with simulated(headers="groq", limits={"rpm": 2, "rpd": 1000}) as (_, http):
        statuses = []
        for _ in range(3):
            async with http.post(CHAT, **asking()) as response:
                statuses.append(response.status)
                body = await response.json()

    assert statuses == [200, 200, 429]
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert "requests per minute (RPM): Limit 2, Used 2" in body["error"]["message"]
    assert response.headers["retry-after"] == "60"
    assert response.headers["x-ratelimit-remaining-requests"] == "998"


@pytest.mark.parametrize(
    ("style", "path", "key", "value"),
    [
        ("openai", CHAT, ("error", "code"), "rate_limit_exceeded"),
        ("cerebras", CHAT, ("code",), "request_quota_exceeded"),
        ("mistral", CHAT, ("code",), "1300"),
        ("together", CHAT, ("error_type",), "dynamic_request_limited"),
        ("anthropic", "/v1/messages", ("error", "type"), "rate_limit_error"),
    ],
)
async def test_each_provider_refuses_with_its_own_body(style, path, key, value):
    """A 429 has the shape that the provider sends."""
    async with (
        simulated(headers=style, limits={"rpm": 0}) as (_, http),
        http.post(path, **asking(max_tokens=5)) as response,
    ):
        found = await response.json()

    for part in key:
        found = found[part]
    assert (response.status, found) == (429, value)


async def test_concurrency_is_limited():
    """What exceeds the number at once is refused; afterwards there is room again."""
    async with simulated(limits={"concurrency": 1}, fail=["hold"]) as (simulator, http):
        first = asyncio.ensure_future(http.post(CHAT, **asking()))
        await until(lambda: simulator.backend.working == 1)
        async with http.post(CHAT, **asking()) as second:
            pass
        simulator.release()
        async with await first as released:
            pass
        async with http.post(CHAT, **asking()) as third:
            pass

    assert (second.status, released.status, third.status) == (429, 200, 200)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Authorization": "Bearer k"}, 200), ({"x-api-key": "k"}, 200), ({"Authorization": "Bearer x"}, 401), ({}, 401)],
)
async def test_keys_are_checked(headers, status):
    """Either header may carry the key; a wrong or missing one is a 401 that uses no budget."""
    async with simulated(api_key="k", limits={"rpm": 1}) as (simulator, http):
        async with http.post(CHAT, headers=headers, **asking()) as response:
            await response.json()
        used = simulator.backend._limiter.windows[0].used(time.monotonic())

    assert (response.status, used) == (status, int(status == 200))


async def test_unknown_models_and_long_prompts_are_refused():
    """A backend with a list of models has no others, and its context ends somewhere."""
    async with simulated(models=["m"], max_context_tokens=10) as (_, http):
        async with http.post(CHAT, json=asking()["json"] | {"model": "other"}) as unknown:
            code = (await unknown.json())["error"]["code"]
        async with http.post(CHAT, **asking("x" * 100)) as long:
            long_code = (await long.json())["error"]["code"]
        async with http.get("/v1/models") as listed:
            ids = [item["id"] for item in (await listed.json())["data"]]

    assert (unknown.status, code) == (404, "model_not_found")
    assert (long.status, long_code) == (400, "context_length_exceeded")
    assert ids == ["m"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (500, 500, None),
        (529, 529, None),
        ("throttled", 429, "rate_limit_exceeded"),
        ("slow_down", 429, "slow_down"),
        ("billing", 429, "credit_balance_exhausted"),
        ("quota_day", 429, "rate_limit_exceeded"),
        ("context_too_long", 400, "context_length_exceeded"),
        ("content_filter", 400, "content_filter"),
    ],
)
async def test_scripted_failures_come_once(fault, status, code):
    """A scripted failure meets one request; the next is answered."""
    async with simulated(fail=[fault]) as (simulator, http):
        async with http.post(CHAT, **asking()) as failed:
            body = await failed.json()
        async with http.post(CHAT, **asking()) as fine:
            pass

    assert (failed.status, body["error"]["code"], fine.status) == (status, code, 200)
    assert [entry.outcome for entry in simulator.entries] == ["failed", "answered"]


@pytest.mark.parametrize("fault", ["hang", "hang_after_headers"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_hanging_answer_ends_with_its_client(fault, stream):
    """Nothing comes, until the client goes; then its place is free and the log says so."""
    async with simulated(fail=[fault], limits={"concurrency": 1}) as (simulator, http):
        with pytest.raises(TimeoutError):
            async with http.post(CHAT, timeout=aiohttp.ClientTimeout(total=0.1), **asking(stream=stream)) as response:
                await response.read()
        await until(lambda: simulator.backend.in_flight == 0)
        async with http.post(CHAT, **asking()) as fine:
            pass

    assert fine.status == 200
    assert [entry.outcome for entry in simulator.entries] == [fault, "answered"]


async def test_reset_is_a_reset():
    """The connection is torn down without a byte of answer."""
    async with simulated(fail=["reset"], fail_repeat=True) as (simulator, http):
        reader, writer = await asyncio.open_connection(*simulator.url.removeprefix("http://").split(":"))
        body = json.dumps(asking()["json"]).encode()
        writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.post(CHAT, **asking())

    assert {(entry.status, entry.outcome) for entry in simulator.entries} == {(None, "reset")}


@pytest.mark.parametrize("stream", [False, True])
async def test_cut_breaks_within_the_body(stream):
    """Status and half of the body arrive, then the connection breaks."""
    async with simulated(fail=["cut"]) as (_, http), http.post(CHAT, **asking(stream=stream)) as response:
        assert response.status == 200
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await response.read()


@pytest.mark.parametrize("fault", ["malformed", "empty"])
async def test_spoiled_bodies_are_200(fault):
    """What is not JSON comes with a good status and whole."""
    async with simulated(fail=[fault]) as (_, http), http.post(CHAT, **asking()) as response:
        body = await response.read()

    assert response.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


async def test_a_dribbled_answer_is_slow_but_right():
    """All of it arrives, in many pieces over a while."""
    async with simulated(fail=["dribble"], dribble_s=0.002) as (_, http):
        started = time.monotonic()
        async with http.post(CHAT, **asking()) as response:
            body = await response.json(content_type=None)

    assert body["choices"][0]["message"]["content"].startswith("echo:")
    assert time.monotonic() - started > 0.02


async def test_latency_is_the_first_part_and_the_tokens():
    """A fixed latency and a time per token add up, streamed or not."""
    latency = {"base_s": 0.05, "per_token_s": 0.001}
    async with simulated(latency=latency, answer_tokens=40) as (simulator, http):
        for stream in (False, True):
            async with http.post(CHAT, **asking(stream=stream)) as response:
                await response.read()

    for entry in simulator.entries:
        assert entry.ended_mono - entry.mono >= 0.09


async def test_control_changes_the_script_while_it_runs():
    """A patch is in force for the next request; a wrong one is refused and changes nothing."""
    async with simulated() as (simulator, http):
        async with http.post("/_control", json={"fail_rate": 1.0, "fail_with": [503]}) as response:
            assert (await response.json())["fail_rate"] == 1.0
        async with http.post(CHAT, **asking()) as failed:
            pass
        async with http.post("/_control", json={"fail_rat": 0}) as wrong:
            assert "fail_rat" in (await wrong.json())["error"]["message"]
        async with http.post("/_control", data=b"{") as broken:
            pass
        async with http.post("/_control", json={"fail_rate": None}):
            pass
        async with http.post(CHAT, **asking()) as fine:
            pass

    assert (failed.status, wrong.status, broken.status, fine.status) == (503, 400, 400, 200)
    assert simulator.spec == parse_spec({})


async def test_a_patch_of_one_thing_keeps_the_rest_running():
    """Changing failures does not empty the windows."""
    async with simulated(limits={"rpm": 1}) as (simulator, http):
        async with http.post(CHAT, **asking()) as first:
            pass
        simulator.patch({"fail": [500], "latency": {"base_s": 0.001}})
        async with http.post(CHAT, **asking()) as second:
            pass

    assert (first.status, second.status) == (200, 429)


async def test_log_and_stats_are_served():
    """What arrived can be read over HTTP, from any number on."""
    async with simulated(name="n") as (_, http):
        for text in ("a", "b", "b"):
            async with http.post(CHAT, **asking(text)):
                pass
        async with http.get("/_log", params={"since": "1"}) as response:
            entries = await response.json()
        async with http.get("/_stats") as response:
            stats = await response.json()

    assert [(e["seq"], e["question"], e["status"]) for e in entries] == [(2, echo_of("b"), 200), (3, echo_of("b"), 200)]
    assert (stats["name"], stats["requests"], stats["most_calls_of_a_question"]) == ("n", 3, 2)


async def test_the_file_has_a_line_at_arrival_and_one_at_the_end(tmp_path):
    """While a request is held its start is already on disk; no prompt text ever is."""
    path = tmp_path / "log.jsonl"
    async with simulated(path, name="n", fail=["hold"]) as (simulator, http):
        held = asyncio.ensure_future(http.post(CHAT, **asking("secret words")))
        await until(lambda: simulator.backend.working == 1)
        begun = path.read_text()
        simulator.release()
        (await held).close()
    whole = path.read_text()

    assert [json.loads(line)["event"] for line in begun.splitlines()] == ["start"]
    assert [json.loads(line)["event"] for line in whole.splitlines()] == ["start", "end"]
    assert "secret" not in whole
    (call,) = judge.read_log(whole.splitlines())
    assert (call.backend, call.status, call.question, call.tokens) == ("n", 200, echo_of("secret words"), 35)
    assert call.start < call.end


async def test_backends_share_a_file(tmp_path):
    """Several simulators append to one file, and the judge tells them apart."""
    path = tmp_path / "log.jsonl"
    async with simulated(path, name="a") as (_, first), simulated(path, name="b") as (_, second):
        for http in (first, second, first):
            async with http.post(CHAT, **asking()):
                pass

    calls = judge.read_log(path.read_text().splitlines())
    assert [violation.backend for violation in judge.violations(calls, [judge.parse_limit("rpm=1")])] == ["a"]


async def test_it_can_go_away_and_come_back():
    """Stopped it refuses connections and breaks those it has; started again on its port it goes on counting."""
    async with simulated(fail=["hang"]) as (simulator, http):
        held = asyncio.ensure_future(http.post(CHAT, **asking()))
        await until(lambda: simulator.backend.working == 1)
        await simulator.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await held
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.post(CHAT, **asking())
        await simulator.start(port=int(simulator.url.rpartition(":")[2]))
        async with http.post(CHAT, **asking()) as response:
            pass

    assert response.status == 200
    assert [entry.seq for entry in simulator.entries] == [1, 2]
    assert simulator.backend.in_flight == 0


@pytest.mark.parametrize(("method", "path"), [("GET", CHAT), ("POST", "/v1/other"), ("GET", "/_other"), ("GET", "/")])
async def test_elsewhere_is_nothing(method, path):
    """Other paths and methods are a 404 in JSON and are not in the record."""
    async with simulated() as (simulator, http), http.request(method, path) as response:
        assert "nothing at" in (await response.json())["error"]["message"]

    assert response.status == 404
    assert simulator.entries == []


async def test_a_large_body_is_taken():
    """There is no limit of a mebibyte on what a backend reads."""
    body = json.dumps(asking("x" * 3_000_000)["json"]).encode()

    async with simulated() as (_, http), http.post(CHAT, data=io.BytesIO(body)) as response:
        assert (await response.json())["usage"]["prompt_tokens"] == 750_000


async def test_a_client_that_leaves_within_its_body_is_recorded():
    """A request whose body never ended is in the record, without a status."""
    async with simulated() as (simulator, _):
        _, writer = await asyncio.open_connection(*simulator.url.removeprefix("http://").split(":"))
        writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{" % CHAT.encode())
        await until(lambda: simulator.backend.in_flight == 1)
        writer.close()
        await writer.wait_closed()
        await until(lambda: simulator.backend.in_flight == 0)

    assert [(entry.status, entry.outcome) for entry in simulator.entries] == [(None, "gone")]


@pytest.mark.parametrize(
    ("spec", "quota", "delay"),
    [
        ({"limits": {"rpm": 0}}, "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "86400s"),
        ({"limits": {"rpd": 0}}, "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "22s"),
        ({"fail": ["quota_day"]}, "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "22s"),
        ({"fail": ["throttled"]}, "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "1s"),
    ],
)
async def test_gemini_names_the_limit_by_a_quota_id(spec, quota, delay):
    """Gemini's 429 comes in a list, tells minute from day by the quota's id alone, and sends no header."""
    async with simulated(headers="gemini", **spec) as (_, http), http.post(CHAT, **asking()) as response:
        ((failure, retry),) = [found["error"]["details"] for found in await response.json()]

    assert response.status == 429
    assert "retry-after" not in response.headers
    assert failure["violations"][0]["quotaId"] == quota
    assert retry["retryDelay"] == delay
