"""A relay that forgets its connections, as a NAT or a firewall does: nobody is told."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Forgetful:
    """Passes bytes on between its port and another, but not on connections that it forgot."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._remembered: set[object] = set()
        self.port = 0

    def forget(self) -> None:
        """Drop from now on what comes on the connections there are; new ones are well."""
        self._remembered.clear()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        mark = object()
        self._remembered.add(mark)

        async def one_way(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while piece := await source.read(65_536):
                    if mark in self._remembered:
                        sink.write(piece)
                        await sink.drain()
            if mark in self._remembered:
                sink.close()

        try:
            await asyncio.gather(one_way(reader, far_writer), one_way(far_reader, writer))
        finally:
            for each in (writer, far_writer):
                each.close()


@contextmanager
def forgetful(to: int) -> Iterator[Forgetful]:
    """Run a relay to a port of this machine."""
    relay, loop = Forgetful(to), asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(relay.relay, "127.0.0.1", 0)
        relay.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for each in serving:
            each.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield relay
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
