"""Open questions about videos as the engine sees them (section 4.3): tuning the network that writes
answers, and ranking those of a list by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.data.caption_records import QuestionRecord, read_answers, read_questions
from jaxvision.data.normalisation import normalise
from jaxvision.data.source import Sample, Source
from jaxvision.data.word_pieces import Tokens, clean_caption
from jaxvision.errors import InputError
from jaxvision.methods.umt.language.answers import answer_weights
from jaxvision.methods.umt.language.inputs import AnnotatedVideos, CaptionedClips
from jaxvision.methods.umt.language.predictions import answer_files
from jaxvision.methods.umt.language.question_answering import VideoQuestions
from jaxvision.methods.umt.language.variants import text_of, vision_of
from jaxvision.methods.umt.language.words_task import WordsTask, words_of
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Variables

SHOWN = 5  # answers of a question that `predict` writes


class QuestionTask(WordsTask):
    """Batches hold `video`, `ids` and `mask` [b, n] of a question; in training also `answer_ids`
    and `answer_mask` [b, k, l] of its answers and their `answer_weights` [b, k]."""

    @cached_property
    def model(self) -> VideoQuestions:
        config = self.config
        vision = vision_of(
            config.model, config.language.shared_width, config.dtype, pool_norm=False
        )
        return VideoQuestions(vision, text_of(config.language, config.dtype))

    def init(self, rng: PRNGKeyArray) -> Variables:
        grid, task = self.model.vision.grid, self.config.task
        video = jnp.zeros((1, grid.frames, *grid.image_size, 3))
        ids = jnp.zeros((1, task.text_length), jnp.int32)
        answer = jnp.zeros((1, 1, task.answer_length), jnp.int32)
        return self.model.init(rng, video, (ids, ids == 0), (answer, answer == 0), jnp.ones((1, 1)))

    @cached_property
    def questions(self) -> tuple[QuestionRecord, ...]:
        """What is trained on. InputError names a record without an answer."""
        file = self.file("train", "questions with their answers (JSON)")
        records = read_questions(file, self.config.data.root)
        for number, record in enumerate(records):
            if not record.answers:
                raise InputError(f'{file}: record {number}: expected an "answer" to learn')
        return records

    @cached_property
    def most_answers(self) -> int:
        """Different ones of a question of the training; one where its file is not named, as for a
        plan (MSRVTT-QA and MSVD-QA have one)."""
        if not self.config.data.train:
            return 1
        return max(len(set(record.answers)) for record in self.questions)

    def source(self, split: str) -> Source:
        task = self.config.task
        records, clips = self.questions, self.clips(self.model.vision.grid.frames)
        transform = QuestionClips(clips, task.answer_length, self.most_answers)
        return Source(AnnotatedVideos(records), self.config.train.batch_size, transform)

    def batch_specs(self, split: str) -> BatchSpecs:
        task, batch = self.config.task, self.config.train.batch_size
        most = self.most_answers
        return {
            "questions": {
                "video": self.video_of(self.model.vision.grid.frames),
                **words_of((batch,), task.text_length),
                **words_of((batch, most), task.answer_length, "answer_"),
                "answer_weights": jax.ShapeDtypeStruct((batch, most), jnp.float32),
            }
        }

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        loss = self.model.apply(
            variables,
            batch["input"],
            (batch["ids"], batch["mask"]),
            (batch["answer_ids"], batch["answer_mask"]),
            batch["answer_weights"],
            deterministic=not train,
            rngs={"dropout": rng},
        )
        count = jnp.float32(len(batch["ids"]))
        return loss, Aux({"answers": (loss * count, count)})

    @cached_property
    def answers(self) -> tuple[str, ...]:
        """The list to rank. InputError where it has fewer than `task.reranked`, or is not given."""
        file, count = self.file("answers", "a JSON list of answers"), self.config.task.reranked
        answers = read_answers(file)
        if not 0 < count <= len(answers):
            raise InputError(
                f"task.reranked={count} of the {len(answers)} answers of {file}: expected at least "
                "1, and no more than there are"
            )
        return answers

    @cached_property
    def candidates(self) -> Tokens:
        return self.pieces.encode_answers(self.answers, self.config.task.answer_length)

    def rank(self, variables: Variables, batch: Batch) -> tuple[Array, Array]:
        """(probabilities, numbers in `answers`) of the best answers of each question, best first;
        see `VideoQuestions.rank`."""
        ids, mask = self.candidates

        def run(model: VideoQuestions) -> tuple[Array, Array]:
            asked = model.ask(batch["input"], batch["ids"], batch["mask"])
            count = self.config.task.reranked
            return model.rank(jnp.asarray(ids), jnp.asarray(mask), asked, batch["mask"], count)

        return self.model.apply(variables, method=run)

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """`probabilities` and `numbers` [b, k] of the answers of `data.answers`, best first."""
        probabilities, numbers = self.rank(variables, batch)
        return {"probabilities": probabilities, "numbers": numbers}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        """The likeliest answers of `data.answers` to each video's questions. See
        `predictions.answer_files`."""
        clips = self.clips(self.config.task.test_frames, training=False)
        rank = jax.jit(self.rank)

        def answer(frames: np.ndarray, questions: Sequence[str]) -> list[dict[str, Any]]:
            video = normalise(jnp.asarray(frames)[None])
            said = []
            for question in questions:
                ids, mask = clips.pieces.encode([clean_caption(question)], clips.length)
                batch = {"input": video, "ids": ids, "mask": mask}
                likely, numbers = (np.asarray(x[0]) for x in rank(variables, batch))
                best = zip(likely[:SHOWN], numbers[:SHOWN], strict=True)
                answers = [
                    {"answer": self.answers[int(n)], "probability": float(p)} for p, n in best
                ]
                said.append({"answers": answers})
            return said

        _ = self.candidates  # before anything runs
        query = self.config.data.query
        rng = np.random.default_rng(0)
        return answer_files(paths, outdir, query, lambda path: clips.clip(path, rng), answer)

    def evaluations(self) -> Mapping[str, Evaluation]:
        """Accuracy: the share of questions whose best answer is, letter for letter, one given."""
        data, task, batch = self.config.data, self.config.task, self.config.train.batch_size
        if not data.validation:
            return {}
        records = read_questions(data.validation, data.root)
        if not any(record.answers for record in records):
            raise InputError(f"{data.validation}: no record has an answer to be judged by")
        clips = QuestionClips(self.clips(task.test_frames, training=False), task.answer_length)
        specs = {"video": self.video_of(task.test_frames), **words_of((batch,), task.text_length)}
        _ = self.candidates  # before anything runs
        return {
            "questions": Evaluation(
                source=Source(AnnotatedVideos(records), batch, clips),
                batch_specs={"questions": specs},
                outputs=lambda variables, batch, rng: self.rank(variables, batch)[1][:, 0],
                accumulate=partial(_count, self.answers, records),
                finish=lambda total, variables: {"accuracy": 100 * total[0] / total[1]},
            )
        }


@dataclass(frozen=True)
class QuestionClips:
    """`video`, `ids` and `mask` [n] of the question; with `answers` places also `answer_ids`,
    `answer_mask` [answers, l] and `answer_weights` [answers]."""

    clips: CaptionedClips
    answer_length: int
    answers: int = 0

    def __call__(self, record: QuestionRecord, rng: np.random.Generator, bucket: str) -> Sample:
        pieces = self.clips.pieces
        ids, mask = pieces.encode([clean_caption(record.question)], self.clips.length)
        asked = {"video": self.clips.clip(record.path, rng), "ids": ids[0], "mask": mask[0]}
        if not self.answers:
            return asked
        weights = answer_weights(record.answers)
        ids, mask = pieces.encode_answers(list(weights), self.answer_length)
        empty = self.answers - len(weights)
        # Places without an answer weigh nothing.
        return asked | {
            "answer_ids": np.pad(ids, ((0, empty), (0, 0))),
            "answer_mask": np.pad(mask, ((0, empty), (0, 0))),
            "answer_weights": np.pad(np.array(list(weights.values()), np.float32), (0, empty)),
        }


def _count(
    answers: Sequence[str],
    records: Sequence[QuestionRecord],
    total: Any,
    best: np.ndarray,
    index: np.ndarray,
    bucket: str,
) -> tuple[int, int]:
    """(right answers, questions that have an answer) so far."""
    right, asked = total or (0, 0)
    for number, answer in zip(index, best, strict=True):
        given = records[int(number)].answers
        right, asked = right + (answers[int(answer)] in given), asked + bool(given)
    return right, asked
