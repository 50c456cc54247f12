"""AVA's films cut as the papers read them, and its annotations beside them.

"seconds" (AlphAction, CycleACR): clips/MOVIE/SECOND.mp4 at 25 frames a second, and a JSON of people
for every list. "frames" (PySlowFast, STMixer): frames/MOVIE/MOVIE_000001.jpg at 30 frames a second
from second 900, and a frame list. Published scores depend on how films are cut, so what was found
is counted against what should be there.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from jaxvision.data.actions.ava_files import BOX_COLUMNS, check_box, finite_number, rows_of
from jaxvision.data.actions.ava_people import FIRST_SECOND, LAST_SECOND
from jaxvision.data.atomic_write import atomic_write, path_inside
from jaxvision.data.reencoding import SHORT_GROUPS, even_size
from jaxvision.data.shards import WHOLE, Shard
from jaxvision.data.video import SUFFIXES, Video
from jaxvision.errors import InputError
from jaxvision.text_files import read_lines

CLASSES = 80
ROUNDING = 1e-6  # seconds: what a sum of times may be off by


class Cut(NamedTuple):
    """rate: frames a second.  seconds: first and last that are written.  short_side: at most, px;
    None: as it is."""

    rate: int
    seconds: tuple[int, int]
    short_side: int | None


CUTS = {"seconds": Cut(25, (895, 1805), 360), "frames": Cut(30, (900, 1800), None)}
# Where it lies beside the films, a film's number is its line there (0-based), as published.
FILM_NAMES = "ava_file_names_trainval_v2.1.txt"


class FilmReport(NamedTuple):
    """frames: there in the end.  expected: if the film were long enough.  size: height, width of
    what was written, None where nothing was.  problem: why, or ""."""

    movie: str
    frames: int
    expected: int
    size: tuple[int, int] | None
    problem: str


@dataclass(frozen=True)
class AvaPreparation:
    """source: a folder of films, MOVIE.mkv and the like.  target: what is made.  lists: AVA's
    annotations (`ava_train_v2.2.csv`, ...); only their films are cut.  layout: a key of `CUTS`."""

    source: Path
    target: Path
    lists: tuple[Path, ...]
    layout: str

    def __post_init__(self):
        if self.layout not in CUTS:
            raise InputError(f"layout {self.layout!r}: expected one of {', '.join(CUTS)}")
        if not self.source.is_dir():
            raise InputError(f"{self.source}: no such folder")
        if not self.lists:
            raise InputError("--list: expected AVA's annotations, such as ava_train_v2.2.csv")

    def movies(self) -> list[str]:
        """Films that the lists name, sorted."""
        widths = (2, 7, 8)
        found = {row[0] for path in self.lists for _, row in rows_of(path, widths, "annotations")}
        if not found:
            raise InputError(f"{self.lists[0]}: names no film")
        return sorted(found)

    def run(self, workers: int = 0, shard: Shard = WHOLE) -> Iterator[FilmReport]:
        """Cut every film of a shard, in `workers` processes (0: one per core), telling of each as
        it ends; what an earlier run wrote stays. At the end of a whole run the annotations are
        written."""
        movies = shard.of(self.movies())
        self.target.mkdir(parents=True, exist_ok=True)
        cut = partial(cut_film, self.source, self.target, self.layout)
        reports, workers = [], workers or os.cpu_count() or 1
        if workers == 1:
            for report in map(cut, movies):
                reports.append(report)
                yield report
        else:
            # Not forked: FFmpeg's threads do not survive it.
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                for report in pool.map(cut, movies):
                    reports.append(report)
                    yield report
        if shard.count == 1:
            self._write_annotations({report.movie: report for report in reports})

    def _write_annotations(self, reports: Mapping[str, FilmReport]) -> None:
        numbers = film_numbers(self.source, sorted(reports))
        for path in self.lists:
            if self.layout == "seconds":
                content = people_as_json(path, numbers, {m: r.size for m, r in reports.items()})
                text = json.dumps(content)
                _write(path_inside(self.target, f"{path.stem}_min.json"), text)
            else:
                named = {row[0] for _, row in rows_of(path, (2, 7, 8), "annotations")}
                counts = {m: reports[m].frames for m in sorted(named)}
                _write(path_inside(self.target, f"{path.stem}_frames.csv"), frame_list(counts))


def shown_at(
    times: Float[np.ndarray, " n"], starts: Float[np.ndarray, " m"], rate: int
) -> Int[np.ndarray, " m"]:
    """The frame of a film (shown from `times`) that a film of `rate` frames a second has at each of
    `starts`: the last that begins less than half a new frame later (FFmpeg's `fps` filter)."""
    last = np.searchsorted(times, starts + 0.5 / rate - ROUNDING, side="left") - 1
    return np.maximum(last, 0)


def cut_film(source: Path, target: Path, layout: str, movie: str) -> FilmReport:
    """Write what a film has of the seconds that its layout wants."""
    rate, (first, last), short_side = CUTS[layout]
    expected = (last - first + 1) * rate
    films = [path for path in sorted(source.glob(f"{_literal(movie)}.*")) if _is_film(path)]
    if not films:
        return FilmReport(movie, 0, expected, None, "no such film")
    folder = path_inside(target, Path("clips" if layout == "seconds" else "frames") / movie)
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        with Video(films[0]) as film:
            times = film.times
            step = (times[-1] - times[0]) / max(len(times) - 1, 1)
            size = even_size(*film.size, short_side or min(film.size))
            for second in range(first, last + 1):
                starts = second + np.arange(rate) / rate
                starts = starts[starts < times[-1] + step]
                if not len(starts):
                    break
                numbers = shown_at(times, starts, rate)
                if layout == "seconds":
                    _write_second(film, numbers, folder / f"{second}.mp4", size, rate)
                else:
                    _write_pictures(film, numbers, folder / f"{movie}_", (second - first) * rate)
                count += len(numbers)
    except InputError as error:
        return FilmReport(movie, count, expected, None, str(error))
    problem = "" if count == expected else f"ends at second {times[-1] + step:.1f}"
    return FilmReport(movie, count, expected, size if count else None, problem)


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "[]*?" else c for c in name)


def _is_film(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _write_second(
    film: Video, numbers: Int[np.ndarray, " n"], path: Path, size: tuple[int, int], rate: int
) -> None:
    if path.is_file():
        return
    with (
        atomic_write(path) as temporary,
        av.open(temporary, "w", format="mp4") as container,
    ):
        stream = container.add_stream("libx264", rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.options = SHORT_GROUPS
        for picture in film.frames(numbers):
            image = Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC)
            frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write_pictures(film: Video, numbers: Int[np.ndarray, " n"], prefix: Path, before: int) -> None:
    paths = [Path(f"{prefix}{before + i + 1:06d}.jpg") for i in range(len(numbers))]
    if all(path.is_file() for path in paths):
        return
    for path, picture in zip(paths, film.frames(numbers), strict=True):
        with atomic_write(path) as temporary:
            Image.fromarray(picture).save(temporary, format="JPEG", quality=95)


def film_numbers(source: Path, movies: Sequence[str]) -> dict[str, int]:
    """A number for every film: its line in AVA's own list where that lies beside the films, else
    its place among `movies`."""
    path = source / FILM_NAMES
    if not path.is_file():
        return {movie: number for number, movie in enumerate(movies)}
    lines = {Path(line.strip()).stem: number for number, line in enumerate(read_lines(path))}
    missing = [movie for movie in movies if movie not in lines]
    if missing:
        raise InputError(f"{path}: does not name {missing[0]}")
    return {movie: lines[movie] for movie in movies}


def people_as_json(
    path: Path, numbers: Mapping[str, int], sizes: Mapping[str, tuple[int, int] | None]
) -> dict[str, list]:
    """AVA's rows as AlphAction's JSON (`json_files.read_annotations` reads it).

    An image for every annotated second of every film that was cut, its id 10,000 times the film's
    number plus the second. Rows of one person id become one box, the first row's, with all their
    actions; a box is x, y, width and height in pixels of the clip, two decimals.

    numbers: of films.  sizes: (height, width) of their clips; None: there are none.
    """
    images: dict[str, list[dict]] = {}
    people: dict[tuple[int, str], dict] = {}
    for where, row in rows_of(path, (2, 8), "annotations"):
        movie, size = row[0], sizes.get(row[0])
        second = int(finite_number(row[1], where))
        if size is None or not FIRST_SECOND <= second <= LAST_SECOND:
            continue
        height, width = size
        if movie not in images:
            images[movie] = [
                {
                    "id": 10_000 * numbers[movie] + at,
                    "movie": movie,
                    "timestamp": at,
                    "width": width,
                    "height": height,
                }
                for at in range(FIRST_SECOND, LAST_SECOND + 1)
            ]
        if len(row) == 2:
            continue
        box = [finite_number(value, where) for value in row[BOX_COLUMNS]]
        check_box(box, where)
        x1, y1, x2, y2 = (v * s for v, s in zip(box, (width, height) * 2, strict=True))
        number = 10_000 * numbers[movie] + second
        corner_and_size = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
        known = people.setdefault(
            (number, row[7]), {"image_id": number, "bbox": corner_and_size, "action_ids": []}
        )
        if row[6]:
            action = finite_number(row[6], where)
            if action != int(action) or not 1 <= action <= CLASSES:
                raise InputError(f"{where}: action id {row[6]}; expected 1 to {CLASSES}")
            known["action_ids"].append(int(action))
    return {
        "images": [image for film in images.values() for image in film],
        "annotations": [{"id": i, **person} for i, person in enumerate(people.values())],
    }


def frame_list(counts: Mapping[str, int]) -> str:
    """PySlowFast's list of frames (`ava_people.read_frame_list` reads it)."""
    lines = ["original_vido_id video_id frame_id path labels\n"]
    for number, (movie, count) in enumerate(counts.items()):
        lines += [
            f'{movie} {number} {frame} {movie}/{movie}_{frame + 1:06d}.jpg ""\n'
            for frame in range(count)
        ]
    return "".join(lines)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
