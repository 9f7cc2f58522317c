"""How much a call to a model will probably use, learned from what earlier ones used. Pure.

Of each model only sums are kept, so that workers add theirs up and the fleet's knowledge is one small hash.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# Before anything is known: English has 0.25 tokens a character, code and other languages more.
TOKENS_PER_CHAR = 0.3
TOKENS_AROUND = 8
UNKNOWN_OUTPUT_TOKENS = 512
# So many calls tell how long answers become; so many tell more than what one worker has seen itself.
FEW_CALLS = 5
ENOUGH_CALLS = 50
QUANTILE = 0.9
# The first knowledge of the slope weighs as much as calls whose prompts differ by this many characters in all.
_PRIOR_CHARS = 1000.0
BUCKETS_PER_OCTAVE = 4
OTHER = "other"


def bucket(tokens: int) -> int:
    """The number of the histogram bucket of a token count; each is 19 % wider than the one before."""
    return math.floor(BUCKETS_PER_OCTAVE * math.log2(tokens)) if tokens > 1 else 0


def bucket_top(number: int) -> int:
    """The largest token count of a bucket."""
    return max(1, math.ceil(2 ** ((number + 1) / BUCKETS_PER_OCTAVE)) - 1)


@dataclass(slots=True)
class Lesson:
    """Sums over the calls of one model.

    `chars` are the lengths of their prompts; `chars_chars` and `chars_input` sums of products, for the straight line
    through prompt length and input tokens. `outputs` is the histogram of output tokens. `micro_usd` is what they cost.
    """

    calls: int = 0
    chars: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    chars_chars: int = 0
    chars_input: int = 0
    micro_usd: int = 0
    outputs: dict[int, int] = field(default_factory=dict)

    def add_call(self, chars: int, input_tokens: int, output_tokens: int, micro_usd: int) -> None:
        """Count one call."""
        self.calls += 1
        self.chars += chars
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.chars_chars += chars * chars
        self.chars_input += chars * input_tokens
        self.micro_usd += micro_usd
        number = bucket(output_tokens)
        self.outputs[number] = self.outputs.get(number, 0) + 1

    def add(self, other: "Lesson") -> None:
        """Count all calls of another lesson."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for number, calls in other.outputs.items():
            self.outputs[number] = self.outputs.get(number, 0) + calls

    def input_of(self, chars: int) -> int:
        """The input tokens of a prompt of this length, at least 1."""
        around, per_char = self._line()
        return max(1, math.ceil(around + per_char * chars))

    def _line(self) -> tuple[float, float]:
        """Tokens that every prompt has besides its text, and tokens for each character."""
        if not self.calls or not self.chars:
            return max(TOKENS_AROUND, self.input_tokens / max(1, self.calls)), TOKENS_PER_CHAR
        mean_chars, mean_input = self.chars / self.calls, self.input_tokens / self.calls
        spread = max(0.0, self.chars_chars - self.calls * mean_chars**2)
        together = self.chars_input - self.calls * mean_chars * mean_input
        prior = _PRIOR_CHARS**2
        per_char = max(0.0, (together + TOKENS_PER_CHAR * prior) / (spread + prior))
        around = mean_input - per_char * mean_chars
        # A line that falls below nothing is one through nothing.
        return (around, per_char) if around >= 0 else (0.0, mean_input / mean_chars)

    def output_quantile(self) -> int | None:
        """What 90 % of the answers did not exceed; None before a few calls are known."""
        known = sum(self.outputs.values())
        if known < FEW_CALLS:
            return None
        left = QUANTILE * known
        for number in sorted(self.outputs):
            left -= self.outputs[number]
            if left <= 1e-9:
                return bucket_top(number)
        return bucket_top(max(self.outputs))

    @property
    def usual_output(self) -> int | None:
        """The output tokens of a call on average; None before a few calls are known."""
        return round(self.output_tokens / self.calls) if self.calls >= FEW_CALLS else None

    @property
    def tokens_per_char(self) -> float | None:
        """Input tokens for each character of the prompts so far; None if nothing is known."""
        return self.input_tokens / self.chars if self.chars else None

    @property
    def usd_per_call(self) -> float | None:
        """What a call cost on average; None if nothing is known."""
        return self.micro_usd / self.calls / 1e6 if self.calls else None

    def fields(self) -> dict[str, int]:
        """The sums as they are stored, those that are not 0."""
        outputs = {f"o{number}": calls for number, calls in self.outputs.items()}
        return {name: value for name, value in ({n: getattr(self, n) for n in _SUMS} | outputs).items() if value}

    @classmethod
    def of_fields(cls, fields: Mapping[str, int]) -> "Lesson":
        """The sums as they were stored; unknown fields are left out."""
        sums = {name: fields.get(name, 0) for name in _SUMS}
        outputs = {int(n[1:]): calls for n, calls in fields.items() if n[:1] == "o" and n[1:].isdecimal()}
        return cls(**sums, outputs=outputs)


_SUMS = ("calls", "chars", "input_tokens", "output_tokens", "chars_chars", "chars_input", "micro_usd")


class Estimates:
    """What is known of the models of one backend: the fleet's lessons, and those that it has not been told yet.

    Only configured models have a lesson of their own; all others share one.
    """

    def __init__(self, models: Iterable[str], *, counts_max_tokens: bool = False) -> None:
        self._known: dict[str, Lesson] = {model: Lesson() for model in (*models, OTHER)}
        self._untold: dict[str, Lesson] = {}
        self._counts_max_tokens = counts_max_tokens

    @property
    def models(self) -> tuple[str, ...]:
        """The models that have lessons."""
        return tuple(self._known)

    def lesson(self, model: str) -> Lesson:
        """What is known of a model."""
        return self._known[self._name(model)]

    def input_tokens(self, model: str, chars: int) -> int:
        """The input tokens of a prompt of so many characters, never 0."""
        return self.lesson(model).input_of(chars)

    def output_tokens(self, model: str, max_tokens: int | None) -> int:
        """What the answer will hardly exceed. Where the backend charges the maximum that was asked for: that."""
        if self._counts_max_tokens and max_tokens is not None:
            return max(0, max_tokens)
        likely = self.lesson(model).output_quantile()
        likely = UNKNOWN_OUTPUT_TOKENS if likely is None else likely
        return likely if max_tokens is None else max(0, min(max_tokens, likely))

    def add(self, model: str, *, chars: int, input_tokens: int, output_tokens: int, micro_usd: int) -> None:
        """Learn from one call."""
        name = self._name(model)
        for lesson in (self._known[name], self._untold.setdefault(name, Lesson())):
            lesson.add_call(chars, input_tokens, output_tokens, micro_usd)

    def take_untold(self) -> dict[str, Lesson]:
        """What the fleet has not been told yet; it counts as told from now on."""
        untold, self._untold = self._untold, {}
        return untold

    def put_back(self, untold: Mapping[str, Lesson]) -> None:
        """The fleet could not be told after all."""
        for model, lesson in untold.items():
            self._untold.setdefault(model, Lesson()).add(lesson)

    def know(self, model: str, fleet: Lesson) -> None:
        """Take what the fleet knows of a model; after a loss of Redis' memory what is known here stays for a while."""
        mine = self._known[model]
        if fleet.calls >= min(mine.calls, ENOUGH_CALLS):
            self._known[model] = fleet
            if model in self._untold:
                fleet.add(self._untold[model])

    def _name(self, model: str) -> str:
        return model if model in self._known else OTHER
