"""What classes are called: lists of public data sets, names that travel with weights, and what is
said where nothing names them."""

import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from jaxvision import class_names
from jaxvision.data.class_lists import SOURCES, class_list
from jaxvision.data.labels import check_same_names, read_labels
from jaxvision.errors import InputError
from jaxvision.networks import names_of, official_model
from jaxvision.registry import make_task
from jaxvision.tasks.action_names import names_of_ava
from jaxvision.trained_names import names_of_chain, with_names
from jaxvision.training import manifest
from jaxvision.training.config import as_json, load_config
from jaxvision.training.run_record import check_same_run, class_names_of
from jaxvision.viz.files import write_mp4


def videos_task(*overrides):
    return make_task(load_config("videomae/vit_b_k400_finetune", overrides))


def test_every_list_is_of_its_data_sets_size_and_in_its_order():
    sizes = {name: len(class_list(name)) for name in SOURCES}
    assert sizes == {
        "ava": 80,
        "imagenet": 1000,
        "kinetics400": 400,
        "something_something_v2": 174,
        "videomae_v2_kinetics600": 600,
        "videomae_v2_kinetics700": 700,
        "videomae_v2_kinetics710": 710,
    }
    for name in SOURCES:
        assert read_labels(name) == class_list(name)  # none comes twice
    assert class_list("kinetics400")[5] == "archery"
    assert class_list("imagenet")[207] == "golden retriever"
    assert class_list("ava")[79] == "watch (a person)"
    assert class_list("something_something_v2")[0] == "Approaching something with your camera"


def test_official_networks_know_their_classes():
    known = {
        "videomae/vit_s_k710": "videomae_v2_kinetics710",
        "videomae/vit_b_ssv2": "something_something_v2",
        "sparseformer/tiny": "imagenet",
        "stmixer/slowfast_r50_k400": "ava",
    }
    for network, name in known.items():
        assert class_names(network) == class_list(name)
        assert names_of(official_model(network)) == class_list(name)
    streets = class_names("link/linkunet_cos_3x7_kitti")
    assert (len(streets), streets[1], streets[-1]) == (20, "car", "traffic-sign")
    assert class_names("link/centerpoint_elkv3_nuscenes")[2] == "construction_vehicle"
    for network in ("videomae/vit_s_pretrain", "umt/vit_b_k710", "videomae/vit_b_12classes"):
        with pytest.raises(InputError, match="what its classes are called is not known"):
            class_names(network)


def test_an_official_networks_names_are_taken_where_the_data_have_none(tmp_path):
    names = class_list("kinetics400")
    assert with_names(videos_task(), names, of_run=False, compare=True).class_names == names
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"class {number}\n" for number in range(400)))
    own = with_names(videos_task(f"data.labels={labels}"), names, of_run=False, compare=True)
    assert own.class_names[0] == "class 0"


def test_a_runs_names_are_kept_and_other_data_refused(tmp_path):
    (tmp_path / "labels.txt").write_text("falling\nflying\n")
    task = videos_task(f"data.labels={tmp_path / 'labels.txt'}")
    names = ("falling", "rising")
    assert with_names(task, names, of_run=True, compare=False).class_names == names
    with pytest.raises(
        InputError, match=r"data\.labels=.*txt\): class 1 is 'flying', .* 'rising' there"
    ):
        with_names(task, names, of_run=True, compare=True)
    gone = videos_task(f"data.labels={tmp_path / 'gone.txt'}")
    assert with_names(gone, names, of_run=True, compare=True).class_names == names
    with pytest.raises(InputError, match=r"gone\.txt"):
        with_names(gone, names, of_run=True, compare=True, must_read=True)


# Of every kind of data whose classes are the user's: files that call them `names`, in their order,
# and the settings that say so.


def labels_file(folder: Path, names: Sequence[str]) -> list[str]:
    (folder / "labels.txt").write_text("\n".join(names) + "\n")
    return [f"data.labels={folder / 'labels.txt'}"]


def class_folders(folder: Path, names: Sequence[str]) -> list[str]:
    for name in names:
        (folder / "train" / name).mkdir(parents=True)
        (folder / "train" / name / "a.mp4").touch()
    return [f"data.train={folder / 'train'}"]


def scene_folders(folder: Path, names: Sequence[str]) -> list[str]:
    class_folders(folder, names)
    return ["data.name=pairs", f"data.root={folder}", "data.train=train"]


def label_map(folder: Path, names: Sequence[str]) -> list[str]:
    blocks = [f'item {{ name: "{name}" id: {n} }}\n' for n, name in enumerate(names, 1)]
    (folder / "map.pbtxt").write_text("".join(blocks))
    return [f"data.labels={folder / 'map.pbtxt'}", f"data.classes={len(names)}"]


def tubes(folder: Path, names: Sequence[str]) -> list[str]:
    content: dict = {"labels": list(names), "nframes": {"v": 4}, "resolution": {"v": (40, 80)}}
    content |= {"train_videos": [["v"]], "test_videos": [["v"]]}
    content["gttubes"] = {"v": {0: [np.array([[2, 0, 0, 39, 19]], np.float32)]}}
    (folder / "GT.pkl").write_bytes(pickle.dumps(content))
    return [f"data.tubes={folder / 'GT.pkl'}", f"data.classes={len(names)}"]


def procedure_labels(folder: Path, names: Sequence[str]) -> list[str]:
    """The first is a task."""
    labels = {"tasks": names[:1], "actions": names[1:]}
    (folder / "labels.json").write_text(json.dumps(labels))
    return ["data.name=plain", f"data.root={folder}"]


def table_of_ids(folder: Path, names: Sequence[str]) -> list[str]:
    """The first is the one that is ignored."""
    return [f"data.classes={ {name: (n,) for n, name in enumerate(names[1:], 1)} }"]


def tasks_of_heads(folder: Path, names: Sequence[str]) -> list[str]:
    return [f"data.tasks=({tuple(names[:1])},{tuple(names[1:])})"]


class Named(NamedTuple):
    """place: what a refusal points at, in the folder F.  names: of the classes as written, and in
    the task where they are others."""

    recipe: str
    write: Callable[[Path, Sequence[str]], list[str]]
    place: str
    names: tuple[str, ...] = ("carry", "sit", "walk")
    kept: tuple[str, ...] = ()


PROCEDURE = ("task: carry", "action: sit", "action: walk")
NAMED = [
    *(
        Named(recipe, labels_file, "data.labels=F/labels.txt")
        for recipe in (
            *("videomae/own_videos", "videomae/own_head", "umt/finetune", "umt/own_head"),
            *("sparseformer/tiny", "sparseformer/own_head", "comae/finetune"),
            *("stmixer/own", "cycleacr/own"),
        )
    ),
    *(
        Named(recipe, class_folders, "data.train=F/train")
        for recipe in ("videomae/own_videos", "umt/finetune")
    ),
    Named("sparseformer/own_head", class_folders, "data.train: F/train"),
    Named("comae/finetune", scene_folders, "data.train: F/train"),
    *(
        Named(recipe, label_map, "data.labels=F/map.pbtxt")
        for recipe in ("stmixer/ava_vit_b_k400", "cycleacr/ava_vit_l_k700", "umt/detection")
    ),
    *(
        Named(recipe, tubes, "data.tubes=F/GT.pkl")
        for recipe in ("stmixer/ucf24", "cycleacr/ucf24")
    ),
    *(
        Named(recipe, procedure_labels, "data.root=F), labels.json", kept=PROCEDURE)
        for recipe in ("pdpp/demo", "pdpp/niv_classifier")
    ),
    Named("link/own", table_of_ids, "data.classes)", ("ignored", "sit", "walk")),
    Named("link/own_boxes", tasks_of_heads, "data.tasks)"),
]


@pytest.mark.parametrize("named", NAMED, ids=lambda n: f"{n.recipe}-{n.write.__name__}")
def test_every_method_keeps_the_names_it_was_trained_with_and_refuses_others(named, tmp_path):
    task = make_task(load_config(named.recipe, named.write(tmp_path, named.names)))
    names = named.kept or named.names
    assert task.names_in_data() == task.class_names == names
    same = with_names(task, names, of_run=True, compare=True)
    assert same.class_names == names
    place = named.place.replace("F", str(tmp_path))
    first, second, third = names
    kind = third.rpartition(" ")[0]
    other = f"{kind} run".strip()
    for trained, said in (
        ((first, second, other), f"class 2 is {third!r}, but the weights were trained with"),
        ((first, third, second), f"class 1 is {second!r}, but the weights were trained with"),
        ((first, second), f"3 classes, but the weights were trained on 2; it adds {third!r}"),
        ((*names, other), f"3 classes, but the weights were trained on 4; it lacks {other!r}"),
    ):
        kept = with_names(task, trained, of_run=True, compare=False)
        assert kept.class_names == trained
        for refuse in (
            lambda trained=trained: with_names(task, trained, of_run=True, compare=True),
            lambda trained=trained: resume(tmp_path / "run", task, trained),
        ):
            with pytest.raises(InputError) as caught:
                refuse()
            assert place in str(caught.value)
            assert said in str(caught.value)
            assert "\n" not in str(caught.value)


def resume(workdir, task, trained):
    """What a training does first of all in a workdir of a run with the classes `trained`."""
    step = workdir / "checkpoints" / "00000001"
    step.mkdir(parents=True, exist_ok=True)
    (step / manifest.NAME).write_text("{}")
    (workdir / "run.json").write_text(json.dumps({"classes": trained}))
    (workdir / "config.json").write_text(json.dumps(as_json(task.config)))
    check_same_run(workdir, task.config, task.class_names, task.names_from())


@pytest.mark.parametrize("recipe", ["stmixer/own", "cycleacr/own"])
def test_a_run_is_evaluated_without_the_file_of_its_names(recipe, tmp_path):
    write_mp4(tmp_path / "a.mp4", np.zeros((20, 32, 64, 3), np.uint8), 10)
    rows = "clip,time,person,x1,y1,x2,y2,label\na.mp4,0.5,ann,0,0,0.5,1,walk\n"
    (tmp_path / "list.csv").write_text(rows)
    files = [f"data.root={tmp_path}", f"data.validation={tmp_path / 'list.csv'}"]
    small = ("model.frames=4", "data.labels=gone.txt")
    task = make_task(load_config(recipe, [*files, *small]))
    protocol = with_names(task, ("carry", "walk"), True, compare=True).evaluations()["key_frames"]
    (source,) = protocol.source.values()
    (bucket,) = protocol.source
    sample = source.transform(source.records[0], np.random.default_rng(0), bucket)
    assert sample["actions"][0].tolist() == [0, 1]
    with pytest.raises(InputError, match=r"list\.csv:2: label 'walk'"):
        with_names(task, ("carry", "run"), True, compare=True).evaluations()
    # Exports ask for the shapes of batches: the list of the training is there, its films are not.
    (tmp_path / "labels.txt").write_text("carry\nwalk\n")
    gone = (f"data.train={tmp_path / 'list.csv'}", f"data.labels={tmp_path / 'labels.txt'}")
    task = make_task(load_config(recipe, ["model.frames=4", "data.root=gone", *gone]))
    assert with_names(task, ("carry", "walk"), True, compare=False).batch_specs("train")
    with pytest.raises(InputError, match=r"gone/a\.mp4"):
        task.batch_specs("train")


def test_answers_of_scans_are_in_the_trained_order(tmp_path):
    """Settings of one run with the weights of another."""
    settings = "data.classes={'car': (10, 252), 'person': (30,), 'road': (40,)}"
    task = make_task(load_config("link/own", [settings]))
    classes = with_names(task, ("ignored", "road", "car"), True, compare=False).classes
    assert classes.names == ("ignored", "road", "car")
    assert classes.raw_ids == ((0,), (40,), (10, 252))
    with pytest.raises(InputError, match=r"data\.classes: no raw ids of 'tree'"):
        _ = with_names(task, ("ignored", "tree"), True, compare=False).classes
    boxes = make_task(load_config("link/own_boxes"))
    names = ("pedestrian", "truck", "car")
    assert with_names(boxes, names, True, compare=False).packing("test").classes == names


def test_a_run_of_scans_takes_data_with_other_ids_of_its_classes(tmp_path):
    """A run's settings are JSON, which knows lists alone."""
    run = tmp_path / "config.json"
    config = load_config("link/own", ["data.classes={'car': (10, 252), 'road': (40,)}"])
    run.write_text(json.dumps(as_json(config)))
    names = make_task(config).class_names
    task = make_task(load_config(str(run), ["data.classes={'car': (1,), 'road': (2, 3)}"]))
    found = with_names(task, names, True, compare=True).classes
    assert (found.names, found.raw_ids) == (names, ((0,), (1,), (2, 3)))
    other = make_task(load_config(str(run), ["data.classes={'auto': (1,), 'road': (2,)}"]))
    with pytest.raises(InputError, match=r"data\.classes\): class 1 is 'auto', .* 'car' there"):
        with_names(other, names, True, compare=True)


def test_names_of_avas_ids(tmp_path):
    """A label map names the actions that count; the others have AVA's names, too."""
    public = class_list("ava")
    assert names_of_ava("", 80) == public
    (tmp_path / "map.pbtxt").write_text(f'item {{ name: "{public[10]}" id: 11 }}\n')
    assert names_of_ava(str(tmp_path / "map.pbtxt"), 80) == public
    (tmp_path / "map.pbtxt").write_text('item { name: "hop" id: 2 }\n')
    assert names_of_ava(str(tmp_path / "map.pbtxt"), 3) == ("action 1", "hop", "action 3")
    with pytest.raises(InputError, match=r"map\.pbtxt: label id 2; expected 1 to 1"):
        names_of_ava(str(tmp_path / "map.pbtxt"), 1)


def test_a_planner_without_names_says_what_has_them(caplog):
    task = make_task(load_config("pdpp/crosstask_how"))
    labels = task.labels()
    assert (labels.tasks[17], labels.actions[104]) == ("task 17", "action 104")
    assert "data.root is empty; expected the folder of crosstask_how" in caplog.text


def test_names_come_with_runs_that_an_init_takes_whole(tmp_path):
    for run, names in (("a", ("walk", "run")), ("b", ("run", "walk"))):
        (tmp_path / run).mkdir()
        (tmp_path / run / "run.json").write_text(json.dumps({"classes": names}))
    a, b = ({"from": str(tmp_path / run)} for run in "ab")
    assert names_of_chain([a]) == ("walk", "run")
    assert names_of_chain([{**a, "drop": ("^head",)}, {**a, "to": "teacher"}]) == ()
    assert names_of_chain([{**a, "drop": ("^head",)}, {**b, "to": ""}]) == ("run", "walk")
    assert names_of_chain([{"from": "stmixer/demo"}]) == class_names("stmixer/demo")
    with pytest.raises(InputError, match=r"init from .*b: class 0 is 'run'"):
        names_of_chain([a, b])


def test_a_task_without_classes_takes_no_names():
    task = make_task(load_config("videomae/demo"))
    assert with_names(task, ("a", "b"), of_run=True, compare=False).class_names == ()


def test_other_classes_are_named():
    with pytest.raises(InputError, match=r"it lacks 'b'; it adds 'c', 'd'"):
        check_same_names(("a", "c", "d"), ("a", "b"), "the data")
    with pytest.raises(InputError, match=r"class 0 is 'b', .* 'a' there$"):
        check_same_names(("b", "a"), ("a", "b"), "the data")
    # A folder that got another name is elsewhere among the others.
    with pytest.raises(InputError, match=r"class 0 is 'b', .* there; it lacks 'a'; it adds 'z'"):
        check_same_names(("b", "z"), ("a", "b"), "the data")
    with pytest.raises(InputError, match=r"class 1 is 'z', .* 'b' there$"):
        check_same_names(("a", "z"), ("a", "b"), "the data")


def test_names_are_in_the_runs_table_or_its_newest_checkpoint(tmp_path):
    assert class_names_of(tmp_path) == ()
    for step, name in ((2, "old"), (10, "new")):
        folder = tmp_path / "checkpoints" / f"{step:08d}"
        folder.mkdir(parents=True)
        (folder / "info.json").write_text(json.dumps({"classes": [name]}))
    assert class_names_of(tmp_path) == ("new",)
    (tmp_path / "run.json").write_text(json.dumps({"classes": ["table"]}))
    assert class_names(tmp_path) == class_names_of(tmp_path) == ("table",)


def test_the_setting_at_fault_is_named(tmp_path):
    with pytest.raises(InputError, match=r"expected data\.train, .* videos, or data\.labels, "):
        _ = videos_task().class_names
    with pytest.raises(InputError, match=r"data\.train=trian: no such folder or list"):
        _ = videos_task("data.train=trian").class_names
    for name in ("a.mp4", "a.txt"):
        (tmp_path / name).write_text("a.mp4 0\n")
    with pytest.raises(InputError, match=r"data\.train=.*a\.mp4: a video; expected a folder"):
        _ = videos_task(f"data.train={tmp_path / 'a.mp4'}").class_names
    with pytest.raises(InputError, match=r"data\.labels: .*; data\.train=.*a\.txt names none"):
        _ = videos_task(f"data.train={tmp_path / 'a.txt'}").class_names
    with pytest.raises(InputError, match=r"data\.labels=kinetics40: .*mean 'kinetics400'"):
        _ = videos_task("data.labels=kinetics40").class_names
    with pytest.raises(InputError, match=r"expected data\.train, .* of pictures, or data\.labels"):
        _ = make_task(load_config("comae/finetune", ["data.train="])).class_names
    with pytest.raises(InputError, match=r"data\.train=mine: data\.name is 'tfds', .*name=folder"):
        _ = make_task(load_config("sparseformer/tiny", ["data.train=mine"])).class_names
