"""The task of a prompt: by plain evidence, in three languages, explained, and quickly whatever the prompt."""

import time

import pytest
from hypothesis import given, settings
from tests.support import strategies

from optimizer_coordinator.tasks import LONG_CHARS, detect


def told(prompt):
    """The task of a prompt that a user wrote."""
    return detect({"messages": [{"role": "user", "content": prompt}]})


@pytest.mark.parametrize(
    ("task", "prompt"),
    [
        # English
        ("code", "Write a Python function that reads a JSON file"),
        ("code", "Refactor this SQL, please"),
        ("reasoning", "Why is the sky blue? Explain."),
        ("reasoning", "Compare the two and evaluate their tradeoff"),
        ("creative", "A haiku about autumn, and a limerick"),
        ("creative", "Tell me a fairytale"),
        ("general", "What is the capital of Peru?"),
        # Danish
        ("code", "Fejlfind min kode"),
        ("code", "Kan du programmere en funktion?"),
        ("reasoning", "Hvorfor er himlen blå?"),
        ("reasoning", "Beregn renten og begrund svaret"),
        ("reasoning", "Løs ligningen"),
        ("creative", "Skriv et digt om efteråret"),
        ("creative", "Fortæl et eventyr"),
        ("general", "Hvad hedder hovedstaden i Peru?"),
        # Swedish
        ("code", "Felsök koden"),
        ("code", "Kan du programmera ett skript?"),
        ("reasoning", "Varför är himlen blå?"),
        ("reasoning", "Jämför dem och förklara skillnaden"),
        ("reasoning", "Lös ekvationen"),
        ("creative", "Skriv en dikt om hösten"),
        ("creative", "Berätta en saga"),
        ("general", "Vad heter huvudstaden i Peru?"),
    ],
)
def test_languages(task, prompt):
    """Keywords of English, Danish and Swedish tell the task, in any case of letters."""
    assert told(prompt).task == task
    assert told(prompt.upper()).task == task


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("code", "function debug refactor sql python bash implement kode koden fejlfind programmere kod skript felsök"),
        ("reasoning", "why explain prove solve hvorfor forklar bevis beregn løs varför förklara jämför beräkna lös"),
        ("creative", "poem story song haiku digt historie sang eventyr vittighed dikt berättelse saga sång skämt"),
    ],
)
def test_each_word_alone(task, words):
    """One keyword is enough."""
    assert {word: told(f"xyz {word}?").task for word in words.split()} == dict.fromkeys(words.split(), task)


@pytest.mark.parametrize(
    "prompt",
    [
        "What is wrong here?\n```\nx = 1\n```",
        "Traceback (most recent call last)\n  File ...",
        "def add(a, b):\n    return a + b",
        "Look:\n    class Dog(Animal):   \n        pass",
        "#include <stdio.h>",
        "  public static void main(String[] args)",
        "A poem, a story, a song:\n```\nx\n```",
        "```" + "x" * 5_000,
    ],
)
def test_evident_code(prompt):
    """A code block, a traceback or a definition is code, whatever the words around it and however long."""
    assert told(prompt).task == "code"


@pytest.mark.parametrize("prompt", ["The def of it is:", "We class it as follows", "a public place", "say hello:"])
def test_not_evident_code(prompt):
    """Words of programming languages inside of a sentence are no evidence."""
    assert told(prompt).task == "general"


def test_long():
    """More than 2,000 characters are long, whatever the keywords; exactly 2,000 are not."""
    assert told("why " * (LONG_CHARS // 4)).task == "reasoning"
    assert told("why " * (LONG_CHARS // 4) + "!").task == "long"


@pytest.mark.parametrize(
    ("prompt", "task"),
    [
        ("poem poem why", "creative"),
        ("poem why", "reasoning"),
        ("poem function", "code"),
        ("poem why function", "code"),
        ("why why function", "reasoning"),
    ],
)
def test_most_keywords_win(prompt, task):
    """The kind with the most keywords wins; code before reasoning before creative on a tie."""
    assert told(prompt).task == task


@pytest.mark.parametrize(
    ("prompt", "because"),
    [
        ("Write a poem, a poem about why", "of the words poem"),
        ("x\n  def f():\n", "it contains 'def f():'"),
        ("x" * 2_500, "it has 2,500 characters, more than 2,000"),
        ("hello", "nothing points to another task"),
    ],
)
def test_explanation(prompt, because):
    """Every detection says what it rests on."""
    assert told(prompt).because == because


def test_whole_words_only():
    """A keyword inside another word is none."""
    assert told("the functional storyline of rhymester reasons").task == "general"


def test_only_what_the_user_wrote():
    """The system's text does not tell the task; an embeddings body is told by its input."""
    system = {"role": "system", "content": "You write code. ```x```"}

    assert detect({"messages": [system, {"role": "user", "content": "hej"}]}).task == "general"
    assert detect({"input": ["a poem"]}).task == "creative"


@pytest.mark.parametrize(
    "text", ["\n", "def a", "class a ", "def a: ", " ", "public ", "\t\n", "x:\n", "`` ", "#include"]
)
def test_time_grows_with_length(text):
    """A prompt of 30,000 characters made to provoke the patterns is told within half a second."""
    prompt = text * (30_000 // len(text))
    started = time.perf_counter()
    told(prompt)
    told("def " + prompt.replace("\n", ""))

    assert time.perf_counter() - started < 0.5


@settings(max_examples=100, deadline=None)
@given(strategies.params)
def test_any_body(params):
    """Every body has a task and a reason."""
    found = detect(params)

    assert found.task in {"code", "reasoning", "creative", "long", "general"}
    assert found.because
