"""Recall among all videos and texts of a set, by the two towers and re-ranked (section 4.2).

Features stay on the devices, split over them; only similarities and scores come to the host.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, PRNGKeyArray

from jaxvision.data.caption_records import CaptionRecord
from jaxvision.data.source import Source
from jaxvision.methods.umt.language.inputs import (
    AnnotatedVideos,
    CaptionedClips,
    Sentences,
    TwoSides,
    two_sides,
)
from jaxvision.methods.umt.language.retrieval import matching_scores, rerank, scorer
from jaxvision.methods.umt.language.video_text import VideoText
from jaxvision.metrics.retrieval import retrieval_recalls
from jaxvision.training.task import Batch, Evaluation, KeptOutputs, Variables

VIDEOS, TEXTS = "videos", "texts"


def retrieval_evaluation(
    model: VideoText,
    records: Sequence[CaptionRecord],
    clips: CaptionedClips,
    *,
    batch_size: int,
    count: int,
    many_videos_a_text: bool = False,
) -> Evaluation:
    """Recalls of `records` in both directions: "emb_..." by the towers alone, as published, the
    others with the `count` best of every query re-ranked; 0 = towers alone."""
    sides = two_sides(records, many_videos_a_text)
    sentences = Sentences(sides.texts, clips.pieces, clips.length)
    n = clips.length
    video = (batch_size, clips.frames, *clips.size, 3)
    return Evaluation(
        source={
            VIDEOS: Source(AnnotatedVideos(sides.videos), batch_size, clips.alone),
            TEXTS: Source(sentences, batch_size),
        },
        batch_specs={
            VIDEOS: {"video": jax.ShapeDtypeStruct(video, jnp.uint8)},
            TEXTS: {
                "ids": jax.ShapeDtypeStruct((batch_size, n), jnp.int32),
                "mask": jax.ShapeDtypeStruct((batch_size, n), jnp.bool_),
            },
        },
        outputs=partial(_features, model),
        accumulate=None,
        finish=partial(_recalls, model, sides, count),
    )


def _features(
    model: VideoText, variables: Variables, batch: Batch, rng: PRNGKeyArray
) -> dict[str, Array]:
    """`tokens` and `pooled` of videos, or `states` and `mask` of texts."""
    if "input" in batch:
        seen = model.apply(variables, batch["input"], keep_frames=True, method="look")
        return {"tokens": seen["tokens"], "pooled": seen["pooled"]}
    states = model.apply(variables, batch["ids"], batch["mask"], method="read")
    return {"states": states, "mask": batch["mask"]}


def _recalls(
    model: VideoText,
    sides: TwoSides,
    count: int,
    total: Mapping[str, KeptOutputs],
    variables: Variables,
) -> dict[str, float]:
    videos, texts = total[VIDEOS].rows, total[TEXTS].rows
    # 1. All pairs by the towers. Rows behind the last sample let the devices share evenly.
    compare = jax.jit(partial(model.apply, method="similarities"))
    every = np.asarray(compare(variables, videos["pooled"], texts["states"]))
    similarity = every[: len(sides.videos), : len(sides.texts)]
    truths = sides.texts_of, sides.videos_of
    recalls = {
        f"emb_{name}": value
        for name, value in retrieval_recalls(similarity, similarity.T, *truths).items()
    }
    if not count:
        return recalls
    # 2. The best of every query again, by the fusion layers.
    matching = nn.apply(matching_scores, model)
    score = scorer(matching, variables, videos["tokens"], texts["states"], texts["mask"])
    scores = rerank(similarity, score, count)
    return recalls | retrieval_recalls(scores.by_video, scores.by_text, *truths)
