"""What is asked."""

from itertools import count

PROMPT_CHARS = 300
QUESTIONS = 100
"""How many different questions the cached answers belong to."""
ECHOED_CHARS = 32
"""The backend answers with so many characters of the prompt, so that nobody gets another's answer unseen."""

_numbers = count()


def prompt(name: object, chars: int = PROMPT_CHARS) -> str:
    """A prompt of so many characters that begins with its name."""
    return f"{name} ".ljust(chars, "x")


def new_prompt(chars: int = PROMPT_CHARS) -> str:
    """A prompt that nobody has asked before in this run."""
    return prompt(f"new {next(_numbers)}", chars)


def known_prompts(chars: int = PROMPT_CHARS) -> list[str]:
    """The prompts whose answers are cached, once they have been asked."""
    return [prompt(f"known {number}", chars) for number in range(QUESTIONS)]
