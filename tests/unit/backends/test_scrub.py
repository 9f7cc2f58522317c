"""What of a backend's words is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_backends.scrub import LONGEST, Secrets, quotes_prompt, safe_text

PROMPT = "My mother's maiden name is Featherstonehaugh and I was born in Lund"


def params(text):
    """A chat with this text, once plain and once in parts."""
    return {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"text": text}]}]}


@pytest.mark.parametrize(
    "key",
    [
        "sk-abcdef1234567890",
        "sk-proj-abc*****************xyz",
        "gsk_abcdefghijkl",
        "csk-1234567890",
        "xai-abcdefgh",
        "AIzaSyD-abcdefghijklmnopqrstuvwxyz",
        "Bearer abcdef123456",
        "a" * 40,
    ],
)
def test_keys_are_masked(key):
    """Whatever looks like a key is gone, starred ones included."""
    assert safe_text(f"Incorrect API key provided: {key} Look here.") == "Incorrect API key provided: *** Look here."


def test_messages_are_one_short_line():
    """Line breaks, bells and length go."""
    assert safe_text("a\n\n b\t\x07c") == "a b c"
    assert len(safe_text("word " * 1000)) == LONGEST


@pytest.mark.parametrize(
    "message",
    [
        f"Invalid value: {PROMPT}",
        "could not parse 'maiden name is Featherstonehaugh' as JSON",
        f"prefix of odd length: {PROMPT[:24]}",
        "Featherstonehaugh and I was is not allowed",
    ],
)
def test_echoes_of_the_prompt_are_seen(message):
    """24 characters of the prompt in a row are an echo, wherever they stand."""
    assert quotes_prompt(message, params(PROMPT))


def test_short_prompts_are_seen_whole():
    """A short text counts if it is repeated as a whole."""
    assert quotes_prompt("Bad: hunter2-pass!", params("hunter2-pass"))
    assert not quotes_prompt("Bad: hunter2", params("hunter2-pass"))


@pytest.mark.parametrize(
    "message",
    [
        "",
        "This model's maximum context length is 8192 tokens.",
        "Unsupported parameter: max_tokens.",
        "my mother has another name",
        "The role must be user.",
    ],
)
def test_other_messages_are_not_echoes(message):
    """Words in common are no echo."""
    assert not quotes_prompt(message, params(PROMPT))


def test_embedding_inputs_are_content():
    """`input` of embeddings counts as content too."""
    assert quotes_prompt(f"Too long: {PROMPT}", {"input": ["x", PROMPT]})


@given(st.text(min_size=24, max_size=200), st.integers(0, 100), st.text(max_size=40), st.text(max_size=40))
def test_every_echo_of_24_characters_is_seen(prompt, start, before, after):
    """Any 24 characters of a prompt in a message are found."""
    prompt = " ".join(prompt.split())
    piece = prompt[start : start + 24]
    if len(piece) == 24:
        assert quotes_prompt(before + piece + after, params(prompt))


def test_secrets_are_found_in_pieces():
    """A secret is found whole, cut off, and in other letters; short texts that are configured are no secrets."""
    secrets = Secrets(["Vault-Key-0123456789", "short"])

    assert secrets.are_in("refused: Vault-Key-0123456789")
    assert secrets.are_in("refused: vault-key-01")
    assert secrets.are_in("…0123456789")
    assert not secrets.are_in("Vault-K is short")
    assert repr(secrets) == "Secrets(***)"


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=8), st.text(), st.text())
def test_no_text_hides_a_secret(secret, before, after):
    """Whatever stands around a secret, it is found."""
    assert Secrets([secret]).are_in(before + secret.upper() + after)
