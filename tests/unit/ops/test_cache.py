"""The words and pages of the cache, and which answers a selection takes."""

import io

import msgspec
import pytest
from rich.console import Console

from optimizer_ops.cache.flush import FlushTally
from optimizer_ops.cache.flush_summary import sentence
from optimizer_ops.cache.lookup import Found
from optimizer_ops.cache.render import answer_json, answer_page, entries_page, found_json, stats_page
from optimizer_ops.cache.stats import CacheStats, Part, RedisState, _warning
from optimizer_ops.history.views import Totals
from optimizer_state.answer import Answer
from optimizer_state.selection import Entry, Selection
from optimizer_wire.messages import Usage

NOW_MS = 1_800_000_000_000
ENTRY = Entry(
    fingerprint="ab" * 16,
    tenant="acme",
    agent="[bold]quality",
    namespace="",
    task="code",
    backend="groq",
    model="llama",
    stored_ms=NOW_MS - 60_000,
    since_ms=NOW_MS - 61_000,
    ttl_ms=3_600_000,
    bytes=900,
    memory=1_100,
)


def text(page):
    """A page as a terminal of 160 columns shows it."""
    console = Console(file=io.StringIO(), width=160, highlight=False)
    console.print(page)
    return console.file.getvalue()


def answer(result):
    """A stored answer with this result."""
    raw = msgspec.Raw(msgspec.msgpack.encode(result))
    usage = Usage(input_tokens=12, output_tokens=3)
    return Answer(ok=True, leader="r-1", stored_ms=1, result=raw, usage=usage, cost_usd=0.002, attempts=1)


@pytest.mark.parametrize(
    ("tally", "said"),
    [
        (FlushTally(what=Selection(), older_than_s=None, dry_run=False), "No answer was flushed: everything."),
        (
            FlushTally(what=Selection(task="code"), older_than_s=None, dry_run=True, answers=2, memory_bytes=2_300),
            "2 answers would be flushed: task code. They take 2.3 kB of Redis' memory.",
        ),
        (
            FlushTally(what=Selection(namespace=""), older_than_s=None, dry_run=False, answers=1, memory_bytes=900),
            "1 answer was flushed: namespace (none). It took 900 B of Redis' memory.",
        ),
        (
            FlushTally(what=Selection(), older_than_s=7 * 86_400, dry_run=False, answers=3),
            "3 answers were flushed: older than 7 days.",
        ),
    ],
)
def test_sentences(tally, said):
    """A flush is one sentence that says how many, which, and what they took."""
    assert sentence(tally) == said


@pytest.mark.parametrize(
    ("what", "taken"),
    [
        ({}, True),
        ({"tenant": "acme", "task": "code"}, True),
        ({"tenant": "acme", "task": "long"}, False),
        ({"namespace": ""}, True),
        ({"namespace": "x"}, False),
        ({"fingerprint": "abab"}, True),
        ({"fingerprint": "ba"}, False),
    ],
)
def test_selections(what, taken):
    """A selection takes what has all of its properties; the empty namespace is one like others."""
    assert Selection(**what).takes(ENTRY.fingerprint, ENTRY) is taken


def test_what_is_not_known_is_taken():
    """An entry of which nothing is known may be what is meant."""
    assert Selection(namespace="x", tenant="t", agent="a", model="m", task="code").takes("ab", Entry(fingerprint="ab"))


def test_text_is_shown_only_if_asked_for():
    """What is known of an answer never holds its text; with it, a chat is shown as text and anything else as JSON."""
    chat = answer({"choices": [{"message": {"content": "the secret"}}]})
    tool = answer({"choices": [{"message": {"content": None, "tool_calls": ["look"]}}]})

    assert "secret" not in answer_page(ENTRY, chat, NOW_MS, text=False)
    assert "secret" not in answer_json(ENTRY, chat, text=False)
    assert answer_page(ENTRY, chat, NOW_MS, text=True).endswith("\n\nthe secret")
    assert "tool_calls" in answer_page(ENTRY, tool, NOW_MS, text=True)
    assert msgspec.json.decode(answer_json(ENTRY, chat, text=True))["result"]["choices"]


def test_entries():
    """A list shows each answer in a row, with names as they are, and says how many there are."""
    found = Found(entries=[ENTRY], of=7)
    shown = text(entries_page(found, NOW_MS))

    assert all(word in shown for word in (ENTRY.fingerprint, "[bold]quality", "60 s", "60 min", "groq/llama", "1 of 7"))
    assert msgspec.json.decode(found_json(found))["entries"][0]["namespace"] == ""
    assert "No stored answer" in text(entries_page(Found(entries=[], of=0), NOW_MS))


def test_statistics():
    """Estimates are called so, the hit rate comes from the history, and a wrong policy is warned of."""
    redis = RedisState(
        version="7.0", used_memory_bytes=2_000_000, max_memory_bytes=0, policy="noeviction", evicted=5, expired=9
    )
    redis.warning = _warning(redis.policy, redis.max_memory_bytes)
    by = {
        "task": [Part(name="code", answers=30, memory_bytes=40_000)],
        "namespace": [Part(name="", answers=30, memory_bytes=1)],
    }
    stats = CacheStats(
        at=0,
        exact=False,
        keys=500,
        looked=100,
        answers=30,
        memory_bytes=40_000,
        oldest_s=50,
        newest_s=5,
        by=by,
        redis=redis,
    )
    shown = text(stats_page(stats, Totals(requests=10, hits=3, collapsed=2, saved_usd=0.5)))

    assert "estimated from 100 of 500 keys" in shown
    assert "50.0 % needed no call" in shown
    assert "Warning: Redis has no maxmemory" in shown
    assert "by task" in shown
    assert "by namespace" not in shown
    assert "not known. None yet." in text(stats_page(stats, "not known. None yet."))


@pytest.mark.parametrize(
    ("policy", "most", "word"),
    [("allkeys-lru", 1, "evict budgets"), ("volatile-lfu", 0, "no maxmemory"), ("noeviction", 1, "no writes")],
)
def test_warnings(policy, most, word):
    """Each setting of Redis that harms is warned of, and the recommended one is not."""
    assert word in _warning(policy, most)
    assert not _warning("volatile-lfu", 1)
