"""From options to a request: what is the optimizer's own, what goes to the backend, what makes no sense."""

import math
import re

import pytest

from optimizer_client.options import chat_request, embed_request
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.messages import CachePolicy, Priority


def chat(prompt="Hi", system=None, **options):
    """A chat request of an agent."""
    return chat_request("agent", prompt, system, options)


def test_a_text_becomes_a_message_of_the_user():
    """A prompt that is text is the one message; a system text comes before it."""
    assert chat().params == {"messages": [{"role": "user", "content": "Hi"}]}
    assert [message["role"] for message in chat(system="Be brief.").params["messages"]] == ["system", "user"]


def test_own_options_do_not_reach_the_backend_and_others_do():
    """What the optimizer understands is a field of the request; everything else is a parameter."""
    asked = chat(
        task="code",
        model="groq",
        timeout=1.5,
        priority="batch",
        cache="refresh",
        ttl=5,
        namespace="n",
        scope="agent",
        tags={"run": "7"},
        request_id="my-id",
        temperature=0.1,
        extra_body={"top_k": 5},
    )

    assert {"messages", "temperature", "top_k"} == set(asked.params)
    assert (asked.task, asked.model, asked.timeout_ms, asked.priority) == ("code", "groq", 1500, Priority.BATCH)
    assert CachePolicy("refresh", 5, "n", "agent") == asked.cache
    assert (asked.id, asked.tags) == ("my-id", {"run": "7"})


def test_every_request_has_an_id_of_its_own():
    """Ids are made anew unless one is given."""
    assert chat().id != chat().id


def test_what_the_caller_changes_afterwards_does_not_change_the_request():
    """A request is a copy of what was asked."""
    message = {"role": "user", "content": [{"type": "text", "text": "before"}]}
    asked = chat([message])

    message["content"][0]["text"] = "after"

    assert asked.params["messages"][0]["content"][0]["text"] == "before"


def test_embeddings_take_one_text_or_several():
    """The input of an embeddings request is what was given."""
    assert embed_request("agent", "a", {}).params["input"] == "a"
    assert embed_request("agent", ("a", "b"), {}).params["input"] == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stream": True}, "Streaming is not supported"),
        ({"extra_body": {"stream": True}}, "Streaming is not supported"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": "30"}, "timeout"),
        ({"timeout": math.nan}, "timeout"),
        ({"timeout": math.inf}, "timeout"),
        ({"task": "gardening"}, "gardening"),
        ({"priority": "urgent"}, "urgent"),
        ({"cache": "maybe"}, "maybe"),
        ({"ttl": -1}, "ttl_s"),
        ({"scope": "galaxy"}, "galaxy"),
        ({"model": None}, "model"),
        ({"tags": {"a": 1}}, "tags"),
        ({"tags": 5}, "makes no sense"),
        ({"temperature": math.nan}, "NaN"),
        ({"tools": [{"f": b"bytes"}]}, "bytes"),
        ({"logit_bias": {5: 1}}, "int"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options, says):
    """A wrong option is an `InvalidRequest` whose sentence names it, before anything is sent."""
    with pytest.raises(InvalidRequest, match=says):
        chat(**options)


@pytest.mark.parametrize("prompt", ["", [], None, ["text"], [5], 7])
def test_a_prompt_must_be_text_or_messages(prompt):
    """An empty prompt, or something else than text and messages, is refused."""
    with pytest.raises(InvalidRequest, match="prompt"):
        chat(prompt)


@pytest.mark.parametrize("text", ["", []])
def test_there_must_be_something_to_embed(text):
    """An empty input is refused."""
    with pytest.raises(InvalidRequest, match="no text"):
        embed_request("agent", text, {})


def test_stream_false_is_as_good_as_none():
    """`stream=False` is accepted and not sent."""
    assert {"messages"} == set(chat(stream=False).params)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"task": "coding"}, "task must be one of code, reasoning, creative, long, general; it is 'coding'"),
        ({"priority": "high"}, "priority must be one of interactive, standard, batch; it is 'high'"),
        ({"cache": "no"}, "cache must be one of use, refresh, off; it is 'no'"),
        ({"timout": 3}, "no option timout; did you mean timeout"),
    ],
)
def test_mistakes_are_told_with_what_to_write(options, told):
    """A value that does not exist, and a name that is nearly one of ours, are refused with what was probably meant."""
    with pytest.raises(InvalidRequest, match=re.escape(told)):
        chat_request("agent", "hello", None, options)


def test_an_ordering_key_may_supersede():
    """The key and the wish to take the place of older requests are fields of the request."""
    asked = chat(ordering_key="document 7", supersede=True)

    assert (asked.ordering_key, asked.supersede, asked.after) == ("document 7", True, None)
    assert "supersede" not in asked.params
    assert chat(ordering_key="").ordering_key is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"supersede": True}, "needs an ordering_key"),
        ({"supersede": True, "ordering_key": ""}, "needs an ordering_key"),
        ({"supersede": "yes", "ordering_key": "k"}, "True or False"),
        ({"ordering_key": 7}, "ordering_key"),
        ({"ordering_key": "k" * 201}, "ordering_key"),
        ({"superseed": True, "ordering_key": "k"}, "did you mean supersede"),
    ],
)
def test_an_ordering_that_makes_no_sense(options, words):
    """Superseding without a key, and what is no key, are refused with a sentence."""
    with pytest.raises(InvalidRequest, match=words):
        chat(**options)
