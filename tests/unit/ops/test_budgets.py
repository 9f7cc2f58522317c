"""What `optimizer budgets` shows of the levels."""

import io
import json

import pytest
from rich.console import Console

from optimizer_ops.budgets.described import json_line
from optimizer_ops.budgets.rows import plain
from optimizer_ops.budgets.state import states
from optimizer_ops.budgets.table import table
from optimizer_state.estimates import Lesson
from optimizer_state.levels import Breaker, Levels, LimitLevel
from optimizer_state.outlook import Outlook

NARROW = "tpm[openai/gpt-oss-120b]"


def levels(*limits, name="groq", in_flight=2, **given):
    """The levels of a backend with a worker."""
    concurrency = LimitLevel("concurrency", "requests", 8, 8, reserved=in_flight)
    return Levels(name, 0, limits, concurrency, **{"workers": 2, **given})


def drawn(*all_levels, width=100):
    """The table as text."""
    console = Console(width=width, file=io.StringIO())
    console.print(table(all_levels, width))
    return console.file.getvalue()


def lesson(calls):
    """What was learned from some calls of 40 tokens for 100 characters, answered with 20."""
    learned = Lesson()
    for _ in range(calls):
        learned.add_call(100, 40, 20, 500)
    return learned


RPM = LimitLevel("rpm", "requests", 30, 30, used=21, reserved=2, frees_ms=2_100)


def test_a_limit_shows_what_is_used_reserved_and_left():
    """A row tells used, reserved, left, the count, and when the next part is free."""
    row = next(line for line in drawn(levels(RPM)).splitlines() if "rpm" in line)

    assert row.split()[2:] == ["21", "2", "7", "30", "2.1", "s"]


def test_calls_in_flight_are_shown_as_concurrency():
    """Concurrency is a row like the others, though nothing of it is used over time."""
    row = next(line for line in drawn(levels()).splitlines() if "concurrency" in line)

    assert row.split()[2:] == ["-", "2", "6", "8", "-"]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_the_terminal(width):
    """No line is longer than the terminal, and none is broken, whatever the names are."""
    limits = (RPM, LimitLevel(NARROW * 2, "tokens", 10**9, 10**8, used=10**8))
    lines = drawn(levels(*limits, learned={"m" * 80: lesson(9)}), width=width).splitlines()

    assert max(len(line.rstrip()) for line in lines) <= width
    assert len(lines) == 1 + 1 + 3 + 1 + 1


def test_large_numbers_are_shortened_not_cut():
    """A number that is wider than its column is told in millions."""
    row = next(
        line for line in drawn(levels(LimitLevel("tpd", "tokens", 2 * 10**9, 2 * 10**9))).splitlines() if "tpd" in line
    )

    assert row.split()[2:] == ["0", "0", "2,000.0M", "2,000.0M", "-"]


def test_money_is_shown_in_dollars():
    """A limit in money is shown in dollars."""
    text = drawn(levels(LimitLevel("usd_per_day", "usd", 2_000_000, 2_000_000, used=1_412_300)))

    assert "$1.4123" in text
    assert "$0.5877" in text


def test_what_an_operator_set_is_told_beside_what_is_configured():
    """A count that an operator set says what it stands for, in the table and in plain rows."""
    changed = levels(LimitLevel(NARROW, "tokens", 8_000, 500))

    assert f"set: {NARROW} 500 instead of 8,000" in drawn(changed)
    assert f"groq  set: {NARROW} 500 instead of 8,000" in plain([changed])


def test_estimates_are_told_by_model():
    """What was learned of a model is told in tokens an answer and a character."""
    text = drawn(levels(RPM, learned={"llama": lesson(9)}))

    assert "≈ llama: 20 tokens an answer (90 % below 23), 0.40 a character, $0.00050 a call" in text
    assert "groq  learned: llama: 20 tokens" in plain([levels(RPM, learned={"llama": lesson(9)})])


def test_plain_rows_can_be_cut_by_words():
    """Without a terminal every row names its backend, and numbers have no commas."""
    rows = plain([levels(LimitLevel("tpm", "tokens", 12_000, 12_000, used=9_321))]).splitlines()

    assert rows[1].split()[:6] == ["groq", "tpm", "9321", "0", "2679", "12000"]
    assert rows[1].endswith("takes calls")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ["takes calls"]),
        ({"mode": "paused"}, ["paused: no call starts"]),
        ({"mode": "draining"}, ["draining: takes no new requests"]),
        ({"workers": 0}, ["no worker runs"]),
        ({"blocked_ms": 12_000, "blocked_reason": "throttled"}, ["blocked for 12 s more (throttled)"]),
        ({"breaker": Breaker("open", 0, 240_000)}, ["breaker open for 4 min more"]),
        ({"breaker": Breaker("half_open")}, ["breaker half open: one call tries"]),
        ({"breaker": Breaker(failures=2)}, ["takes calls", "2 failures of late"]),
        ({"outlook": Outlook(31_000, 0, "rpm")}, ["a new call starts in 31 s (rpm)"]),
        ({"mode": "paused", "blocked_ms": 500}, ["paused: no call starts", "blocked for 0.5 s more"]),
    ],
)
def test_what_stands_in_the_way_is_told_in_words(given, words):
    """Everything that keeps a call from starting is told; if nothing does, that is told."""
    assert [word for word, _ in states(levels(**given))] == words


def test_json_holds_everything():
    """The JSON has all numbers, what is left, the state, and what was learned."""
    (backend,) = json.loads(json_line([levels(RPM, learned={"llama": lesson(9)})]))["backends"]

    assert backend["limits"][0]["left"] == 7
    assert backend["concurrency"]["left"] == 6
    assert backend["state"] == ["takes calls"]
    assert backend["learned"]["llama"]["tokens_per_answer"] == 20
