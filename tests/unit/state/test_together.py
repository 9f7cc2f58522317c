"""Round trips shared by those who ask at the same time."""

import asyncio

import pytest

from optimizer_state.together import Together


class Server:
    """Answers with the double, each round trip when it is let."""

    def __init__(self) -> None:
        self.trips: list[list[int]] = []
        self.let = asyncio.Semaphore(0)
        self.fails = False

    async def work(self, items: list[int]) -> list[int]:
        self.trips.append(items)
        await self.let.acquire()
        if self.fails:
            raise ConnectionError("gone")
        return [2 * item for item in items]


async def turns() -> None:
    """Let everything that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_meanwhile_shares_the_next_round_trip():
    """What is asked during a round trip goes into the next one, and everybody gets their own answers."""
    server = Server()
    together = Together(server.work)
    first = asyncio.ensure_future(together.run([1]))
    await turns()
    others = [asyncio.ensure_future(together.run(items)) for items in ([2, 3], [], [4])]
    await turns()
    server.let.release()
    server.let.release()

    assert await asyncio.gather(first, *others) == [[2], [4, 6], [], [8]]
    assert server.trips == [[1], [2, 3, 4]]
    assert await asyncio.wait_for(_released(server, together.run([5])), 5) == [10]


async def _released(server: Server, asked) -> list[int]:
    server.let.release()
    return await asked


async def test_an_error_goes_to_all_who_waited():
    """A failed round trip fails those it was for and those behind it; whoever asks afterwards is asked for anew."""
    server = Server()
    together = Together(server.work)
    server.fails = True
    asked = [asyncio.ensure_future(together.run([1]))]
    await turns()
    asked.append(asyncio.ensure_future(together.run([2])))
    await turns()
    server.let.release()
    for each in asked:
        with pytest.raises(ConnectionError, match="gone"):
            await each
    assert server.trips == [[1]]

    server.fails = False

    assert await _released(server, together.run([3])) == [6]


async def test_one_who_is_cancelled_does_not_disturb_the_others():
    """A caller that is cancelled leaves the round trip to the others."""
    server = Server()
    together = Together(server.work)
    leaving, staying = (asyncio.ensure_future(together.run([i])) for i in (1, 2))
    await turns()
    leaving.cancel()
    server.let.release()

    assert await staying == [4]
    assert leaving.cancelled() or await asyncio.gather(leaving, return_exceptions=True)
