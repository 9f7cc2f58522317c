"""Hypothesis strategies for messages: values that JSON can say, values that it cannot, and every kind of message."""

import msgpack
import msgspec
from hypothesis import strategies as st

from optimizer_wire.events import KINDS, Event
from optimizer_wire.messages import (
    NO_RESULT,
    CachePolicy,
    Call,
    ErrorInfo,
    Hop,
    Priority,
    Reply,
    Request,
    Timings,
    Usage,
    Waiter,
)

names = st.text(min_size=1, max_size=20)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=20)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
params = st.dictionaries(st.text(max_size=8), json_values, max_size=5)
tags = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)
tasks = st.sampled_from(["code", "reasoning", "creative", "long", "general"])
ops = st.sampled_from(["chat", "embed"])
priorities = st.sampled_from(Priority)
amounts = st.integers(0, 2**53)
seconds = st.floats(0, 1e9)

# What msgpack can say and JSON cannot, too.
msgpack_values = st.recursive(
    scalars
    | st.binary(max_size=8)
    | st.floats()
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=8))
    | st.builds(msgpack.Timestamp, st.integers(-(2**40), 2**40), st.integers(0, 999_999_999)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(scalars, inner, max_size=4),
    max_leaves=12,
)

requests = st.builds(
    Request,
    v=st.just(1),
    id=names,
    agent=names,
    params=params,
    op=ops,
    model=names,
    task=st.none() | tasks,
    cache=st.builds(
        CachePolicy,
        st.sampled_from(["use", "refresh", "off"]),
        st.none() | st.floats(0, 366 * 86400),
        st.text(max_size=10),
        st.sampled_from(["tenant", "agent", "public"]),
    ),
    priority=priorities,
    timeout_ms=st.integers(1, 86_400_000),
    stream=st.booleans(),
    ordering_key=st.none() | st.text(max_size=10),
    after=st.none() | names,
    supersede=st.booleans(),
    tags=tags,
)
usages = st.builds(Usage, amounts, amounts, amounts, amounts, amounts, raw=st.none() | params)
timings = st.builds(Timings, seconds, seconds, seconds)
replies = st.builds(
    Reply,
    v=st.just(1),
    id=names,
    ok=st.booleans(),
    source=st.sampled_from(["backend", "cache", "collapsed", "direct"]),
    result=st.just(NO_RESULT) | params.map(lambda value: msgspec.Raw(msgspec.msgpack.encode(value))),
    backend=st.none() | names,
    model=st.none() | names,
    task=st.none() | tasks,
    usage=st.none() | usages,
    cost_usd=st.none() | seconds,
    age_s=st.none() | seconds,
    timings=timings,
    attempts=amounts,
    error=st.none() | st.builds(ErrorInfo, names, names, st.booleans(), st.none() | seconds),
)
waiters = st.builds(Waiter, names, names, amounts, names, names, priorities, amounts)
calls = st.builds(
    Call,
    v=st.just(1),
    fingerprint=names,
    flight=amounts,
    number=amounts,
    waiter=waiters,
    params=params,
    route=st.lists(st.builds(Hop, names, names), max_size=3).map(tuple),
    op=ops,
    task=tasks,
    hop=amounts,
    attempts=amounts,
    may_read=st.booleans(),
    store_ttl_ms=amounts,
    tags=tags,
)
events = st.builds(
    Event,
    v=st.just(1),
    id=names,
    type=st.sampled_from(sorted(KINDS)),
    source=names,
    time=seconds,
    request_id=st.none() | names,
    op=st.none() | ops,
    task=st.none() | tasks,
    priority=st.none() | priorities,
    usage=st.none() | usages,
    timings=st.none() | timings,
    waiters=st.none() | amounts,
    tags=tags,
)
messages = requests | replies | calls | events
