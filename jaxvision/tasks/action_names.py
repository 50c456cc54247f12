"""What people of films do, by name: of AVA's files, of tubes, of one's own lists, of drawn
figures."""

import abc
from collections.abc import Callable
from typing import ClassVar, TypeVar

from jaxvision.data.actions import ava_files
from jaxvision.data.class_lists import class_list
from jaxvision.data.labels import naming, read_labels
from jaxvision.errors import InputError, check_choice
from jaxvision.stores.stored_path import path_to
from jaxvision.tasks.tube_scores import tubes_of
from jaxvision.training.task import Task

Read = TypeVar("Read")


class ActionsOfPeople(Task):
    """A task whose classes are what people of films do.

    data_names: what `data.name` may be, of "figures", "ava", "tubes" and "own".
    """

    data_names: ClassVar[tuple[str, ...]]

    @abc.abstractmethod
    def drawn_actions(self) -> tuple[str, ...]:
        """What drawn figures do."""

    def names_in_data(self) -> tuple[str, ...]:
        """Of every column of the actions, in order."""
        data = self.config.data
        check_choice("data.name", data.name, self.data_names)
        if data.name == "figures":
            return self.drawn_actions()
        if data.name == "tubes":
            labels = tuple(tubes_of(self.config).labels)
            if len(labels) != data.classes:
                raise InputError(f"{data.tubes}: {len(labels)} labels; data.classes={data.classes}")
            return labels
        if data.name == "ava":
            return names_of_ava(data.labels, data.classes)
        if not data.labels:
            raise InputError("data.labels: expected a file of the actions' names")
        return read_labels(data.labels)

    def names_from(self) -> str:
        data = self.config.data
        key = {"figures": "name", "tubes": "tubes"}.get(data.name, "labels")
        return naming(data, key, "classes")

    @property
    def classes(self) -> int:
        """Columns of the actions: of AVA and tubes known without their files."""
        data = self.config.data
        return data.classes if data.name in ("ava", "tubes") else len(self.class_names)

    def read_films(self, read: Callable[[], Read]) -> Read | None:
        """What `read` reads of the training's films. None where they are gone, for a task that
        answers: a list of them may be there still."""
        try:
            return read()
        except InputError:
            if not self.trained_names:
                raise
            return None

    def counted_labels(self) -> list[int]:
        """Ids, from 1, of the classes that an evaluation counts."""
        data = self.config.data
        if data.name == "ava":
            return ava_files.counted_labels(data.labels)
        return list(range(1, self.classes + 1))


def names_of_ava(labels: str, classes: int) -> tuple[str, ...]:
    """Of the ids 1 to `classes` in AVA's layout.

    labels: a label map, which may name those alone that count: what the others are called is
    AVA's, where the map says nothing else than AVA does, else their ids tell. "": AVA's.
    """
    public = dict(enumerate(class_list("ava"), 1))
    named = ava_files.read_label_map(path_to(labels)) if labels else public
    if labels and max(named) > classes:
        raise InputError(f"{labels}: label id {max(named)}; expected 1 to {classes}")
    others = public if named.items() <= public.items() else {}
    known = others | named
    return tuple(known.get(number, f"action {number}") for number in range(1, classes + 1))
