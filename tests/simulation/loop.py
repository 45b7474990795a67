"""asyncio's own loop on simulated time: one turn is taken when the world says so, and connections end in the world."""

import asyncio
import math
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.simulation.clock import MachineClock

Dial = Callable[[asyncio.Protocol], asyncio.Transport]


class _NoSockets:
    """What the loop asks for events: there are none, and nobody waits."""

    def select(self, timeout: float | None) -> list[Any]:
        return []


class SimLoop(asyncio.base_events.BaseEventLoop):
    """The event loop of one process. dial gives a connection's transport, or raises OSError."""

    def __init__(self, clock: MachineClock, reach: Callable[[], Any], dial: Dial) -> None:
        super().__init__()
        self._clock = clock
        self._reach = reach
        self._dial = dial
        self._selector = _NoSockets()
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._clock.elapsed().total_seconds()

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        await self._reach()

    async def create_connection(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        options["sock"].close()
        protocol = protocol_factory()
        transport = self._dial(protocol)
        protocol.connection_made(transport)
        return transport, protocol

    @property
    def is_ready(self) -> bool:
        """Whether a turn would do anything."""
        if self._ready:
            return True
        due = self.due_in()
        return due is not None and due <= timedelta(0)

    def due_in(self, *, but: asyncio.Task[Any] | None = None) -> timedelta | None:
        """Return how long the next timer has, but for the sleep of this task; None when there is none."""
        slept = getattr(but, "_fut_waiter", None)
        whens = [
            handle.when()
            for handle in self._scheduled
            if not handle.cancelled() and (slept is None or slept not in (handle._args or ()))
        ]
        if not whens:
            return None
        return timedelta(microseconds=math.ceil((min(whens) - self.time()) * 1e6))

    def turn(self) -> None:
        """Take one turn."""
        asyncio._set_running_loop(self)
        try:
            self._run_once()
        finally:
            asyncio._set_running_loop(None)

    def abandon(self, death: BaseException) -> None:
        """End every task as the death of its process does: whatever it touches on its way out raises."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False
            _end(task.get_coro(), death)
        self._ready.clear()
        self._scheduled.clear()
        self.close()

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """Wake nobody: the world takes the turns."""


def _end(coroutine: Any, death: BaseException) -> None:
    for _ in range(20):
        try:
            coroutine.throw(death)
        except (StopIteration, type(death)):
            return
    raise AssertionError(f"{coroutine} does not die")
