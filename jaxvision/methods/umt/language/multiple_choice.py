"""Which of a few captions a video has (section 4.3): a network of retrieval, judged by the sum of
what contrast and matching say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, PRNGKeyArray

from jaxvision.data.caption_records import ChoiceRecord, read_choices
from jaxvision.data.source import Sample, Source
from jaxvision.data.word_pieces import clean_caption
from jaxvision.methods.umt.language.answers import multiple_choice_scores
from jaxvision.methods.umt.language.inputs import AnnotatedVideos, CaptionedClips
from jaxvision.methods.umt.language.pairs_task import PairsTask
from jaxvision.methods.umt.language.video_text import VideoText, score_pairs
from jaxvision.methods.umt.language.words_task import words_of
from jaxvision.training.task import Batch, Evaluation, Variables


class MultipleChoiceTask(PairsTask):
    """Tuned as for retrieval, on `data.train`; `data.validation` has captions to choose from."""

    def evaluations(self) -> Mapping[str, Evaluation]:
        data, task = self.config.data, self.config.task
        if not data.validation:
            return {}
        records = read_choices(data.validation, data.root)
        clips = self.clips(task.test_frames, training=False)
        batch = self.config.train.batch_size
        options = (batch, len(records[0].options))
        return {
            "multiple_choice": Evaluation(
                source=Source(AnnotatedVideos(records), batch, Choices(clips)),
                batch_specs={
                    "choices": {
                        "video": self.video_of(task.test_frames),
                        **words_of(options, task.text_length),
                    }
                },
                outputs=partial(_scores, self.model),
                accumulate=partial(_count, [record.answer for record in records]),
                finish=_accuracies,
            )
        }


@dataclass(frozen=True)
class Choices:
    """`video`, and `ids` and `mask` [options, n] of the captions to choose from."""

    clips: CaptionedClips

    def __call__(self, record: ChoiceRecord, rng: np.random.Generator, bucket: str) -> Sample:
        captions = [clean_caption(option) for option in record.options]
        ids, mask = self.clips.pieces.encode(captions, self.clips.length)
        return {"video": self.clips.clip(record.path, rng), "ids": ids, "mask": mask}


def _scores(
    model: VideoText, variables: Variables, batch: Batch, rng: PRNGKeyArray
) -> dict[str, Array]:
    """The number of the option with the best score, and with the best contrast alone."""

    def run(model: VideoText) -> dict[str, Array]:
        pairs = score_pairs(model, batch["input"], batch["ids"], batch["mask"])
        contrast, score = multiple_choice_scores(*pairs, model.clamped_temperature())
        return {"best": jnp.argmax(score, axis=1), "best_contrast": jnp.argmax(contrast, axis=1)}

    return nn.apply(run, model)(variables)


def _count(
    answers: Sequence[int], total: Any, outputs: Mapping, index: np.ndarray, bucket: str
) -> dict[str, int]:
    """Right choices so far, and questions."""
    truth = np.asarray(answers)[index]
    right = {name: int(np.sum(best == truth)) for name, best in outputs.items()}
    found = {**right, "asked": len(index)}
    return {name: count + (total[name] if total else 0) for name, count in found.items()}


def _accuracies(total: Mapping[str, int], variables: Variables) -> dict[str, float]:
    """`accuracy`, as published, and `emb_accuracy` by the two towers alone; percent."""
    asked = total["asked"]
    return {
        "accuracy": 100 * total["best"] / asked,
        "emb_accuracy": 100 * total["best_contrast"] / asked,
    }
