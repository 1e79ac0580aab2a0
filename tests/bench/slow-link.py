#!/usr/bin/python3 -IS
# SPDX-License-Identifier: MPL-2.0
"""slow-link.py ADDRESS PORT SECONDS: a ProxyCommand for ssh that hands on everything, each way so many seconds late.

Not here: less bandwidth, loss.
"""
import asyncio
import os
import sys


async def relay(read, write, delay):
    loop, queue = asyncio.get_running_loop(), asyncio.Queue()

    async def late():
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - loop.time())
            await write(data)
            if not data:
                return

    writer = asyncio.create_task(late())
    while True:
        data = await read()
        queue.put_nowait((loop.time() + delay, data))
        if not data:
            break
    await writer


async def main():
    address, port, delay = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    reader, writer = await asyncio.open_connection(address, port)
    loop, ours = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ours), sys.stdin)

    async def to_host(data):
        if not data:
            writer.close()
            return
        writer.write(data)
        await writer.drain()

    async def to_ssh(data):
        while data:
            data = data[os.write(1, data):]

    there = asyncio.create_task(relay(lambda: ours.read(65536), to_host, delay))
    await relay(lambda: reader.read(65536), to_ssh, delay)
    there.cancel()


asyncio.run(main())
