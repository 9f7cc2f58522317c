"""What a call will probably use, from what earlier ones used."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_state.estimates import Estimates, Lesson, bucket, bucket_top

MODEL = "m"


def estimates(calls=(), **options):
    """Estimates that know these calls: (chars, input tokens, output tokens)."""
    made = Estimates([MODEL, "n"], **options)
    for chars, input_tokens, output_tokens in calls:
        made.add(MODEL, chars=chars, input_tokens=input_tokens, output_tokens=output_tokens, micro_usd=3)
    return made


def test_before_anything_is_known():
    """A third of the characters and a little, 512 tokens of answer or what was asked for at most."""
    unknown = estimates()

    assert unknown.input_tokens(MODEL, 1000) == 308
    assert unknown.input_tokens(MODEL, 0) == 8
    assert [unknown.output_tokens(MODEL, asked) for asked in (None, 4000, 100)] == [512, 512, 100]


def test_input_follows_what_prompts_were():
    """Tokens for each character, and what a model puts around every prompt."""
    known = estimates((chars, 30 + chars // 2, 10) for chars in range(100, 20_000, 500))

    assert known.input_tokens(MODEL, 5_000) == pytest.approx(2_530, rel=0.02)
    assert known.input_tokens(MODEL, 100_000) == pytest.approx(50_030, rel=0.02)
    assert known.input_tokens(MODEL, 10) == pytest.approx(35, abs=15)


def test_short_prompts_do_not_make_long_ones_costly():
    """Two characters that cost 30 tokens say nothing about a long text."""
    known = estimates([(2, 30, 10)] * 500)

    assert known.input_tokens(MODEL, 2) == 30
    assert known.input_tokens(MODEL, 10_000) == pytest.approx(3_030, rel=0.01)


def test_one_call_is_believed_where_it_was():
    """The line goes through the mean of what is known."""
    assert estimates([(4000, 1000, 10)]).input_tokens(MODEL, 4000) == 1000
    assert estimates([(4000, 1000, 10)]).input_tokens(MODEL, 8000) == 2000


def test_output_is_a_high_quantile():
    """Nine of ten answers are not longer; the bound is at most a fifth above the true one."""
    answers = list(range(1, 1001))
    random.Random(1).shuffle(answers)
    known = estimates((10, 3, tokens) for tokens in answers)

    assert 900 <= known.output_tokens(MODEL, None) <= 900 * 1.2
    assert known.output_tokens(MODEL, 200) == 200


def test_a_few_answers_tell_nothing_yet():
    """The fifth is the first to count."""
    assert estimates([(10, 3, 20)] * 4).output_tokens(MODEL, None) == 512
    assert estimates([(10, 3, 20)] * 5).output_tokens(MODEL, None) < 30


def test_what_is_charged_in_full_is_estimated_in_full():
    """Cerebras reserves the maximum that was asked for; without one the likely length remains."""
    charged = estimates([(10, 3, 20)] * 9, counts_max_tokens=True)

    assert charged.output_tokens(MODEL, 4000) == 4000
    assert charged.output_tokens(MODEL, None) < 30


def test_models_that_are_not_configured_share_a_lesson():
    """Callers choose names: each of them must not take room."""
    known = estimates()
    for number in range(100):
        known.add(f"made-up-{number}", chars=100, input_tokens=90, output_tokens=5, micro_usd=0)

    assert known.models == (MODEL, "n", "other")
    assert known.lesson("made-up-7").calls == 100
    assert known.lesson(MODEL).calls == 0


@given(st.integers(0, 10**7))
def test_buckets_hold_what_falls_into_them(tokens):
    """Nothing exceeds the top of its bucket, which is at most a fifth above it."""
    top = bucket_top(bucket(tokens))

    assert tokens <= top <= max(1, tokens * 1.2)


CALLS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=30)


@given(CALLS, st.integers(0, 10**7), st.none() | st.integers(0, 10**6))
def test_estimates_are_sane(calls, chars, asked):
    """Whatever was seen: at least one token of input, never more output than was asked for."""
    known = estimates(calls)

    assert 1 <= known.input_tokens(MODEL, chars) <= 10**14
    assert 0 <= known.output_tokens(MODEL, asked) <= (10**7 if asked is None else asked)


@given(CALLS)
def test_lessons_survive_their_storage(calls):
    """What is written as fields is read as the same."""
    lesson = estimates(calls).lesson(MODEL)

    assert Lesson.of_fields(lesson.fields()) == lesson


def test_unknown_fields_are_left_out():
    """A later version may keep more."""
    assert Lesson.of_fields({"calls": 2, "zeal": 1, "ox": 1, "o3": 2}) == Lesson(calls=2, outputs={3: 2})


# --- the fleet


def test_what_was_told_is_not_told_again():
    """Every call is counted once."""
    known = estimates([(10, 3, 20)] * 3)

    assert known.take_untold()[MODEL].calls == 3
    assert known.take_untold() == {}


def test_what_could_not_be_told_is_told_later():
    """With what was learned meanwhile."""
    known = estimates([(10, 3, 20)] * 3)
    untold = known.take_untold()
    known.add(MODEL, chars=10, input_tokens=3, output_tokens=20, micro_usd=3)
    known.put_back(untold)

    assert known.take_untold()[MODEL].calls == 4
    assert known.lesson(MODEL).calls == 4


def test_the_fleet_knows_more():
    """Its lesson replaces the own one, and what it has not been told is added."""
    known = estimates([(10, 3, 20)] * 3)
    fleet = estimates([(10, 5, 200)] * 40).lesson(MODEL)
    known.know(MODEL, fleet)

    assert known.lesson(MODEL).calls == 43


def test_a_loss_of_memory_is_not_believed():
    """After FLUSHALL what this worker knows stays until the fleet has learned enough again."""
    known = estimates([(10, 3, 20)] * 400)
    known.take_untold()
    known.know(MODEL, Lesson())
    assert known.lesson(MODEL).calls == 400

    known.know(MODEL, estimates([(10, 3, 20)] * 50).lesson(MODEL))
    assert known.lesson(MODEL).calls == 50
