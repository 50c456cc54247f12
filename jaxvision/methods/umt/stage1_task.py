"""Stage 1 as the engine sees it: a student that sees few tokens answers as a frozen image teacher
does (section 3.1)."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.data.camera_clips import SUFFIXES
from jaxvision.data.moving_shapes import PICTURE_CAPTIONS
from jaxvision.data.normalisation import normalise
from jaxvision.data.source import Source
from jaxvision.errors import InputError, check_choice
from jaxvision.methods.umt import adaptation, inputs, looking, made_clips, objective
from jaxvision.methods.umt.alignment import Guidance, guide, visible_places
from jaxvision.methods.umt.clip import ClipVision, build_teacher
from jaxvision.methods.umt.encoder import AlignedEncoder, build_student
from jaxvision.tasks import linear_probe
from jaxvision.tasks.answering import answer_to
from jaxvision.training.draws import sample_keys
from jaxvision.training.layer_decay import decays
from jaxvision.training.task import Aux, Batch, BatchSpecs, Evaluation, Group, Task, Variables

TEACHER = "teacher"


class Stage1Task(Task):
    """Batches hold `video`, uint8 [b, t, h, w, 3] RGB. The teacher's parameters stand under
    "teacher" beside the student's; `config.init` says where they come from."""

    input_suffixes = SUFFIXES

    @cached_property
    def teacher(self) -> ClipVision:
        config = self.config
        return build_teacher(config.teacher, config.model.frames, config.dtype)

    @cached_property
    def model(self) -> AlignedEncoder:
        config = self.config
        check_choice("task.loss", config.task.loss, objective.LOSSES)
        model = build_student(config.model, config.teacher, config.dtype)
        mine, its = model.grid.window, self.teacher.grid.window
        if mine != its:
            raise InputError(
                f"teacher.image_size by teacher.patch: {its} tokens along (t, h, w); expected the "
                f"student's {mine}, so that each has its counterpart"
            )
        return model

    @cached_property
    def visible(self) -> int:
        """Visible places of each frame."""
        ratio = self.config.task.mask_ratio
        return visible_places(self.teacher.places, ratio, "task.mask_ratio")

    def init(self, rng: PRNGKeyArray) -> Variables:
        student_rng, teacher_rng = jax.random.split(rng)
        grid = self.model.grid
        frames = self.teacher.grid.image_size
        student = self.model.init(student_rng, jnp.zeros((1, grid.frames, *grid.image_size, 3)))
        teacher = self.teacher.init(teacher_rng, jnp.zeros((1, grid.frames, *frames, 3)))
        return {"params": {**student["params"], TEACHER: teacher["params"]}}

    def source(self, split: str) -> Source:
        return inputs.pretraining_source(self.config, split)

    def batch_specs(self, split: str) -> BatchSpecs:
        grid = self.model.grid
        shape = (self.config.train.batch_size, grid.frames, *grid.image_size, 3)
        return {"clips": {"video": jax.ShapeDtypeStruct(shape, jnp.uint8)}}

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds normalised pixels (`input`) and the Gumbel draws of the mask (`noise`
        [b, t, places])."""
        shape = (self.model.grid.frames, self.teacher.places)
        draw = jax.vmap(lambda key: jax.random.gumbel(key, shape))
        keys = sample_keys(rng, batch)
        return {**batch, "input": normalise(batch["video"]), "noise": draw(keys)}

    def guidance(self, variables: Variables, batch: Batch) -> Guidance:
        """What the teacher says of a prepared batch."""
        return guide(
            self.teacher,
            {"params": variables["params"][TEACHER]},
            batch["input"],
            batch["noise"].reshape(-1, self.teacher.places),
            self.visible,
            spare=self.config.task.spare_teacher,
        )

    def loss(
        self, variables: Variables, batch: Batch, rng: PRNGKeyArray, train: bool
    ) -> tuple[Float[Array, ""], Aux]:
        guidance = jax.lax.stop_gradient(self.guidance(variables, batch))
        answers = self.model.apply(
            {"params": student_params(variables)},
            batch["input"],
            guidance.visible,
            deterministic=not train,
            rngs={"dropout": rng},
        )
        losses = objective.alignment_loss(
            answers["aligned"], guidance.targets, self.config.task.loss
        )
        by_clip = jnp.mean(losses, axis=0)
        count = jnp.float32(len(by_clip))
        return jnp.mean(by_clip), Aux({"alignment": (jnp.sum(by_clip), count)})

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        if path.startswith(f"{TEACHER}/"):
            return Group(train=False)
        # Learnt positions are detached, as the published ones are.
        return Group(train=path != "encoder/positions", decay=1.0 if decays(path) else 0.0)

    def adapt(self, path: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """A teacher's positions resized to its grid here: `teacher.image_size` may differ from what
        its weights were made for."""
        if path != f"params/{TEACHER}/positions" or value.shape[1:] != shape[1:]:
            return super().adapt(path, value, shape)
        side = round((len(value) - 1) ** 0.5)
        if side**2 != len(value) - 1:
            raise InputError(f"{path}: {len(value) - 1} positions are no square to be resized")
        new = self.teacher.grid.window[1:]
        return np.asarray(adaptation.resize_class_table(jnp.asarray(value), (side, side), new))

    def flops(self, split: str) -> float:
        task, visible = self.config.task, self.visible
        student = objective.student_flops(self.model, visible * self.model.grid.window[0])
        teacher = objective.teacher_flops(self.teacher, visible, task.spare_teacher)
        return self.config.train.batch_size * (3.0 * student + teacher)

    def evaluations(self) -> Mapping[str, Evaluation]:
        """Of made-up clips, what a linear probe names in the student's features: size, colour and
        shape."""
        if self.config.data.name != made_clips.NAME:
            return {}
        count = self.config.train.batch_size
        fields = dict(self.batch_specs("probe")["clips"])
        fields["label"] = jax.ShapeDtypeStruct((count,), jnp.int32)
        fields["held_out"] = jax.ShapeDtypeStruct((count,), jnp.bool_)

        def features(variables: Variables, batch: Batch) -> Float[Array, "b features"]:
            student = {"params": student_params(variables)}
            tokens = self.model.apply(student, batch["input"], method="layers")[-1]
            return linear_probe.pooled(tokens.astype(jnp.float32), self.model.grid.window)

        source = made_clips.probe_source(self.config)
        specs = {"clips": fields}
        return {"probe": linear_probe.probe_evaluation(source, specs, features, PICTURE_CAPTIONS)}

    def predict(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> dict[str, Array]:
        """What the teacher looked at, and what the student was shown: see `looking.views`; and each
        clip's `loss`."""
        guidance = self.guidance(variables, batch)
        answers = self.model.apply(
            {"params": student_params(variables)}, batch["input"], guidance.visible
        )
        losses = objective.alignment_loss(
            answers["aligned"], guidance.targets, self.config.task.loss
        )
        views = looking.views(
            batch["video"], guidance.attention, guidance.visible, self.model.grid.window
        )
        return {**views, "loss": jnp.mean(losses, axis=0)}

    def render(self, batch: Batch, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"looking": looking.PICTURES.picture(outputs, clips=2)}

    def predict_files(self, variables: Variables, paths: list[Path], outdir: Path) -> list[Path]:
        answer = answer_to(self, variables)
        return looking.PICTURES.predict_files(
            answer, self.model.grid, paths, outdir, self.config.seed
        )


def student_params(variables: Variables) -> dict:
    """All parameters but the teacher's."""
    return {name: part for name, part in variables["params"].items() if name != TEACHER}
