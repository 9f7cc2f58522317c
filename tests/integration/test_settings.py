"""What operators set, on a real Redis."""

import pytest

from optimizer_state.settings import BackendSettings, Settings
from optimizer_state.store import RedisAway, Store


@pytest.fixture
async def store(redis_url, prefix):
    """A store with the test's own prefix."""
    store = Store(redis_url, prefix)
    yield store
    await store.close()


async def test_nothing_is_set_at_first(store):
    """A backend that nobody touched has no mode and no counts of its own."""
    assert await Settings(store).of(["groq"]) == {"groq": BackendSettings()}


@pytest.mark.parametrize(("verb", "mode"), [("pause", "paused"), ("drain", "draining")])
async def test_a_mode_holds_until_it_is_undone(store, verb, mode):
    """A pause or a drain is there for everybody who looks, and gone after resume; other backends are untouched."""
    settings = Settings(store)

    await getattr(settings, verb)("groq")

    assert await settings.of(["groq", "mistral"]) == {"groq": BackendSettings(mode), "mistral": BackendSettings()}

    await settings.resume("groq")

    assert (await settings.of(["groq"]))["groq"].mode is None


async def test_counts_are_set_and_taken_back_one_by_one(store):
    """Counts of several limits are set at once, also of limits narrowed to models; each can be taken back alone."""
    settings = Settings(store)

    await settings.set_limits("groq", {"rpm": 20, "tpm[openai/gpt-oss-120b]": 500})
    await settings.set_limits("groq", {"rpm": 10})

    assert (await settings.of(["groq"]))["groq"].limits == {"rpm": 10, "tpm[openai/gpt-oss-120b]": 500}

    await settings.unset_limits("groq", ["rpm"])

    assert (await settings.of(["groq"]))["groq"].limits == {"tpm[openai/gpt-oss-120b]": 500}


async def test_settings_cannot_be_evicted(store):
    """What an operator set has no time to live, so that a full Redis can never drop it."""
    await Settings(store).pause("groq")

    assert await store.command("TTL", f"{store.prefix}:{{backend:groq}}:settings") == -1


async def test_redis_away_is_told(prefix):
    """Without Redis nothing is set, and the caller is told."""
    store = Store("redis://127.0.0.1:1/0", prefix)
    with pytest.raises(RedisAway):
        await Settings(store).pause("groq")
    await store.close()
