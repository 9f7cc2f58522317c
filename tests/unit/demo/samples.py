"""A backend, a score and a record to make results of."""

from typing import Any

from optimizer_client import Reply
from optimizer_ops.demo.backends import SimulatedBackend, Window
from optimizer_ops.demo.bookkeeping import Books
from optimizer_ops.demo.questions import Question
from optimizer_ops.demo.request_log import BackendRecord, Line
from optimizer_ops.demo.result import Result, judge
from optimizer_ops.demo.score import Score
from optimizer_ops.simulator.question import echo_of

BACKEND = SimulatedBackend(
    name="sim",
    style="groq",
    models=("m",),
    windows=(Window("short", 2, 1.0), Window("long", 10, 60.0)),
    concurrency=4,
    workers=1,
    base_s=0.1,
    per_token_s=0.0,
)
SKY = Question("Why is the sky blue?")
# Of one call.
BOOKS = Books(calls=1, unknown=0, input_tokens=0, output_tokens=0, lost=0)


def score_of(answered: int, failed: int = 0, wrong: int = 0, waiting: int = 0) -> Score:
    """A score of so many requests, all for the same, answered from the cache."""
    score = Score()
    for _ in range(answered + failed + wrong + waiting):
        score.ask(SKY)
    for text in [SKY.text] * answered + ["?"] * wrong:
        choice = {"message": {"content": f"echo:{echo_of(text)} and more"}}
        score.answer(SKY, Reply(id="1", result={"choices": [choice]}, source="cache"), 2.0)
    for _ in range(failed):
        score.fail("overloaded")
    return score


def record_of(*times: float) -> BackendRecord:
    """A record of calls that arrived at these times and took a tenth of a second."""
    record = BackendRecord(BACKEND)
    for seq, mono in enumerate(times):
        record.feed(Line("start", 1, seq, mono, op="chat", question="q"))
        record.feed(Line("end", 1, seq, mono + 0.1, status=200, outcome="answered"))
    return record


def judged(score: Score, *records: BackendRecord, **more: Any) -> Result:
    """The result of a run; of one call, if no record is given."""
    return judge(
        score, records or [record_of(1.0)], **{"prefix": "demo-1", "seconds": 30, "agents": 3, "books": BOOKS, **more}
    )
