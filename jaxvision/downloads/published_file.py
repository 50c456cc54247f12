"""A published file by its address: fetched once, and the same ever after.

Files of the Hugging Face hub go through `huggingface_hub` into its own cache (HF_HOME); others
below $JAXVISION_CACHE, or ~/.cache/jaxvision. Size and sha256 of every file are noted there on its
first use: a file that is another one later is refused.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

from jaxvision.data.atomic_write import atomic_write
from jaxvision.downloads.over_http import download
from jaxvision.errors import InputError, disk_problem, one_line
from jaxvision.stores.local_copies import cache_folder

HUB = re.compile(r"https://huggingface\.co/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
NOTES = "fetched.json"  # {address: {"size", "sha256", "modified"}}
BLOCK = 1 << 22
SHA256 = re.compile(r"[0-9a-f]{64}")


class PublishedFile(NamedTuple):
    """network, licence, page: for people.  address: of the file; "" where none can be fetched.
    by_hand: what to do instead."""

    network: str
    file: str
    address: str = ""
    licence: str = ""
    page: str = ""
    by_hand: str = ""

    @classmethod
    def of_row(cls, row: dict[str, str]) -> "PublishedFile":
        """From a row of a method's `published()`."""
        return cls(
            network=row["network"],
            file=row["file"],
            address=row.get("address", ""),
            licence=row.get("licence", "none stated"),
            page=row.get("from", ""),
            by_hand=row.get("by hand", ""),
        )


def fetch(published: PublishedFile, say: Callable[[str], None] = print) -> Path:
    """Where the file lies, after it was fetched if it was not there. InputError, in one line, where
    it cannot be had, and where it is not the file of its first use."""
    address = published.address
    if not address:
        raise InputError(
            f"{published.network}: {published.file} cannot be fetched: {published.by_hand}; then "
            "give its path instead of the name"
        )
    found = HUB.fullmatch(address)
    where = in_hub_cache(*found.groups()) if found else plain_path(address)
    if where is None or not where.is_file():
        if offline():
            raise InputError(
                f"{published.network}: {published.file} is not in the cache, and HF_HUB_OFFLINE "
                "asks for no network"
            )
        say(
            f"fetching {address} (licence: {published.licence}; the address is the authors', not "
            "tried here)"
        )
        try:
            where = from_hub(*found.groups()) if found else download(address, plain_path(address))
        except Exception as error:
            if isinstance(error, InputError) or disk_problem(error):
                raise
            page = f"; by hand: {published.page}" if published.page else ""
            raise InputError(f"{address}: cannot be fetched: {reason_of(error)}{page}") from error
    check_same(address, where, say)
    return where


def offline() -> bool:
    """As huggingface_hub reads it."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def in_hub_cache(repository: str, revision: str, file: str) -> Path | None:
    """A file of the hub that is here already; nothing is asked of a network."""
    from huggingface_hub import try_to_load_from_cache

    known = try_to_load_from_cache(repository, file, revision=revision, cache_dir=hub_cache())
    return Path(known) if isinstance(known, str) else None


def from_hub(repository: str, revision: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # it tells every attempt
    return Path(
        hf_hub_download(
            repository,
            file,
            revision=revision,
            cache_dir=hub_cache(),
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    )


def hub_cache() -> str | None:
    """The environment's, read now; None: the library's own choice."""
    return os.environ.get("HF_HUB_CACHE")


def plain_path(address: str) -> Path:
    parts = urlparse(address)
    return cache_folder() / re.sub(r"[^\w.-]", "_", parts.netloc) / parts.path.lstrip("/")


def check_same(address: str, file: Path, say: Callable[[str], None]) -> None:
    """InputError where `file` is not what was noted of `address`; on its first use, note it."""
    status = file.stat()
    notes_file = cache_folder() / NOTES
    notes = read_notes(notes_file)
    known = notes.get(address)
    now: dict[str, Any] = {"size": status.st_size, "modified": status.st_mtime_ns}
    if known is not None and {name: known.get(name) for name in now} == now:
        return
    now["sha256"] = sha256_of(file)
    # The hub calls a large file by its content.
    promised = file.resolve().name
    if SHA256.fullmatch(promised) and promised != now["sha256"]:
        raise InputError(
            f"{file.resolve()}: damaged: sha256 {now['sha256'][:12]}..., expected "
            f"{promised[:12]}...; remove it and fetch it again"
        )
    if known is not None and known.get("sha256") != now["sha256"]:
        raise InputError(
            f"{file}: not the file of its first use: {now['size']:,} bytes, sha256 "
            f"{now['sha256'][:12]}..., expected {known.get('size', 0):,} bytes, "
            f"{str(known.get('sha256'))[:12]}...; remove it and fetch it again, or, if the new one "
            f"is wanted, its entry in {notes_file}"
        )
    if known is None:
        say(f"{file}: {now['size']:,} bytes, sha256 {now['sha256']}")
    notes_file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(notes_file) as temporary:
        Path(temporary).write_text(json.dumps({**notes, address: now}, indent=1) + "\n")


def read_notes(file: Path) -> dict[str, Any]:
    """InputError where the file is not as it was written: nothing could be compared with it."""
    if not file.is_file():
        return {}
    try:
        notes = json.loads(file.read_text())
        return {str(address): dict(note) for address, note in notes.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file}: expected a table of files that were fetched: {error}") from None


def sha256_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def reason_of(error: Exception) -> str:
    """The first sentence of what a library says, with the kind of error where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[0] if lines else type(error).__name__, 300)
