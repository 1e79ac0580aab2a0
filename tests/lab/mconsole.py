#!/usr/bin/python3 -IS
# SPDX-License-Identifier: MPL-2.0
"""mconsole.py LAB_DIR HOST COMMAND...: one command to the management console of host hN's kernel; prints the answer.

The kernel lives in a jail whose root shows the host's directory under the same name (hN) as LAB_DIR does. Both sides
therefore use paths relative to that root: the kernel answers to the path this socket is bound to.
"""
import os
import socket
import struct
import sys

HEADER = struct.Struct("=III")  # request: magic, version, length; answer: error, more, length
MAGIC, VERSION, SIZE = 0xCAFEBABE, 2, 512


def main() -> int:
    lab, host, command = sys.argv[1], sys.argv[2], " ".join(sys.argv[3:]).encode()
    if len(command) >= SIZE:
        sys.exit(f"mconsole: command of {len(command)} bytes, at most {SIZE - 1} are possible")
    os.chdir(lab)
    own = f"{host}/mconsole.{os.getpid()}"
    console = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    console.bind(own)
    try:
        console.settimeout(10)
        console.sendto(HEADER.pack(MAGIC, VERSION, len(command)) + command.ljust(SIZE, b"\0"), f"{host}/uml/mconsole")
        text, more, error = b"", 1, 0
        while more:
            answer = console.recv(HEADER.size + SIZE)
            error, more, _ = HEADER.unpack_from(answer)
            text += answer[HEADER.size :].rstrip(b"\0")
    finally:
        os.unlink(own)
    print(text.decode(errors="replace").strip(), file=sys.stderr if error else sys.stdout)
    return 1 if error else 0


sys.exit(main())
