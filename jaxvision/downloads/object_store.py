"""A file of an object store (gs://, s3://, ...) beside the others that were fetched: whole, and the
one that the store has now."""

from collections.abc import Callable
from pathlib import Path

from jaxvision.data.atomic_write import atomic_write
from jaxvision.errors import InputError
from jaxvision.stores.store import asking, content_key, copy_here, known_of


def fetch_object(address: str, folder: Path, say: Callable[[str], None] = print) -> Path:
    """Where a copy of the file at `address` lies, below `folder`; made where there is none of what
    the store has now.

    InputError, in one line, where the store cannot be read, has no such file, does not let us, or
    cuts off; nothing is left of a copy that is not whole.
    """
    known = known_of(address, "fetched")
    with asking(address, "fetched"):
        if known is None:
            raise FileNotFoundError
        if known.folder:
            raise InputError(f"{address}: a folder; expected a file")
        where = folder / "objects" / content_key(address, known) / address.rpartition("/")[2]
        if not where.is_file():
            say(f"fetching {address} ({known.size / 1e6:.1f} MB)")
            where.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(where) as temporary:
                copy_here(address, Path(temporary), known)
        return where
