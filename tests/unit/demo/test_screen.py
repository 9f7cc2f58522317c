"""What is to be seen: the live table, the plain line, the summary and the picture."""

import io

import pytest
from rich.console import Console
from tests.unit.demo.samples import SKY, judged, score_of

from optimizer_ops.demo.backends import BACKENDS
from optimizer_ops.demo.picture import Picture
from optimizer_ops.demo.request_log import BackendRecord, Line
from optimizer_ops.demo.screen import View, bar, dollars, milliseconds, plain_line, screen, short
from optimizer_ops.demo.summary import summary
from optimizer_ops.simulator.question import echo_of


@pytest.fixture
def view() -> View:
    """A run in full swing, with long numbers and more events than there is room for."""
    score = score_of(12_345, failed=17)
    score.ask(SKY, news=True)
    for number in range(60):
        score.feed.add(float(number), f"something number {number} happened, and it takes many words to say what it was")
    records = [BackendRecord(backend) for backend in BACKENDS]
    for record in records:
        score.cost_usd[record.backend.name] = 12.3456
        for seq in range(1234):
            record.feed(Line("start", 1, seq, seq / 3, op="chat", question=echo_of(SKY.text), prompt_tokens=900))
            record.feed(Line("end", 1, seq, seq / 3 + 1, status=429 if seq < 77 else 200, outcome="answered"))
    return View(
        phase="waiting for the last answers",
        elapsed_s=31.0,
        seconds=30.0,
        agents=28,
        score=score,
        records=records,
        running_workers={backend.name: backend.workers for backend in BACKENDS},
        now=411.0,
    )


def _printed(part, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(part)
    return console.export_text().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_the_live_table_fits_the_terminal(view, width, height):
    """It never scrolls and never wraps, and its height does not change with what happens."""
    lines = _printed(screen(view, width, height), width)

    assert len(lines) < height
    assert max(map(len, lines)) <= width
    view.score.feed._lines.clear()
    assert len(_printed(screen(view, width, height), width)) == len(lines)


def test_80_columns_are_enough(view):
    """No heading and no number is cut off in a usual terminal; only long sentences are."""
    lines = _printed(screen(view, 80, 24), 80)

    table = "\n".join(lines[:15])
    assert "…" not in table
    for words in ("12,363", "cached", "429", "$12.35", "sim-anthropic", "tokens", "1.11M"):
        assert words in table


def test_the_headline_tells_the_calls_of_the_news(view):
    """What half of the fleet asks, how often, and how many calls that made, by the request logs."""
    text = "\n".join(_printed(screen(view, 120, 40), 120))

    assert f"“{SKY.text}” asked 12363 times, 4936 calls" in text


def test_the_plain_line_says_the_same(view):
    """Where there is no terminal, one line has the counts."""
    line = plain_line(view)

    assert "requests 12,363" in line
    assert "errors 17" in line
    assert "\n" not in line


def test_an_empty_run_can_be_shown():
    """Before the first request there is nothing to divide by."""
    empty = View(
        "working",
        0.0,
        30.0,
        1,
        score_of(0),
        [BackendRecord(b) for b in BACKENDS],
        dict.fromkeys([b.name for b in BACKENDS], 0),
        0.0,
    )

    assert _printed(screen(empty, 80, 24), 80)
    assert plain_line(empty)


def test_the_summary_fits_80_columns(view):
    """All numbers and all verdicts can be read in a usual terminal."""
    result = judged(view.score, *view.records, troubles=["something was broken on purpose"])

    text = "\n".join(_printed(summary(result), 80))

    assert "…" not in text
    assert "! something was broken on purpose" in text
    assert "✗ Only" not in text
    assert "✗ A limit was exceeded" in text


def test_the_picture_fetches_nothing(view, tmp_path):
    """No font, no style and no image comes from a host."""
    picture = Picture()
    picture.draw_screen(view)
    picture.draw(summary(judged(view.score, *view.records)))
    picture.write(tmp_path / "demo.svg")

    drawn = (tmp_path / "demo.svg").read_text()
    assert drawn.startswith("<svg")
    assert "sim-cerebras" in drawn.replace("&#160;", " ")
    for word in ("@font-face", "@import", "url(http", "href=", "src:"):
        assert word not in drawn


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0.0, "┈┈┈┈"), (0.5, "━━┈┈"), (0.62, "━━╸┈"), (1.0, "━━━━"), (7.0, "━━━━")],
)
def test_bar(share, drawn):
    """A bar always has its width, and its parts can be told without colour."""
    assert bar(share, 4, "green").plain == drawn


def test_numbers_for_people():
    """Few digits, and a dash for nothing."""
    assert [short(n) for n in (999, 1_000, 14_732, 999_499, 1_200_000)] == ["999", "1k", "14.7k", "999k", "1.2M"]
    assert [dollars(usd) for usd in (0.00123, 1.5, 12.345)] == ["$0.0012", "$1.5000", "$12.35"]
    assert [milliseconds(ms) for ms in (None, 4.25, 99.94, 100.4, 15_700.0)] == [
        "–",
        "4.2 ms",
        "99.9 ms",
        "100 ms",
        "15,700 ms",
    ]
