"""Lists of labelled videos: the text files of Kinetics, Something-Something and the like, or a
folder of folders of one's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jaxvision.data.folders import classes_in, classes_text, files_by_class, no_class
from jaxvision.data.frame_sequence import FrameFolder, FrameSequence
from jaxvision.data.frame_shards import ShardedVideo, is_frame_shards, read_index
from jaxvision.data.labels import unquoted
from jaxvision.data.video import SUFFIXES, Video
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_below, path_to
from jaxvision.text_files import integer, read_lines

FRAME_TEMPLATE = "img_{:05}.jpg"


@dataclass(frozen=True)
class LabelledVideo:
    """frames: where they are, of a video kept as pictures; None for a video file."""

    path: Path
    label: int
    frames: FrameSequence | None = None

    def open(self) -> Video | FrameSequence:
        """The video's frames, to be used as a context manager. InputError where unreadable."""
        return Video(self.path) if self.frames is None else self.frames


@dataclass(frozen=True)
class VideoRecords:
    """Labelled videos as the loader wants them: a record is the item, opened by its transform."""

    items: tuple[LabelledVideo, ...]
    names: tuple[str, ...] = ()  # of the classes
    skipped: Mapping[str, int] = field(default_factory=dict)  # files beside the videos, by kind

    def summary(self) -> str:
        """Videos of each class, and what was skipped."""
        labels = [item.label for item in self.items]
        return classes_text(labels, self.names, "videos", self.skipped)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> LabelledVideo:
        return self.items[index]

    def name(self, index: int) -> str:
        return str(self.items[index].path)

    def files(self) -> list[Path]:
        return [item.path for item in self.items if not isinstance(item.frames, ShardedVideo)]


def read_list(
    path: str | Path,
    classes: int | None,
    root: str | Path = "",
    template: str = FRAME_TEMPLATE,
    first: int = 1,
) -> tuple[LabelledVideo, ...]:
    """The items of a list file: lines "PATH LABEL" (a video file) or "FOLDER FRAMES LABEL" (picture
    files), or with commas between the columns, paths below `root`, which may be a folder of frame
    shards.

    classes: how many there are; None where labels do not matter. InputError names the line that
    lacks a column or whose label is not in [0, classes).
    """
    items = []
    shards = _shards(root)
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        # Only the last columns are numbers: paths may hold spaces.
        name, last = _last_column(unquoted(line))
        name, label = unquoted(name), integer(unquoted(last))
        if not name or label is None:
            raise InputError(f"{where}: {line.strip()!r}: expected 'PATH LABEL'")
        head, count = _last_column(name)
        pictures = 0
        if head and integer(count) is not None and not name.lower().endswith(SUFFIXES):
            name, pictures = head, int(count)
            if pictures < 1:
                raise InputError(f"{where}: a folder of {pictures} frames")
        elif not name.lower().endswith(SUFFIXES):
            raise InputError(
                f"{where}: {name!r} is no video file ({', '.join(SUFFIXES)}), and for a folder of "
                "pictures expected 'FOLDER FRAMES LABEL'"
            )
        if classes is not None and not 0 <= label < classes:
            raise InputError(f"{where}: label {label} is not in 0 .. {classes - 1}")
        file = path_below(root, name.strip())
        frames: FrameSequence | None = _shard(shards, name.strip(), where)
        if frames is None and pictures:
            frames = FrameFolder(file, pictures, template, first)
        items.append(LabelledVideo(file, label, frames))
    if not items:
        raise InputError(f"{path}: an empty list")
    return tuple(items)


def _last_column(line: str) -> tuple[str, str]:
    """What comes before and after the last space or comma."""
    place = max(line.rfind(" "), line.rfind(","))
    return line[: max(place, 0)], line[place + 1 :]


def read_unlabelled_list(
    path: str | Path, root: str | Path, template: Callable[[str], str]
) -> tuple[LabelledVideo, ...]:
    """The items (labels 0) of a list of videos: lines "PATH 0 -1", a video file, or "FOLDER FIRST
    COUNT", picture files called by `template(path)` of the path. `root` may be a folder of frame
    shards. InputError names a wrong line."""
    items = []
    shards = _shards(root)
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        name, *words = line.strip().rsplit(" ", 2)
        numbers = [value for value in map(integer, words) if value is not None]
        if len(numbers) != 2:
            raise InputError(f"{path}:{number}: {line.strip()!r}: expected 'PATH START FRAMES'")
        first, count = numbers
        if count == 0:
            raise InputError(f"{path}:{number}: a video of 0 frames")
        file = path_below(root, name)
        frames: FrameSequence | None = _shard(shards, name, f"{path}:{number}")
        if frames is None and count > 0:
            frames = FrameFolder(file, count, template(name), first)
        items.append(LabelledVideo(file, 0, frames))
    if not items:
        raise InputError(f"{path}: an empty list")
    return tuple(items)


def read_class_folders(root: str | Path, names: Sequence[str] | None = None) -> VideoRecords:
    """The videos of a folder with a folder of videos per class, in alphabetical order or in that of
    `names`; or of such a folder cut into frame shards. Hidden files and other kinds are skipped and
    counted. InputError for folders that are no class or are empty."""
    root = path_to(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    shards = _shards(root)
    if shards is not None:
        return _read_class_shards(root, shards, names)
    classes = classes_in(root) if names is None else tuple(names)
    found, skipped = files_by_class(root, classes, SUFFIXES, "videos")
    if not found:
        raise InputError(f"{root}: no videos there ({', '.join(SUFFIXES)}) in folders by class")
    items = [
        LabelledVideo(path, label)
        for label, name in enumerate(classes)
        for path in found.get(name, ())
    ]
    return VideoRecords(tuple(items), classes, skipped)


def _read_class_shards(
    root: Path, shards: dict[str, ShardedVideo], names: Sequence[str] | None
) -> VideoRecords:
    folders = sorted({name.split("/")[0] for name in shards if "/" in name})
    classes = tuple(folders if names is None else names)
    unknown = [name for name in folders if name not in classes]
    if unknown:
        raise no_class(root / unknown[0], classes)
    items = [
        LabelledVideo(root / name, classes.index(name.split("/")[0]), shard)
        for name, shard in sorted(shards.items(), key=lambda item: item[0].split("/"))
        if "/" in name
    ]
    return VideoRecords(tuple(items), classes)


def _shards(root: str | Path) -> dict[str, ShardedVideo] | None:
    return read_index(root) if root and is_frame_shards(root) else None


def _shard(shards: dict[str, ShardedVideo] | None, name: str, where: str) -> ShardedVideo | None:
    if shards is None:
        return None
    if name not in shards:
        raise InputError(f"{where}: {name!r} is not among the {len(shards)} videos of the shards")
    return shards[name]
