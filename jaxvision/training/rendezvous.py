"""A meeting of all processes before JAX starts: are they all there, and do they agree?

JAX's own start aborts the process (exit status 134) where the coordinator's address is wrong or a
peer is missing, and says nothing of what the processes were started with. So they meet first, at
the same address, over plain TCP: everyone sends one line of JSON, process 0 compares, and all get
the same answer.
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
HELLO_SECONDS = 5.0  # for what connects to say who it is
SHOWN = 8  # differences, or missing processes, in one message


@dataclass(frozen=True)
class Guest:
    """A process that came, what it was started with, and its connection (none for process 0)."""

    who: str  # "host (process id 123)"
    told: Mapping[str, Any]
    connection: socket.socket | None = None


def meet(
    address: str, bind: str, count: int, number: int, told: Mapping[str, Any], seconds: float
) -> None:
    """Meet the other processes; process 0 is the host.

    address: HOST:PORT of process 0.  bind: HOST:PORT where it listens.  told: what all must have
    been started with alike, as plain JSON values by name.

    InputError, the same in all that came, where one is missing after `seconds`, two have the same
    number, or they do not agree.
    """
    if number == 0:
        _host(address, bind, count, told, seconds)
    else:
        _visit(address, count, number, told, seconds)


def split_address(address: str) -> tuple[str, int]:
    """("host", port) of "host:port" or "[::1]:port"."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"coordinator address {address!r}: expected HOST:PORT, e.g. node0:1234")
    return host.strip("[]"), int(port)


def _host(address: str, bind: str, count: int, told: Mapping[str, Any], seconds: float) -> None:
    guests = {0: Guest(_who(), told)}
    deadline = time.monotonic() + seconds
    try:
        listener = _listen(*split_address(bind))
    except OSError as error:
        raise InputError(f"coordinator address {bind}: cannot listen: {error.strerror}") from error
    problem = ""
    with contextlib.ExitStack() as stack:
        stack.enter_context(listener)
        while len(guests) < count and not problem:
            listener.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                connection = stack.enter_context(listener.accept()[0])
            except TimeoutError:
                problem = (
                    f"{_names(set(range(count)) - guests.keys())} of {count} did not come to "
                    f"{address} within {seconds:g} s"
                )
                break
            problem = _receive(connection, count, guests)
        problem = problem or disagreement({n: guest.told for n, guest in guests.items()})
        answered = [guest.connection for guest in guests.values() if guest.connection is not None]
        for connection in answered:
            with contextlib.suppress(OSError):
                connection.sendall(_line({"problem": problem}))
        for connection in answered:
            with contextlib.suppress(OSError):
                connection.recv(1)  # they close first, so the port is free at once
    if problem:
        raise InputError(problem)


def _receive(connection: socket.socket, count: int, guests: dict[int, Guest]) -> str:
    """Read who came into `guests`; returns what is wrong with that, or ""."""
    connection.settimeout(HELLO_SECONDS)
    try:
        hello = json.loads(_read_line(connection))
        number, guest = int(hello["number"]), Guest(hello["who"], hello["told"], connection)
        theirs = int(hello["count"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # not one of ours
    if theirs != count:
        return f"process {number} was told of {theirs} processes, process 0 of {count}"
    if not 0 <= number < count:
        return f"process number {number}: expected 0 to {count - 1}"
    before = guests.get(number)
    if before is not None and not _has_left(before):
        return f"process number {number} was given twice: to {before.who} and to {guest.who}"
    guests[number] = guest
    return ""


def _has_left(guest: Guest) -> bool:
    if guest.connection is None:
        return False
    readable, _, _ = select.select([guest.connection], [], [], 0)
    return bool(readable)  # it sends nothing more, so this is the end


def _visit(address: str, count: int, number: int, told: Mapping[str, Any], seconds: float) -> None:
    host, port = split_address(address)
    hello = _line({"number": number, "count": count, "who": _who(), "told": told})
    deadline = time.monotonic() + seconds
    reason = "no answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, port), timeout=left) as connection:
                connection.sendall(hello)
                # The host waits as long for the last to come, from a later start perhaps.
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


def disagreement(told: Mapping[int, Mapping[str, Any]]) -> str:
    """What differs between process 0 and the first that was not started alike, or ""."""
    for number in sorted(told):
        mine, theirs = told[0], told[number]
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
