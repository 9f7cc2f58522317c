"""The screens of `optimizer status`, `backends` and `top`: they fit, and say what is asked."""

import io

import msgspec
import pytest
from rich.console import Console

from optimizer_config.model import BreakerSettings
from optimizer_ops.formatting.moments import clock
from optimizer_ops.history.views import Recording, Totals
from optimizer_ops.live.status import BackendStatus, LimitUse, LiveStatus, Queue, Service
from optimizer_ops.status.detail import Detail
from optimizer_ops.status.detail_page import detail_page
from optimizer_ops.status.errors import Failure
from optimizer_ops.status.page import page
from optimizer_ops.status.past import Past
from optimizer_ops.status.report import report_of
from optimizer_ops.top.screen import View, screen
from optimizer_ops.top.tally import Rates
from optimizer_wire.events import event

NOW = 1_700_000_000.0
LIMIT = LimitUse(
    name="rpm", dimension="requests", configured=60, count=40, used=30, reserved=4, left=6, share=0.85, frees_at=NOW + 5
)
BLOCKED = BackendStatus(
    name="groq",
    label="Groq",
    kind="free",
    configured=True,
    routes=["default"],
    models=["m"],
    workers=2,
    breaker="closed",
    blocked_until=NOW + 720,
    blocked_reason="quota_day",
    limits=[LIMIT],
    in_flight=1,
    concurrency=8,
    waiting=3,
)
LIVE = LiveStatus(
    at=NOW,
    prefix="p",
    rabbitmq=Service(name="RabbitMQ", url="amqp://here", there=True, version="4.1.0", latency_ms=1.0),
    redis=Service(name="Redis", url="redis://here", there=True, version="8.0", latency_ms=0.2),
    backends=[BLOCKED, msgspec.structs.replace(BLOCKED, name="a-backend-with-a-long-name", blocked_until=None)],
    queues=[Queue(name="q", role="calls", backend="groq", priority="batch", ready=3, consumers=2)],
    coordinators=2,
    recorders=1,
)
PAST = Past(
    today=Totals(requests=200, hits=100, collapsed=20, answered=190, errors=10, calls=80, cost_usd=1.5, saved_usd=2.25),
    week=Totals(requests=2_000, hits=1_500, calls=500, cost_usd=15.0, saved_usd=33.0),
    backends={"groq": Totals(calls=80, calls_failed=7, p95_ms=1_234.0)},
    agents=12,
    agents_active=5,
    recording=Recording(instance="r", beat=NOW, newest=NOW, recorded=1, waiting=0, lost=0),
)


def drawn(shown, width):
    """What a terminal that is so wide shows."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(shown)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_status_fits_and_answers(width):
    """One screen says who runs, what was saved, what is blocked until when, and what to do."""
    text = drawn(page(report_of(LIVE, PAST), width), width)

    assert max(map(len, text.splitlines())) <= width
    for words in ("2 coordinators", "4 workers", "1 recorder", "5 active in the last hour", "60 % without a call"):
        assert words in text
    assert "$2.25 and 120 calls" in text
    assert "$33.00 and 1,500 calls" in text
    assert clock(NOW + 720, NOW) in text
    assert "rpm" in text
    assert "1.23 s" in text
    assert "→" in text
    if width == 80:
        assert len(text.splitlines()) <= 24


def test_status_without_history_says_so():
    """Where there is no history that is one sentence, and no count is shown as 0."""
    text = drawn(page(report_of(LIVE, Past(missing="There is no history yet.")), 80), 80)

    assert "There is no history yet." in text
    assert "$0" not in text
    assert "ever seen" not in text


def test_what_nobody_knows_the_cost_of_is_said():
    """Where a call has no end yet, or no price, what was spent is at least what is known."""
    today = msgspec.structs.replace(PAST.today, calls_unknown=1)
    week = msgspec.structs.replace(PAST.week, unpriced=3, saved_unpriced=2)
    text = drawn(page(report_of(LIVE, msgspec.structs.replace(PAST, today=today, week=week)), 80), 80)

    assert "spent ≥ $1.50" in text
    assert "≥ $33.00 and 1,500 calls; spent ≥ $15.00" in text


def test_a_report_is_ok_unless_something_is_critical():
    """A warning leaves the report ok; a missing coordinator does not."""
    assert report_of(msgspec.structs.replace(LIVE, recorders=0), PAST).ok
    assert not report_of(msgspec.structs.replace(LIVE, coordinators=0), PAST).ok


def test_one_backend_in_full():
    """A backend's page says until when and why it is blocked, what its limits have left, and what failed."""
    failure = Failure(outcome="quota_day", status=429, times=3, last=NOW, message="used up")
    detail = Detail(
        status=BLOCKED,
        url="http://here",
        timeout_s=120.0,
        breaker_settings=BreakerSettings(),
        queues=LIVE.queues,
        failures=[failure],
    )
    text = drawn(detail_page(detail, NOW, 100), 100)

    assert f"blocked until {clock(NOW + 720, NOW)} (in 12 min): quota_day" in text
    assert "(configured: 60)" in text
    assert "quota_day 429" in text
    assert "used up" in text
    assert "3 batch wait; 2 consumers" in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50)])
def test_top_fits(width, height):
    """The live screen fits a terminal however much there is to be seen, and names what there is no room for."""
    agents = {f"agent-{number}": Rates(requests=1.0) for number in range(60)}
    happened = [
        event("optimizer.call.failed", "worker/x/1", agent="a", backend="groq", message="long " * 40) for _ in range(50)
    ]
    view = View(now=NOW, live=LIVE, fleet=Rates(requests=60.0), agents=agents, backends={}, latest=happened)
    lines = drawn(screen(view, width, height), width).splitlines()

    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any("more" in line for line in lines)
    assert sum("call.failed" in line for line in lines) >= 4
