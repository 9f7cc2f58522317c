"""What the history tells on the command line."""

import json
import time

import pytest
from rich.text import Text
from tests.support.history_rows import Batch, call_row, fill, plausible, request_row
from typer.testing import CliRunner

from optimizer_ops.cli import app
from optimizer_ops.formatting.moments import moment
from optimizer_ops.history.reader import History
from optimizer_ops.terminal.grid import Head, grid

NAMES = {"tenant": "shop", "agent": "quality", "task": "code", "backend": "groq", "model": "m"}
SLOW, JOINED = "01a20000-0000-7000-8000-000000000001", "01a20000-0000-7000-8000-000000000002"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A history of one slow request, one that joined its call, and a week of others."""
    now = time.time()
    asked = now - 600
    (batch,) = plausible(2_000, until=now // 3600 * 3600, days=3, seed=3)
    who = {**NAMES, "flight": "f.1", "outcome": "answered", "input_tokens": 10, "output_tokens": 20}
    led = {**who, "id": SLOW, "source": "backend", "ended": asked + 13.0, "total_ms": 13_000.0, "call_ms": 900.0}
    joined = {**who, "id": JOINED, "agent": "late", "source": "collapsed", "ended": asked + 13.0, "total_ms": 3_000.0}
    call = {**who, "id": "c1", "request_id": SLOW, "attempt": 1, "ended": asked + 13.0, "call_ms": 900.0}
    call |= {"waited_for": "rpm 30", "waited_ms": 12_100.0, "cost_nano": 5_000_000, "waiters": 2}
    own = Batch([request_row(asked, **led), request_row(asked + 10, **joined)], [call_row(asked + 12.1, **call)], [])
    url = f"sqlite:///{tmp_path_factory.mktemp('history')}/history.db"
    fill(url, iter([batch, own]))
    return url


@pytest.fixture
def ask(url, monkeypatch):
    """Runs a command on that history."""
    monkeypatch.setenv("OPTIMIZER_HISTORY_URL", url)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_the_verdict_says_what_a_request_waited_for(ask):
    """A trace by the beginning of an id tells the wait, its reason and the call; one that joined names whose call."""
    led = ask("trace", SLOW)
    assert led.exit_code == 0
    assert "It took 13.0 s: 12.1 s in line for groq (rpm 30 used up), then one call to groq of 0.90 s." in led.stdout
    joined = json.loads(ask("trace", JOINED, "--json").stdout)
    assert joined["verdict"].startswith(f"It joined the call of request {SLOW} (quality, asked 10.0 s before it). ")
    assert "2.1 s in line for groq" in joined["verdict"]
    several = ask("trace", SLOW[:20])
    assert several.exit_code == 1
    assert JOINED in several.stderr


def test_costs_are_those_of_the_history(ask, url):
    """The shares and totals printed as JSON are what the history holds; what has no price is said to have none."""
    told = json.loads(ask("costs", "--by", "backend", "--since", "7d", "--json").stdout)
    history = History.open(url)
    assert told["totals"]["cost_usd"] == pytest.approx(history.totals(time.time() - 7 * 86_400).cost_usd)
    history.close()
    assert sum(each["requests"] for each in told["shares"]) == told["totals"]["requests"] == 2_002
    line = next(each for each in ask("costs", "--by", "backend").stdout.splitlines() if "openrouter" in each)
    assert line.split()[1:3] == ["unknown", "unknown"]


def test_calls_finds_what_it_is_asked_for(ask):
    """Filters, order and paging hold; ids are whole when piped, so that trace takes them."""
    slowest = json.loads(ask("calls", "--slowest", "--agent", "quality", "--json").stdout)["requests"]
    assert [each["id"] for each in slowest] == [SLOW]
    assert SLOW in ask("calls", "--agent", "quality").stdout
    first = json.loads(ask("calls", "--since", "7d", "--limit", "3", "--json").stdout)["requests"]
    more = json.loads(ask("calls", "--since", "7d", "--limit", "2", "--before", first[0]["id"], "--json").stdout)
    assert [each["id"] for each in more["requests"]] == [each["id"] for each in first[1:]]
    failed = json.loads(ask("calls", "--failed", "--since", "7d", "--json").stdout)["requests"]
    assert {each["outcome"] for each in failed} == {"backend_unavailable"}


def test_agents_are_known_by_name(ask):
    """Every agent has a line; one that there never was is a sentence with the nearest name."""
    assert {"quality", "late"} <= {each["agent"] for each in json.loads(ask("agents", "--json").stdout)["agents"]}
    assert "by backend" in ask("agents", "quality").stdout
    wrong = ask("agents", "qualty")
    assert wrong.exit_code == 1
    assert "quality" in wrong.stderr


def test_without_a_history_there_is_one_sentence(monkeypatch, tmp_path):
    """Every command says that there is none and what to start, and leaves with 69."""
    monkeypatch.setenv("OPTIMIZER_HISTORY_URL", f"sqlite:///{tmp_path}/none.db")
    for words in (["costs"], ["calls"], ["agents"], ["trace", "--last"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 69
        assert "optimizer recorder" in done.stderr


def test_a_grid_never_cuts_what_must_be_whole():
    """On a narrow screen columns of higher rank go first; an id stays whole; a name cannot steer the terminal."""
    heads = (Head("id"), Head("name", least=4), Head("more", rank=1))
    lines = grid(heads, [("x" * 20, "a\x1b[31mlong name", Text("m" * 30))], 30)
    assert [line.cell_len <= 30 for line in lines] == [True, True]
    assert "x" * 20 in lines[1].plain
    assert "\x1b" not in lines[1].plain
    assert "more" not in lines[0].plain


def test_moments_are_ages_or_dates():
    """How long ago, or a date by this machine's clock; anything else is a sentence."""
    assert moment("30m", 10_000.0) == 8_200.0
    assert moment("2026-11-01T14:30", 0) - moment("2026-11-01", 0) == 14.5 * 3_600
    with pytest.raises(ValueError, match="is no moment"):
        moment("soon", 0)
