"""What starts from other networks' weights."""

import jax
import numpy as np
from flax import linen as nn

from jaxvision.registry import load_config, make_task
from jaxvision.training import initialisation


def test_a_videomae_classifier_starts_the_transformer():
    """Its head, and the norm behind its pooling, have no place."""
    task = make_task(load_config("stmixer/ava_vit_b_k400:weights=FILE"))
    shapes = nn.unbox(jax.eval_shape(task.init, jax.random.key(0)))
    encoder = jax.tree.map(
        lambda leaf: np.broadcast_to(np.float32(0), leaf.shape),
        shapes["params"]["backbone"]["encoder"],
    )
    classifier = {"kernel": np.zeros(0)}
    source = {"params": {"encoder": encoder, "head": classifier, "norm": classifier}}
    _, (report,) = initialisation.apply(shapes, task.config.init, lambda name: source)
    assert report.dropped == ["params/head/kernel", "params/norm/kernel"]
    assert len(report.loaded) == len(jax.tree.leaves(encoder))
