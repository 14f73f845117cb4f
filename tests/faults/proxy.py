"""A TCP proxy that misbehaves when told to: half-open connections, resets, replies that never arrive."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

#: Where the proxy connects to: `("host", port)`, or the path of a unix socket.
Upstream = tuple[str, int] | str


@dataclass
class FaultProxy:
    """Passes bytes on, until it is told otherwise.

    Attributes:
        port: of 127.0.0.1, where it listens.
    """

    upstream: Upstream
    port: int = 0
    _passing: asyncio.Event = field(default_factory=asyncio.Event)
    _replies_to_lose: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen on a free port."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()
        self._call(self._listen())
        self.pass_on()

    def stop(self) -> None:
        """End every connection and the thread."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        assert self._thread is not None
        self._thread.join()
        self._loop.close()

    def black_hole(self) -> None:
        """Keep connections open and pass nothing on, in neither direction."""
        self._loop.call_soon_threadsafe(self._passing.clear)

    def pass_on(self) -> None:
        """Work again."""
        self._loop.call_soon_threadsafe(self._passing.set)

    def reset_all(self) -> None:
        """Reset every connection; new ones work."""
        self._call(self._reset())

    def lose_replies(self, count: int) -> None:
        """Reset a connection instead of passing on its next reply, `count` times: the request was carried out."""
        self._replies_to_lose = count

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._reset()
        await asyncio.sleep(0)

    async def _reset(self) -> None:
        for writer in list(self._writers):
            _abort(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await _connect(self.upstream)
        except OSError:
            _abort(writer)
            return
        self._writers |= {writer, up_writer}
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, self._passes), self._pump(up_reader, writer, self._passes_reply)
            )
        finally:
            self._writers -= {writer, up_writer}
            _abort(writer)
            _abort(up_writer)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_pass: Callable[[], Awaitable[bool]]
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(65536):
                if not await may_pass():
                    break
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _passes(self) -> bool:
        await self._passing.wait()
        return True

    async def _passes_reply(self) -> bool:
        await self._passes()
        if self._replies_to_lose:
            self._replies_to_lose -= 1
            return False
        return True

    def _call(self, work: Awaitable[None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)  # type: ignore[arg-type]


async def _connect(upstream: Upstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(upstream, str):
        return await asyncio.open_unix_connection(upstream)
    return await asyncio.open_connection(*upstream)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Reset rather than close: the other side is told nothing more."""
    plain = writer.get_extra_info("socket")
    if plain is not None and plain.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
