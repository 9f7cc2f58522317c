"""What kind of task a prompt is, when its sender does not say: by plain evidence that can be shown.

Keywords are English, Danish and Swedish. The rules, in order: a code block or a traceback is code; more than 2,000
characters is long; else the kind with the most keywords; code before reasoning before creative on a tie; else general.
"""

import re
from dataclasses import dataclass
from typing import Any

from optimizer_wire.messages import Task
from optimizer_wire.text import prompt_text

LONG_CHARS = 2_000

_EVIDENT_CODE = re.compile(
    # Nothing in it may match the same text in two ways: a prompt of some megabytes must not take minutes.
    r"```|^Traceback \(most recent call last\)|^[ \t]*(?:def|class) \w[^\n]*:[ \t]*$|^#include\b"
    r"|^[ \t]*(?:public|private) \w",
    re.MULTILINE,
)

# One of these is in whatever the pattern finds: to look for them takes a tenth of its time.
_HINTS = ("```", "Traceback", "def ", "class ", "#include", "public ", "private ")

_KEYWORDS: dict[Task, str] = {
    "code": (
        # English
        "code function script bug debug compile compiler exception stacktrace refactor regex sql api unittest python "
        "javascript typescript java rust golang bash json yaml dockerfile implement "
        # Danish and Swedish
        "kode koden kod koden funktion funktionen fejlfind fejlretning programmer programmere programmera skript "
        "felsök felsöka implementer implementera refaktorer refaktorera"
    ),
    "reasoning": (
        "why explain reason reasoning prove proof analyse analyze compare evaluate deduce conclude argue tradeoff "
        "because calculate solve "
        "hvorfor forklar forklare bevis begrund analyser analysere sammenlign vurder beregn løs udled "
        "varför förklara bevisa motivera analysera jämför bedöm beräkna lös härled"
    ),
    "creative": (
        "poem story novel song lyrics haiku rhyme slogan imagine fiction fairytale joke limerick creative "
        "digt historie fortælling sang rim eventyr vittighed forestil fantasi opdigt "
        "dikt berättelse saga sång skämt föreställ fantisera hitta-på limerick"
    ),
}
_WORDS: dict[str, set[Task]] = {}
for _task, _text in _KEYWORDS.items():
    for _word in _text.split():
        _WORDS.setdefault(_word, set()).add(_task)
_ORDER: tuple[Task, ...] = ("code", "reasoning", "creative")
_TOKEN = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True)
class Detection:
    """The task of a prompt and the evidence for it, in words."""

    task: Task
    because: str


def detect(params: dict[str, Any]) -> Detection:
    """Tell the task of a chat body (by its user messages) or an embeddings body (by its input)."""
    text = prompt_text(params)
    if any(hint in text for hint in _HINTS) and (found := _EVIDENT_CODE.search(text)):
        return Detection("code", f"it contains {found.group(0).strip()!r}")
    if len(text) > LONG_CHARS:
        return Detection("long", f"it has {len(text):,} characters, more than {LONG_CHARS:,}")
    words = _TOKEN.findall(text.lower())
    if _WORDS.keys().isdisjoint(words):
        return Detection("general", "nothing points to another task")
    hits: dict[Task, list[str]] = {task: [] for task in _ORDER}
    for word in words:
        for task in _WORDS.get(word, ()):
            hits[task].append(word)
    best = max(_ORDER, key=lambda task: len(hits[task]))
    return Detection(best, f"of the words {', '.join(dict.fromkeys(hits[best]))}")
