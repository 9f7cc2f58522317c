"""Who asks what when."""

from collections import Counter

import pytest

from optimizer_coordinator.tasks import detect
from optimizer_ops.demo.backends import BACKENDS, ROUTES
from optimizer_ops.demo.load import NEWS_WITHIN_S, agent_names, make_load
from optimizer_ops.demo.questions import POPULAR, news, unique


def _first_backend(question) -> str:
    told = detect({"messages": [{"role": "user", "content": question.text}]}).task
    task = "embed" if question.op == "embed" else question.task or told
    return ROUTES.get(task, ROUTES["default"])[0].partition("/")[0]


@pytest.mark.parametrize(("seconds", "agents"), [(30, 28), (6, 8), (2, 1), (30, 300), (300, 28)])
def test_what_must_be_called_fits_the_budgets(seconds, agents):
    """The different questions of each backend stay below its limit of a minute, so that the load can be served."""
    load = make_load(seconds, agents)
    minutes = max(1.0, seconds / 60)
    first = {}
    for ask in load:
        first.setdefault(ask.question, ask)

    calls = Counter(_first_backend(question) for question in first)

    for backend in BACKENDS:
        assert calls[backend.name] <= 0.9 * minutes * backend.windows[-1].count


def test_the_same_numbers_give_the_same_load():
    """Runs can be compared with each other."""
    assert make_load(10, 5) == make_load(10, 5)


def test_the_load_is_in_order_and_in_time():
    """Every request is made within the run, by an agent that exists."""
    load = make_load(12, 9)

    assert [ask.at_s for ask in load] == sorted(ask.at_s for ask in load)
    assert all(0 <= ask.at_s < 12 for ask in load)
    assert {ask.agent for ask in load} == set(range(9))


def test_most_of_the_load_repeats():
    """A fleet of 28 asks most things more than once; that is what there is to save."""
    load = make_load(30, 28)

    assert len({ask.question for ask in load}) < 0.2 * len(load)


def test_popular_questions_follow_zipf():
    """A few questions are asked most of the time."""
    counts = Counter(ask.question for ask in make_load(60, 28) if ask.question in POPULAR)
    ordered = [count for _, count in counts.most_common()]

    assert sum(ordered[:6]) > 0.35 * sum(ordered)


def test_news_are_asked_by_many_at_once():
    """Many agents, each once, ask the same within a moment."""
    load = [ask for ask in make_load(30, 28) if ask.news]

    for question in {ask.question for ask in load}:
        asked = [ask for ask in load if ask.question == question]
        begin = asked[0].at_s
        at_once = [ask for ask in asked if ask.at_s - begin <= NEWS_WITHIN_S]
        assert len(at_once) >= 5
        assert len({ask.agent for ask in asked}) == len(asked)


def test_questions_are_different_requests():
    """No two popular, new or unique questions have the same text: a repeat is a repeat on purpose."""
    texts = [question.text for question in (*POPULAR, *map(news, range(60)), *map(unique, range(300)))]

    assert len(set(texts)) == len(texts)


def test_all_tasks_and_embeddings_are_asked_for():
    """The load has every kind of request, and some tasks are left for the optimizer to tell."""
    asked = {ask.question for ask in make_load(30, 28)}

    assert {question.task for question in asked} == {"code", "reasoning", "creative", "general", None}
    assert {question.op for question in asked} == {"chat", "embed"}
    assert any(detect({"messages": [{"role": "user", "content": q.text}]}).task == "long" for q in asked)


def test_agents_have_different_names():
    """However many there are."""
    assert agent_names(2) == ["quality", "researcher"]
    assert len(set(agent_names(200))) == 200
