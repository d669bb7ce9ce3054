"""A slow network between members: a proxy for each of them, whose address the set takes for the member's.

    python -m campaigns.proxy --delay 0.1 --jitter 0.1 --bytes-per-second 125000 31001:27017 31002:27018 …

There is no ``tc netem`` on every machine, and this needs no rights. Each direction of each connection is late by the
delay and up to the jitter, in order, and carries so many bytes a second. It says ``ready`` when it listens.
"""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import dataclass

from campaigns.system import options

_CHUNK = 16_384


@dataclass(frozen=True)
class Slowness:
    """Seconds, and bytes a second, of each direction."""

    delay: float
    jitter: float
    bytes_per_second: float


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slow: Slowness) -> None:
    """One direction of a connection. What is on its way is late; what follows does not wait for it."""
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    clock = asyncio.get_running_loop().time

    async def deliver() -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - clock()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    delivery = asyncio.create_task(deliver())
    free = clock()
    try:
        while data := await reader.read(_CHUNK):
            free = max(free, clock()) + len(data) / slow.bytes_per_second
            await under_way.put((free + slow.delay + random.uniform(0, slow.jitter), data))  # noqa: S311  no secret
    except ConnectionError:
        pass
    await under_way.put((clock() + slow.delay, b""))
    try:
        await delivery
    except ConnectionError:
        writer.close()


async def serve(pairs: list[tuple[int, int]], slow: Slowness) -> None:
    """Listen on the first port of each pair for the member on the second, for ever."""

    def handler(target: int) -> object:
        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                writer.close()  # the member is down
                return
            await asyncio.gather(carry(reader, far_writer, slow), carry(far_reader, writer, slow))

        return connect

    servers = [await asyncio.start_server(handler(target), "127.0.0.1", port) for port, target in pairs]  # type: ignore[arg-type]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> int:
    """Run until killed."""
    parser = options(__doc__)
    parser.add_argument("--delay", type=float, default=0.1)
    parser.add_argument("--jitter", type=float, default=0.1)
    parser.add_argument("--bytes-per-second", type=float, default=125_000)
    parser.add_argument("pairs", nargs="+", metavar="PORT:TARGET")
    given = parser.parse_args()
    pairs = [(int(port), int(target)) for port, target in (pair.split(":") for pair in given.pairs)]
    asyncio.run(serve(pairs, Slowness(given.delay, given.jitter, given.bytes_per_second)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
