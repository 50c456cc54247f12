"""Which weights made an answer, in a few letters."""

import hashlib
from typing import Any

import jax
import numpy as np


def fingerprint(variables: Any) -> str:
    """A short digest of the weights: sums of every leaf."""
    sums = [float(np.asarray(x, np.float64).sum()) for x in jax.tree.leaves(variables)]
    return hashlib.blake2b(np.array(sums).tobytes(), digest_size=8).hexdigest()
