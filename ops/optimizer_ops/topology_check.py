"""`optimizer topology`: how an existing broker differs from what the optimizer needs, in words."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace

from optimizer_service.exit_codes import EXIT_CONFIG, EXIT_NOT_PERMITTED, EXIT_UNAVAILABLE
from optimizer_wire.broker_errors import BrokerUnavailable, NotPermitted, TopologyDiffers
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, Topology, backend_topology, shared_topology


async def check(url: str, prefix: str, backends: Sequence[str], *, as_json: bool = False) -> int:
    """Print what differs, and declare what is missing; returns 0 if all is as it must be, 78 if something differs."""
    names = Names(prefix)
    shared, calls = shared_topology(names), backend_topology(names, backends)
    entities = [
        *(Topology((exchange,), (), ()) for exchange in shared.exchanges),
        *(Topology((), (queue,), ()) for queue in (*shared.queues, *calls.queues)),
    ]
    differences = []
    try:
        async with await Session.open(url, "optimizer topology check") as session:
            for entity in entities:
                # A refused declaration closes its channel: each entity gets one of its own.
                channel = await session.channel()
                try:
                    await channel.declare(entity)
                except TopologyDiffers as error:
                    differences.append(str(error))
            bindings = replace(shared, exchanges=(), queues=(), bindings=(*shared.bindings, *calls.bindings))
            if not differences:
                await (await session.channel()).declare(bindings)
    except NotPermitted as error:
        print(f"optimizer: {error}", file=sys.stderr)
        return EXIT_NOT_PERMITTED
    except BrokerUnavailable as error:
        print(f"optimizer: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    if as_json:
        print(json.dumps({"ok": not differences, "entities": len(entities), "differences": differences}))
        return EXIT_CONFIG if differences else 0
    for difference in differences:
        print(difference)
    if differences:
        print("Delete what differs once it is empty, or set OPTIMIZER_PREFIX to use other names.")
        return EXIT_CONFIG
    print(f"{len(entities)} exchanges and queues are as they must be.")
    return 0
