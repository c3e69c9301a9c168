# SPDX-License-Identifier: Apache-2.0
"""distance.py PORT HOST:PORT SECONDS BYTES: a way to a server on which each request takes some time, and each connection
gets so many bytes in a second."""

import asyncio
import sys
import time

PIECE = 2**18
# What a reader that was late may catch up on: a sleep takes longer than it should, too.
SLACK_S = 0.02


async def main(port, upstream, seconds, rate):
    host, _, upstream_port = upstream.rpartition(":")

    async def requests(source, sink):
        while piece := await source.read(PIECE):
            await asyncio.sleep(seconds)
            sink.write(piece)
            await sink.drain()
        sink.write_eof()

    async def responses(source, sink):
        free = time.monotonic()
        while piece := await source.read(PIECE):
            # What wasn't used isn't saved up.
            free = max(free, time.monotonic() - SLACK_S) + len(piece) / rate
            sink.write(piece)
            await sink.drain()
            await asyncio.sleep(max(0, free - time.monotonic()))
        sink.close()

    async def connection(reader, writer):
        far_reader, far_writer = await asyncio.open_connection(host, int(upstream_port))
        ways = requests(reader, far_writer), responses(far_reader, writer)
        await asyncio.gather(*ways, return_exceptions=True)
        far_writer.close()
        writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", port, limit=2 * PIECE)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
