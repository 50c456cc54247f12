"""Looking at what a network makes of clips: videos in rows and side by side, of a batch and of
one's own files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxvision.data.camera_clips import clip_of_file
from jaxvision.nn.video_transformer import CubeGrid
from jaxvision.tasks.each_input import each_input, earlier_table
from jaxvision.training.run_record import write_json
from jaxvision.viz.files import write_mp4, write_png
from jaxvision.viz.video import strip

FRAMES_PER_SECOND = 8


@dataclass(frozen=True)
class ClipPictures:
    """rows: the outputs that are videos, uint8 [b, t, h, w, 3], in their order from the top.
    score: the output that is a number a clip."""

    rows: tuple[str, ...]
    score: str

    def picture(
        self, outputs: Mapping[str, np.ndarray], clips: int
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The first clips' frames, a row of each video."""
        shown = range(min(clips, len(outputs[self.rows[0]])))
        return np.concatenate(
            [strip({row: outputs[row][clip] for row in self.rows}) for clip in shown]
        )

    def predict_files(
        self,
        answer: Callable[[Mapping[str, np.ndarray]], Mapping[str, Any]],
        grid: CubeGrid,
        paths: Sequence[Path],
        outdir: Path,
        seed: int,
    ) -> list[Path]:
        """For each picture or video: <name>.png (frames in rows), <name>.mp4 (the rows side by
        side), and a line in predictions.json with the score.

        answer(batch): of one clip, given `video` and `index`. A picture becomes a clip under a
        moving camera. InputError for a file that cannot be read; the others are answered
        (`each_input`).
        """
        table = outdir / "predictions.json"
        results = earlier_table(table)
        numbers = {path: number for number, path in enumerate(paths)}

        def answer_one(path: Path, name: str) -> list[Path]:
            results.pop(str(path), None)  # what an earlier file of that name was
            clip = clip_of_file(path, grid.frames, grid.image_size, seed)
            index = np.array([numbers[path]], np.int32)
            outputs = answer({"video": clip[None], "index": index})
            picture, video = outdir / f"{name}.png", outdir / f"{name}.mp4"
            write_png(picture, self.picture(outputs, 1))
            beside = np.concatenate([outputs[row][0] for row in self.rows], axis=2)
            write_mp4(video, beside, FRAMES_PER_SECOND)
            results[str(path)] = {
                self.score: float(outputs[self.score][0]),
                "picture": picture.name,
            }
            return [picture, video]

        def save() -> list[Path]:
            write_json(table, results)
            return [table]

        return each_input(paths, outdir, answer_one, save)
