"""Check before JAX starts that all processes are there and were started with the same settings.

JAX's own start aborts the process (exit status 134) where the coordinator's address is wrong or a
peer is missing, and does not compare settings. So this runs first, over plain TCP at the same
address: every process sends one line of JSON to process 0, which compares them and sends all the
same answer.
"""

import contextlib
import json
import os
import select
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxvision.errors import InputError

LONGEST_LINE = 1 << 20  # bytes
RETRY_SECONDS = 0.2
STEP_SECONDS = 0.5
HELLO_SECONDS = 5.0  # for a new connection to say who it is
SHOWN = 8  # differences, or missing processes, in one message


@dataclass(frozen=True)
class Peer:
    """A process that connected, its settings, and its connection (none for process 0)."""

    who: str  # "host (process id 123)"
    settings: Mapping[str, Any]
    connection: socket.socket | None = None


def check_peers(
    settings: Mapping[str, Any],
    *,
    address: str,
    bind: str,
    number: int,
    count: int,
    seconds: float,
) -> None:
    """Wait for all `count` processes and compare their settings; process 0 is the host.

    settings: what all must have in common, as plain JSON values by name.
    address: HOST:PORT of process 0.  bind: HOST:PORT where it listens.  number: of this process.

    InputError, the same in all that connected, where one is missing after `seconds`, two have the
    same number, or settings differ.
    """
    if number == 0:
        _host(settings, address, bind, count, seconds)
    else:
        _join(settings, address, number, count, seconds)


def split_address(address: str) -> tuple[str, int]:
    """("host", port) of "host:port" or "[::1]:port"."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"coordinator address {address!r}: expected HOST:PORT, e.g. node0:1234")
    return host.strip("[]"), int(port)


def _host(settings: Mapping[str, Any], address: str, bind: str, count: int, seconds: float) -> None:
    peers = {0: Peer(_who(), settings)}
    deadline = time.monotonic() + seconds
    try:
        listener = _listen(*split_address(bind))
    except OSError as error:
        raise InputError(f"coordinator address {bind}: cannot listen: {error.strerror}") from error
    problem = ""
    with contextlib.ExitStack() as stack:
        stack.enter_context(listener)
        while len(peers) < count and not problem:
            left = deadline - time.monotonic()
            # In short steps: a signal that comes just before a wait is answered only after it.
            listener.settimeout(min(STEP_SECONDS, max(0.001, left)))
            try:
                connection = stack.enter_context(listener.accept()[0])
            except TimeoutError:
                if left > STEP_SECONDS:
                    continue
                problem = (
                    f"{_names(set(range(count)) - peers.keys())} of {count} did not connect to "
                    f"{address} within {seconds:g} s"
                )
                break
            problem = _receive(connection, count, peers)
        problem = problem or disagreement({n: peer.settings for n, peer in peers.items()})
        answered = [peer.connection for peer in peers.values() if peer.connection is not None]
        for connection in answered:
            with contextlib.suppress(OSError):
                connection.sendall(_line({"problem": problem}))
        for connection in answered:
            with contextlib.suppress(OSError):
                connection.recv(1)  # they close first, so the port is free at once
    if problem:
        raise InputError(problem)


def _receive(connection: socket.socket, count: int, peers: dict[int, Peer]) -> str:
    """Add who connected to `peers`; returns what is wrong with that, or ""."""
    connection.settimeout(HELLO_SECONDS)
    try:
        hello = json.loads(_read_line(connection))
        number, peer = int(hello["number"]), Peer(hello["who"], hello["settings"], connection)
        theirs = int(hello["count"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # not one of ours
    if theirs != count:
        return f"process {number} was started as one of {theirs}, process 0 as one of {count}"
    if not 0 <= number < count:
        return f"process number {number}: expected 0 to {count - 1}"
    before = peers.get(number)
    if before is not None and not _has_left(before):
        return f"process number {number} was given twice: to {before.who} and to {peer.who}"
    peers[number] = peer
    return ""


def _has_left(peer: Peer) -> bool:
    if peer.connection is None:
        return False
    readable, _, _ = select.select([peer.connection], [], [], 0)
    return bool(readable)  # it sends nothing more, so this is the end


def _join(
    settings: Mapping[str, Any], address: str, number: int, count: int, seconds: float
) -> None:
    host, port = split_address(address)
    hello = _line({"number": number, "count": count, "who": _who(), "settings": settings})
    deadline = time.monotonic() + seconds
    reason = "no answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, port), timeout=left) as connection:
                connection.sendall(hello)
                # The host may have started later, and waits `seconds` for the last peer.
                connection.settimeout(left + seconds)
                answer = json.loads(_read_line(connection))
                problem = answer["problem"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or reason
            time.sleep(RETRY_SECONDS)
            continue
        if problem:
            raise InputError(problem)
        return
    raise InputError(
        f"process {number} could not reach process 0 at {address} within {seconds:g} s ({reason}); "
        "is the coordinator address right, and has process 0 been started?"
    )


def disagreement(settings: Mapping[int, Mapping[str, Any]]) -> str:
    """What differs between process 0 and the first with other settings, or ""."""
    for number in sorted(settings):
        mine, theirs = settings[0], settings[number]
        lines = [
            f"{key}: {mine.get(key)!r} in process 0, {theirs.get(key)!r} in process {number}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]
        if lines:
            more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
            return f"processes disagree: {'; '.join(lines[:SHOWN])}{more}"
    return ""


def _listen(host: str, port: int) -> socket.socket:
    if host in ("", "::"):
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
            )
        return socket.create_server(("", port), backlog=1024)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _read_line(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        line = stream.readline(LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise ValueError("the connection ended early")
    return line


def _who() -> str:
    return f"{socket.gethostname()} (process id {os.getpid()})"


def _names(numbers: Iterable[int]) -> str:
    ordered = sorted(numbers)
    shown = ", ".join(map(str, ordered[:SHOWN]))
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return f"process{'es' if len(ordered) > 1 else ''} {shown}{more}"
