"""What RabbitMQ refuses, in words: the texts are those of 3.10 and 4.1."""

import pytest

from optimizer_wire import broker_words


def refusal(argument, of, needs, has):
    """What RabbitMQ says of a declaration that differs."""
    words = f"inequivalent arg '{argument}' for {of} in vhost 'a b': received {needs} but current is {has}"
    return f"PRECONDITION_FAILED - {words}"


NUMBER = "the value '100000' of type 'signedint'"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            refusal("x-max-length", "queue 'o.requests'", NUMBER, "the value '5' of type 'long'"),
            "The queue o.requests has x-max-length = 5, but needs 100000.",
        ),
        (
            refusal("x-queue-type", "queue 'o.requests'", "the value 'quorum' of type 'longstr'", "none"),
            "The queue o.requests has x-queue-type = none, but needs quorum.",
        ),
        (refusal("x-expires", "queue 'q'", "none", NUMBER), "The queue q has x-expires = 100000, but needs none."),
        (
            refusal("type", "exchange 'o.events'", "'topic'", "'direct'"),
            "The exchange o.events has type = direct, but needs topic.",
        ),
        (refusal("durable", "queue 'q'", "'true'", "'false'"), "The queue q has durable = false, but needs true."),
    ],
)
def test_difference(text, sentence):
    """A refused declaration says what is there and what must be."""
    assert broker_words.difference(text) == sentence


def test_another_refusal():
    """A refusal of another form is passed on."""
    assert broker_words.difference("PRECONDITION_FAILED - no idea") == (
        "RabbitMQ has something else of this name: PRECONDITION_FAILED - no idea"
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("gone"), "gone."),
        (OSError("gone."), "gone."),
        (TimeoutError(), "TimeoutError."),
        (
            OSError("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."),
            "RabbitMQ does not know the user, or not with this password.",
        ),
    ],
)
def test_words(error, words):
    """An error of the library ends a sentence, even one without words."""
    assert broker_words.words(error) == words
