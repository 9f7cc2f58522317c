"""The direct caller for the blocking client: the same asyncio code, in a thread of its own."""

from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial

from optimizer_client.direct import DirectCaller, direct_caller
from optimizer_client.loop_thread import LoopThread
from optimizer_client.reply import Reply
from optimizer_wire.messages import Request


class DirectThread:
    """Takes requests for which there is no optimizer straight to a backend."""

    def __init__(self) -> None:
        self._caller: DirectCaller = direct_caller()
        self._thread = LoopThread("optimizer-direct")

    def take(self, request: Request, future: Future[Reply]) -> None:
        """Call the backend and end the future; cancelling it cancels the call."""
        if future.done():
            return
        call = self._thread.submit(self._caller.call(request))
        call.add_done_callback(partial(_hand_over, future))
        future.add_done_callback(lambda ended: call.cancel() if not call.done() and ended.done() else None)

    def close(self) -> None:
        """Cancel calls and close connections."""
        with suppress(Exception):
            self._thread.submit(self._caller.close()).result(5)
        self._thread.close()


def _hand_over(future: Future[Reply], call: Future[Reply]) -> None:
    with suppress(InvalidStateError):
        if call.cancelled():
            future.cancel()
        elif (error := call.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(call.result())
