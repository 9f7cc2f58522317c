"""What the mates of a worker say about Redis."""

import pytest

from optimizer_workers.opinions import Opinions


@pytest.fixture
def opinions() -> Opinions:
    return Opinions()


def test_nothing_is_known_before_an_answer(opinions: Opinions):
    """Until the first round has an end nobody knows whether others have Redis."""
    assert opinions.others_have_it is None
    opinions.ask({"a", "b"})
    assert opinions.others_have_it is None


def test_one_that_has_it_is_enough(opinions: Opinions):
    """The first mate with Redis decides, whatever the others say later."""
    number = opinions.ask({"a", "b"})
    opinions.hear(number, "a", has_redis=True)
    opinions.hear(number, "b", has_redis=False)
    opinions.close(number)
    assert opinions.others_have_it is True


def test_all_must_be_without_it(opinions: Opinions):
    """That nobody has Redis is known when all mates have said so."""
    number = opinions.ask({"a", "b"})
    opinions.hear(number, "a", has_redis=False)
    assert opinions.others_have_it is None
    opinions.hear(number, "b", has_redis=False)
    assert opinions.others_have_it is False


def test_who_does_not_answer_is_taken_for_dead(opinions: Opinions):
    """At the end of a round silence counts as no Redis, and a late answer does not count."""
    number = opinions.ask({"a", "b"})
    opinions.close(number)
    assert opinions.others_have_it is False
    opinions.hear(number, "a", has_redis=True)
    assert opinions.others_have_it is False


def test_what_was_known_holds_until_a_round_says_otherwise(opinions: Opinions):
    """A further question does not stop those who may go on; its answers may."""
    opinions.close(opinions.ask({"a"}))
    number = opinions.ask({"a"})
    assert opinions.others_have_it is False
    opinions.hear(number, "a", has_redis=True)
    assert opinions.others_have_it is True
    opinions.close(opinions.ask({"a"}))
    assert opinions.others_have_it is False


def test_answers_to_earlier_rounds_and_of_strangers(opinions: Opinions):
    """Only those who were asked count, and only what they say now."""
    old = opinions.ask({"a"})
    number = opinions.ask({"a"})
    opinions.hear(old, "a", has_redis=True)
    opinions.hear(number, "stranger", has_redis=True)
    assert opinions.others_have_it is None


def test_the_next_outage_begins_with_nothing_known(opinions: Opinions):
    """When Redis was there again, what mates said before does not count, nor does what they still say to it."""
    number = opinions.ask({"a"})
    opinions.hear(number, "a", has_redis=True)
    opinions.forget()
    opinions.hear(number, "a", has_redis=False)
    assert opinions.others_have_it is None


def test_who_was_not_asked(opinions: Opinions):
    """Somebody who was started since, and says that Redis is there, ends a round that would say otherwise."""
    number = opinions.ask({"a"})
    opinions.told()
    opinions.close(number)
    assert opinions.others_have_it is True


def test_nobody_to_ask(opinions: Opinions):
    """A worker without mates is told at once that nobody else has Redis."""
    opinions.ask(())
    assert opinions.others_have_it is False
