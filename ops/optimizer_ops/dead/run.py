"""What the commands of dead letters do; each returns an exit code and prints one sentence on what is wrong."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

from optimizer_config.model import Config
from optimizer_ops.dead.letters import Busy, Kept, Letters, letters
from optimizer_ops.dead.render import body_of, fitted, json_of, page, plain
from optimizer_ops.dead.replay import CannotReplay, Replay
from optimizer_ops.formatting.units import count_of
from optimizer_ops.terminal.output import print_lines, screen
from optimizer_service.exit_codes import EXIT_FAILED, EXIT_NOT_PERMITTED, EXIT_NOT_YET, EXIT_UNAVAILABLE
from optimizer_service.lifetime import run
from optimizer_state.store import RedisAway, Store
from optimizer_wire.broker_errors import BrokerUnavailable, NotPermitted, Refused, Unconfirmed, Unroutable
from optimizer_wire.dead_letters import DeadLetter
from optimizer_wire.topology import Names

_Work = Callable[[Letters], Awaitable[int]]


def list_letters(config: Config, *, as_json: bool) -> int:
    """Print all letters."""

    async def work(box: Letters) -> int:
        found = await box.all()
        if as_json:
            print(json_of(found))
        elif found:
            console, width = screen()
            if width is None:
                print(plain(found, time.time()))
            else:
                hint = "All of one: optimizer dead show ID. Its cause is mended: optimizer dead replay ID"
                print_lines(console, [*fitted(found, time.time(), width), "", hint])
        else:
            print("There are no dead letters.", file=sys.stderr)
        return 0

    return _run(config, work)


def show(config: Config, name: str, *, prompt: bool, as_json: bool) -> int:
    """Print one letter, with its body only if that is wanted."""

    async def work(box: Letters) -> int:
        for kept in await box.all(lambda letter: prompt and letter.id == name):
            if kept.letter.id == name:
                if as_json:
                    print(json_of([kept], with_body=prompt))
                    return 0
                print(page(kept))
                if prompt:
                    print(body_of(kept.letter))
                return 0
        return _unknown([name])

    return _run(config, work)


def drop(config: Config, names: Sequence[str], *, every: bool, older_than_s: int | None) -> int:
    """Remove letters for good."""
    wanted = _wanted(names, every=every, older_than_s=older_than_s)

    async def work(box: Letters) -> int:
        chosen = [kept for kept in await box.all() if wanted(kept.letter)]
        for kept in chosen:
            await box.remove(kept)
        print(f"{count_of(len(chosen), 'dead letter').capitalize()} dropped.")
        return _unknown(_missing(names, chosen))

    return _run(config, work)


def replay(config: Config, names: Sequence[str], *, every: bool, older_than_s: int | None, timeout_s: float) -> int:
    """Send letters back to where they came from."""
    wanted = _wanted(names, every=every, older_than_s=older_than_s)

    async def work(box: Letters) -> int:
        store = Store(config.redis_url, config.prefix)
        try:
            await store.synchronise_clock()
            channel = await box.session.channel(confirms=True)
            again = Replay(channel, box.names, store, box.session.user, timeout_s)
            chosen = [kept for kept in await box.all(wanted) if wanted(kept.letter)]
            failed = [kept for kept in chosen if not await _replayed(box, again, kept)]
        finally:
            await store.close()
        if not chosen and not names:
            print("There are no such dead letters.", file=sys.stderr)
        return _unknown(_missing(names, chosen)) or (EXIT_FAILED if failed else 0)

    return _run(config, work)


async def _replayed(box: Letters, again: Replay, kept: Kept) -> bool:
    """Replay one letter and remove it; False, with a sentence, if it stays."""
    try:
        print(f"{kept.letter.id} {await again.send(kept.letter)}.")
    except (CannotReplay, Unroutable, Refused) as error:
        print(f"optimizer: {kept.letter.id} stays: {error}", file=sys.stderr)
        return False
    except Unconfirmed as error:
        raise BrokerUnavailable(f"{kept.letter.id} stays, and may have been replayed: {error}") from error
    await box.remove(kept)
    return True


def _wanted(names: Sequence[str], *, every: bool, older_than_s: int | None) -> Callable[[DeadLetter], bool]:
    chosen, before_ms = frozenset(names), None if older_than_s is None else (time.time() - older_than_s) * 1000

    def wanted(letter: DeadLetter) -> bool:
        if before_ms is not None and letter.died_ms > before_ms:
            return False
        return letter.id in chosen if chosen else every or before_ms is not None

    return wanted


def _missing(names: Sequence[str], found: Sequence[Kept]) -> list[str]:
    known = {kept.letter.id for kept in found}
    return [name for name in names if name not in known]


def _unknown(names: Sequence[str]) -> int:
    for name in names:
        print(f"optimizer: There is no dead letter {name}; see them with: optimizer dead list", file=sys.stderr)
    return EXIT_FAILED if names else 0


def _run(config: Config, work: _Work) -> int:
    async def look() -> int:
        try:
            async with letters(config.amqp_url, Names(config.prefix)) as box:
                return await work(box)
        except Busy as error:
            print(f"optimizer: {error}", file=sys.stderr)
            return EXIT_NOT_YET
        except NotPermitted as error:
            print(f"optimizer: {error} Dead letters are for users with the role coordinator.", file=sys.stderr)
            return EXIT_NOT_PERMITTED
        except (BrokerUnavailable, RedisAway, asyncio.CancelledError) as error:
            print(f"optimizer: {error}", file=sys.stderr)
            return EXIT_UNAVAILABLE

    return run(look())
