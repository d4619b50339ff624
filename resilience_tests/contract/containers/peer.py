"""What runs in the containers of these tests: echoes lines, and opens connections when it is told to.

It is passed to an interpreter as text, so it imports nothing of the project. A
request on the control port is a JSON line:

  {"do": "open", "to": [HOST, PORT], "within": SECONDS}    a connection that stays
  {"do": "say", "words": TEXT, "within": SECONDS}          over it, and wait for the echo
  {"do": "heard"}                                          every line that this peer received
"""

import json
import socket
import sys
import threading
import time
from typing import Any

CONTROL = 7000
heard: list[str] = []


def echo(port: int) -> None:
    server = socket.create_server(("", port), backlog=64)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection, connection.makefile("rb") as stream:
        try:
            for line in stream:
                heard.append(line[:100].decode().strip())
                connection.sendall(line)
        except OSError:
            return


def open_to(standing: dict[str, socket.socket], host: str, port: int, within: float) -> None:
    standing["socket"] = socket.create_connection((host, port), timeout=within)


def say(standing: dict[str, socket.socket], words: str, within: float) -> None:
    connection = standing["socket"]
    connection.settimeout(within)
    connection.sendall(words.encode() + b"\n")
    missing = len(words) + 1
    while missing:
        got = connection.recv(min(missing, 65536))
        if not got:
            raise ConnectionResetError("the other side closed")
        missing -= len(got)


def do(standing: dict[str, socket.socket], request: dict[str, Any]) -> dict[str, Any]:
    kind = request["do"]
    begun = time.monotonic()
    try:
        if kind == "open":
            host, port = request["to"]
            open_to(standing, host, port, request["within"])
        elif kind == "say":
            say(standing, request["words"], request["within"])
    except OSError as error:
        outcome = type(error).__name__
    else:
        outcome = "ok"
    return {
        "outcome": outcome,
        "seconds": time.monotonic() - begun,
        "heard": heard if kind == "heard" else [],
    }


def control(connection: socket.socket) -> None:
    standing: dict[str, socket.socket] = {}
    with connection, connection.makefile("rb") as stream:
        for line in stream:
            connection.sendall(json.dumps(do(standing, json.loads(line))).encode() + b"\n")


if __name__ == "__main__":
    for port in sys.argv[1:]:
        threading.Thread(target=echo, args=(int(port),), daemon=True).start()
    waiting = socket.create_server(("", CONTROL), backlog=64)
    while True:
        accepted, _ = waiting.accept()
        threading.Thread(target=control, args=(accepted,), daemon=True).start()
