"""Pictures of what each stage of CoMAE answers, for a batch and for a user's files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from jaxvision.data.rgbd_transforms import EvaluationPair
from jaxvision.methods.comae.inputs import read_pair
from jaxvision.tasks import label_prediction
from jaxvision.tasks.each_input import each_input
from jaxvision.viz.files import write_png
from jaxvision.viz.video import strip

# A raw batch of pairs -> what the network says of it.
Answer = Callable[[Mapping[str, np.ndarray]], Mapping[str, Any]]
Picture = UInt8[np.ndarray, "height width 3"]
SHOWN = 6  # pairs of a batch in one picture


def batch_of(path: Path, side: int, unit: str) -> dict[str, np.ndarray]:
    """A batch of one: `rgb`, `depth`, `seen` (which of both the file has). See `read_pair`."""
    rgb, depth, seen = read_pair(path, unit)
    pair = EvaluationPair(side).resized(rgb, depth)
    named = dict(zip(("rgb", "depth"), (half[None] for half in pair), strict=True))
    return {**named, "label": np.zeros(1, np.int32), "seen": np.array([seen])}


def predict_pairs(
    answer: Answer,
    draw: Callable[[Mapping, Mapping], Mapping[str, Picture]],
    paths: Sequence[Path],
    outdir: Path,
    *,
    side: int,
    unit: str,
) -> list[Path]:
    """<name>_<kind>.png of every file, drawn as a training batch is. A file that cannot be read is
    named and the others are answered (`each_input`)."""

    def answer_file(path: Path, name: str) -> list[Path]:
        batch = batch_of(path, side, unit)
        written = []
        for kind, picture in draw(batch, answer(batch)).items():
            written.append(outdir / f"{name}_{kind}.png")
            write_png(written[-1], picture)
        return written

    return each_input(paths, outdir, answer_file)


def predict_scenes(
    answer: Answer,
    names: Sequence[str],
    paths: Sequence[Path],
    outdir: Path,
    *,
    side: int,
    unit: str,
) -> list[Path]:
    """predictions.json and .csv, and both pictures of every file under its likeliest class."""

    def answer_file(path: Path) -> label_prediction.Answer:
        batch = batch_of(path, side, unit)
        scores = answer(batch)["probabilities"][0]
        both = np.stack([batch["rgb"][0], batch["depth"][0]])
        return scores, lambda label: strip({label: both})

    return label_prediction.predict_files(answer_file, names, paths, outdir)


def reconstructions(batch: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> Picture:
    """A row for each modality: original, masked and reconstructed, pair by pair."""
    rows = {}
    for name in ("rgb", "depth"):
        shown = [
            np.asarray(pictures[:SHOWN])
            for pictures in (
                batch[name],
                outputs[f"{name}_masked"],
                outputs[f"{name}_reconstructed"],
            )
        ]
        row = f"{name}: original, masked, reconstructed"
        rows[row] = np.stack(shown, axis=1).reshape(-1, *shown[0].shape[1:])
    return strip(rows, most_frames=3 * SHOWN)


def scenes(
    batch: Mapping[str, np.ndarray],
    probabilities: Float[np.ndarray, "b classes"],
    names: Sequence[str],
) -> Picture:
    """The first pairs of a batch, each row named by its label and the likeliest class."""
    rows = []
    for row in range(min(SHOWN, len(batch["label"]))):
        label, guess = names[int(batch["label"][row])], names[int(np.argmax(probabilities[row]))]
        pair = np.stack([np.asarray(batch["rgb"][row]), np.asarray(batch["depth"][row])])
        rows.append(strip({f"{label}: {guess}": pair}))
    return np.concatenate(rows)


def matches(batch: Mapping[str, np.ndarray], match: Int[np.ndarray, "b n"], window: int) -> Picture:
    """RGB, depth, and how far from its own place each RGB patch found its match (black: right)."""
    rows, columns = np.divmod(np.arange(window**2), window)
    found_rows, found_columns = np.divmod(np.asarray(match[:SHOWN]), window)
    distance = np.hypot(found_rows - rows, found_columns - columns) / (np.sqrt(2) * window)
    grey = np.rint(255 * distance).astype(np.uint8).reshape(-1, window, window)
    side = batch["rgb"].shape[1]
    drawn = [np.asarray(Image.fromarray(one).resize((side, side), 0)) for one in grey]
    return strip(
        {
            "rgb": np.asarray(batch["rgb"][:SHOWN]),
            "depth": np.asarray(batch["depth"][:SHOWN]),
            "off by": np.stack(drawn)[..., None].repeat(3, axis=-1),
        }
    )
