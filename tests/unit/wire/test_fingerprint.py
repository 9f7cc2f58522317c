"""The fingerprint: the same for the same meaning, another for whatever can change or must not share the answer."""

import json

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support import strategies

from optimizer_wire.fingerprint import WITHOUT_INFLUENCE, canonical, fingerprint, lone_fingerprint
from optimizer_wire.messages import CachePolicy, Priority, Request

some = settings(max_examples=100, deadline=None)


def name(params=None, *, tenant="t", task="general", **fields):
    """The fingerprint of a request that differs from the usual one in what is given."""
    fields = {"id": "i", "agent": "a", "params": params if params is not None else {"messages": []}, **fields}
    return fingerprint(Request(1, **fields), tenant, task)


def test_golden():
    """The fingerprint stays the same over processes, machines and releases: it names answers that are stored."""
    params = {"messages": [{"role": "user", "content": "Hvad er klokken? 🕰"}], "temperature": 1.0, "seed": 7}

    assert name(params) == "86c4b6f5bdb517d08a04efba72848489"


def shuffled(value):
    """The same value with all names in the opposite order, and whole numbers the other way."""
    if isinstance(value, dict):
        return {key: shuffled(item) for key, item in reversed(value.items())}
    if isinstance(value, list):
        return [shuffled(item) for item in value]
    if type(value) is int and abs(value) < 2**53:
        return float(value)
    return int(value) if type(value) is float and value.is_integer() and abs(value) < 2**53 else value


@some
@given(strategies.params)
def test_order_and_spelling(params):
    """The order of names and `1` or `1.0` make no difference, however deep; nor does a second look."""
    assert name(shuffled(params)) == name(params)
    assert canonical(canonical(params)) == canonical(params)


@some
@given(strategies.params, strategies.params)
def test_other_parameters_other_name(one, other):
    """Parameters that are unequal as JSON have different names; equal ones the same."""
    one, other = ({k: v for k, v in p.items() if k not in WITHOUT_INFLUENCE} for p in (one, other))

    assert (name(one) == name(other)) is (same(one, other))


def same(one, other):
    """Equal as JSON: `1` and `1.0` are one number, but True and 1 are not the same."""
    return json.dumps(canonical(one), sort_keys=True) == json.dumps(canonical(other), sort_keys=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (0, -0.0),
        ([1, {"x": 2.0}], [1.0, {"x": 2}]),
        (2**53 - 1, float(2**53 - 1)),
    ],
)
def test_equal_numbers(one, other):
    """Numbers that are equal in JSON have one name."""
    assert name({"k": one}) == name({"k": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        (0, None),
        (1, "1"),
        ("", None),
        ([], {}),
        ([1, 2], [2, 1]),
        (0.1, 0.1000000001),
        ("é", "e\u0301"),
        ("a", "A"),
        ("a", "a "),
        (2**53, 2**53 + 1),
        (1e300, 1e301),
        ([[1], 2], [1, [2]]),
        ({"a": {"b": 1}}, {"a": 1, "b": 1}),
    ],
)
def test_values_that_differ(one, other):
    """Values that a backend could tell apart have different names: text is not normalised, order of lists counts."""
    assert name({"k": one}) != name({"k": other})


@some
@given(st.text(max_size=12), strategies.json_values)
def test_unknown_parameters_count(parameter, value):
    """Every parameter counts, known or not, even if its value is null, unless it is documented to have no influence."""
    counts = parameter not in WITHOUT_INFLUENCE and parameter != "messages"

    assert (name({"messages": [], parameter: value}) != name({"messages": []})) is (
        counts or (parameter == "messages" and value != [])
    )


@pytest.mark.parametrize("parameter", sorted(WITHOUT_INFLUENCE))
def test_parameters_without_influence(parameter):
    """Who asks and how the answer is delivered makes no difference; inside of a message the same word counts."""
    assert name({"messages": [], parameter: "x"}) == name({"messages": []})
    assert name({"messages": [{parameter: "x"}]}) != name({"messages": [{parameter: "y"}]})


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "other"},
        {"agent": "other"},
        {"priority": Priority.BATCH},
        {"timeout_ms": 5},
        {"stream": True},
        {"ordering_key": "k", "after": "j", "supersede": True},
        {"tags": {"a": "b"}},
        {"cache": CachePolicy("refresh", 5.0)},
    ],
)
def test_fields_without_influence(fields):
    """Who asks, how urgently and under which id makes no difference."""
    assert name(**fields) == name()


@pytest.mark.parametrize(
    "fields",
    [
        {"op": "embed"},
        {"model": "groq"},
        {"model": "groq/llama"},
        {"task": "code"},
        {"tenant": "other"},
        {"cache": CachePolicy(namespace="n")},
        {"cache": CachePolicy(scope="agent")},
        {"cache": CachePolicy(scope="public")},
    ],
)
def test_fields_that_count(fields):
    """The operation, the model, the task where it selects the model, and who may share the answer make a difference."""
    assert name(**fields) != name()


def test_task_counts_only_where_it_selects_the_model():
    """With a model that was named, the task is without influence."""
    assert name(model="groq", task="code") == name(model="groq", task="creative")


# Names made of what could end one part and begin the next.
crafty = st.sampled_from(
    ["", "a", "b", "tenant", "agent", "public", "alone", '","', '"]', "a/b", "/", '["', "\\", "\x00", "t"]
) | st.text('",[]\\', max_size=4)
identities = st.fixed_dictionaries(
    {
        "scope": st.sampled_from(["tenant", "agent", "public"]),
        "tenant": crafty,
        "agent": crafty.filter(bool),
        "namespace": crafty,
        "model": crafty.filter(bool),
        "op": st.sampled_from(["chat", "embed"]),
    }
)


def of(identity):
    """Its fingerprint, and what it may be shared by."""
    cache = CachePolicy(scope=identity["scope"], namespace=identity["namespace"])
    fields = {key: identity[key] for key in ("agent", "model", "op")}
    sharing = {"tenant": ("tenant",), "agent": ("tenant", "agent"), "public": ()}[identity["scope"]]
    meaning = [identity["scope"], identity["namespace"], identity["model"], identity["op"]] + [
        identity[k] for k in sharing
    ]
    return name(tenant=identity["tenant"], cache=cache, **fields), meaning


@settings(max_examples=500, deadline=None)
@given(identities, identities)
def test_scopes_cannot_imitate_each_other(one, other):
    """However tenants, agents and namespaces are called, two share a name only if they may share an answer."""
    (name_one, meaning_one), (name_other, meaning_other) = of(one), of(other)

    assert (name_one == name_other) is (meaning_one == meaning_other)


def test_names_do_not_run_into_each_other():
    """Moving a letter from one name to its neighbour makes another name."""
    agents = CachePolicy(scope="agent")

    assert name(tenant="ab", agent="c", cache=agents) != name(tenant="a", agent="bc", cache=agents)
    assert name(tenant="ab", cache=CachePolicy(namespace="c")) != name(tenant="a", cache=CachePolicy(namespace="bc"))
    assert name(cache=CachePolicy(namespace="chat")) != name(
        cache=CachePolicy(namespace=""), op="chat", model="chatauto"
    )
    ids = (
        lone_fingerprint(Request(1, "ab", "c", {}), "t", "u"),
        lone_fingerprint(Request(1, "b", "ca", {}), "t", "u"),
    )
    assert ids[0] != ids[1]


senders = st.tuples(crafty.filter(bool), crafty.filter(bool), crafty, st.none() | crafty)


@settings(max_examples=200, deadline=None)
@given(senders, senders)
def test_lone_requests_meet_nobody(one, other):
    """With the cache off a request shares its name with its own resubmissions only, not with another user's same id."""
    assume(one != other)
    (id_one, agent_one, *from_one), (id_other, agent_other, *from_other) = one, other
    first, second = Request(1, id_one, agent_one, {"x": 1}), Request(1, id_other, agent_other, {"x": 1})
    again = msgspec.structs.replace(first, timeout_ms=7)

    assert lone_fingerprint(first, *from_one) != lone_fingerprint(second, *from_other)
    assert lone_fingerprint(first, *from_one) == lone_fingerprint(again, *from_one)
    assert lone_fingerprint(first, *from_one) != fingerprint(first, from_one[0], "general")
