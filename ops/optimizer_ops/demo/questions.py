"""What the agents ask: popular questions, the news of the moment, and questions that nobody else has.

Some name their task; for the others the optimizer tells it from the words, in English, Danish and Swedish.
"""

from dataclasses import dataclass
from typing import Literal

from optimizer_wire.messages import Task


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. Two questions are the same request if they are equal."""

    text: str
    task: Task | None = None
    op: Literal["chat", "embed"] = "chat"


_LONG_LOG = "\n".join(
    f"2026-11-21T09:{minute:02d}:07Z checkout-{minute % 3} order accepted in {180 + 7 * minute} ms, queue {minute % 9}"
    for minute in range(32)
)


def _asked(task: Task | None, *texts: str) -> tuple[Question, ...]:
    return tuple(Question(text, task) for text in texts)


POPULAR: tuple[Question, ...] = (
    *_asked(
        "code",
        "Write a Python function that parses ISO 8601 durations.",
        "Write a function that retries an HTTP call with full jitter.",
        "Refactor this loop into a generator: for row in rows: out.append(row.strip())",
        "Write a SQL query for the ten customers with the highest revenue this year.",
        "Why does this regex not match a trailing newline: ^\\w+$",
        "Write a bash script that removes log files older than 14 days.",
        "Write a unit test for a sliding-window rate limiter.",
        "Implement an LRU cache in Rust without unsafe.",
    ),
    *_asked(
        None,
        "Skriv en funktion, der validerer et dansk CPR-nummer, i Python-kode.",
        "Fejlfind denne kode: for i in range(len(list)): list.pop(i)",
        "Skriv en funktion i TypeScript som grupperar ordrar per kund.",
        "Felsök skriptet: if [ $status = ok ] then echo klar fi",
    ),
    *_asked(
        "reasoning",
        "Explain why our p99 latency grew while the median fell.",
        "Compare quorum queues and classic queues for small messages.",
        "Should the migration run before or after the deploy? Give reasons.",
        "Which of these three invoices is a duplicate, and why?",
        "Estimate how many workers 40 requests per second need at 900 ms each.",
        "What follows for our retention policy from a 30-day deletion duty?",
        "Rank these five incidents by harm to customers and argue for it.",
        "Is a 2 % higher conversion in 800 visits significant?",
    ),
    *_asked(
        None,
        "Forklar, hvorfor en kø vokser, når belastningen er under kapaciteten.",
        "Sammenlign de to leverandører og begrund valget.",
        "Förklara varför kostnaden per anrop sjönk i oktober.",
        "Jämför de två avtalen och motivera vilket som är bäst.",
    ),
    *_asked(
        "general",
        "Summarise the release notes of RabbitMQ 4 in three sentences.",
        "Which fields does a valid EU invoice need?",
        "Write a friendly reply to a customer whose parcel is late.",
        "List the steps to rotate an API key without downtime.",
        "What are the opening hours of the support desk in week 52?",
        "Translate 'the order is on its way' into Danish and Swedish.",
        "Give me five names for an internal tool that saves API calls.",
        "Which meetings does the release checklist require?",
    ),
    *_asked(
        None,
        "Hvad er reglerne for fortrydelsesret i Danmark?",
        "Lav et kort referat af mødet om driftsbudgettet.",
        "Vilka uppgifter behövs på en svensk faktura?",
        "Sammanfatta kundens synpunkter i tre punkter.",
    ),
    *_asked(
        "creative",
        "Write a haiku about a queue that never grows.",
        "Write a slogan for a team that answers before you ask.",
        "Write a limerick about an agent that asked the same thing twice.",
    ),
    *_asked(None, "Skriv et digt om en server i regnvejr.", "Skriv en dikt om en lång kö i december."),
    *_asked(None, f"Summarise what happened here:\n{_LONG_LOG}", f"List every order slower than 300 ms:\n{_LONG_LOG}"),
    *(
        Question(f"Paragraph {number} of the handbook, about {subject}.", op="embed")
        for number, subject in enumerate(("returns", "invoices", "on-call duty", "security", "hiring", "travel"), 1)
    ),
)

_NEWS: tuple[tuple[Task | None, str], ...] = (
    ("reasoning", "Alert {n}: checkout errors rose to 4 %. What is the most likely cause?"),
    ("general", "Summarise incident {n} for the status page."),
    ("code", "Write a query that lists the orders touched by incident {n}."),
    (None, "Forklar kunderne, hvorfor hændelse {n} forsinkede deres ordrer."),
    ("reasoning", "Which teams must act on change request {n}, and in which order?"),
    (None, "Sammanfatta ändring {n} för kundtjänst."),
)

_UNIQUE: tuple[tuple[Task | None, Literal["chat", "embed"], str], ...] = (
    ("general", "chat", "Answer ticket {n}: where is my parcel?"),
    ("code", "chat", "Review commit {n:07x}: is the lock released on every path?"),
    ("reasoning", "chat", "Is the refund in case {n} justified?"),
    (None, "embed", "Note {n} of the sales team."),
    ("general", "chat", "Extract name, date and amount from receipt {n}."),
    ("code", "chat", "Write a unit test for bug {n}."),
    (None, "chat", "Hvad mangler der i sag {n}?"),
    ("creative", "chat", "Write a birthday line for colleague {n}."),
    ("reasoning", "chat", "Explain the deviation of {n} in the November budget."),
    (None, "chat", "Varför avvisades betalning {n}?"),
    ("general", "chat", "Draft a reply to review {n}."),
    (None, "chat", "Event {n}, in order:\n" + _LONG_LOG),
)


def news(number: int) -> Question:
    """The question of the moment: something has happened, and many agents ask at once."""
    task, form = _NEWS[number % len(_NEWS)]
    return Question(form.format(n=400 + number), task)


def unique(number: int) -> Question:
    """A question that is asked once."""
    task, op, form = _UNIQUE[number % len(_UNIQUE)]
    return Question(form.format(n=10_000 + 37 * number), task, op)
