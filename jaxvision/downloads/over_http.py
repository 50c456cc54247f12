"""One file over HTTP: goes on where an earlier attempt was cut, and is whole or not there."""

import contextlib
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

ATTEMPTS = 5  # that bring nothing new
WAIT = 0.5  # seconds after the first of them, twice as long after each other
TIMEOUT = 30  # seconds without a byte
BLOCK = 1 << 18
PARTIAL = 206
DONE = 416  # asked for what is behind the end


class Cut(OSError):
    """The connection ended before the file did."""


def download(url: str, target: Path) -> Path:
    """`target`, after the file at `url` was written there. What has come of it lies in
    <target>.part until it is whole. OSError or HTTPException where it does not come."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    failed = 0
    with progress_of(target.name) as progress:
        while True:
            before = size_of(part)
            try:
                receive(url, part, progress)
                break
            except (OSError, HTTPException) as error:
                # The server has answered: it will not say anything else.
                if isinstance(error, HTTPError) and error.code < 500:
                    raise
                failed = 0 if size_of(part) > before else failed + 1
                if failed >= ATTEMPTS:
                    raise
                time.sleep(WAIT * 2**failed)
    part.replace(target)
    return target


def receive(url: str, part: Path, progress: Progress) -> None:
    """What is lacking at the end of `part`, or all of it where the server knows no ranges."""
    start = size_of(part)
    request = urllib.request.Request(url, headers={"User-Agent": "jaxvision"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if (
            error.code == DONE
            and start
            and error.headers.get("Content-Range") == f"bytes */{start}"
        ):
            return
        if error.code == DONE:
            part.unlink(missing_ok=True)  # of another file
            raise Cut(f"{url}: a part of {start} bytes is not of this file") from None
        raise
    except URLError as error:
        raise OSError(str(error.reason)) from error
    with answer:
        continued = answer.status == PARTIAL
        start = start if continued else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        task = progress.tasks[0].id
        progress.update(task, total=total, completed=start)
        with part.open("ab" if continued else "wb") as file:
            for block in blocks_of(answer):
                file.write(block)
                progress.advance(task, len(block))
        if total is not None and size_of(part) != total:
            raise Cut(f"{size_of(part):,} of {total:,} bytes came")


def blocks_of(answer: HTTPResponse) -> Iterator[bytes]:
    while block := answer.read(BLOCK):
        yield block


def size_of(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


@contextlib.contextmanager
def progress_of(name: str) -> Iterator[Progress]:
    """A bar with one task on a terminal's standard error."""
    console = Console(stderr=True)
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        progress.add_task(name)
        yield progress
