"""What classes are called: lists of public data sets, names that travel with weights, and what is
said where nothing names them."""

import json

import pytest

from jaxvision import class_names
from jaxvision.data.class_lists import SOURCES, class_list
from jaxvision.data.labels import check_same_names, read_labels
from jaxvision.errors import InputError
from jaxvision.loading import names_of, official_model, with_names
from jaxvision.registry import make_task
from jaxvision.training.config import load_config
from jaxvision.training.run_record import class_names_of


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


def test_a_task_without_classes_takes_no_names():
    task = make_task(load_config("videomae/demo"))
    assert with_names(task, ("a", "b"), of_run=True, compare=False).class_names == ()


def test_other_classes_are_named():
    with pytest.raises(InputError, match=r"it lacks 'b'; it adds 'c', 'd'"):
        check_same_names(("a", "c", "d"), ("a", "b"), "the data")
    with pytest.raises(InputError, match="class 0 is 'b'"):
        check_same_names(("b", "a"), ("a", "b"), "the data")


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
    with pytest.raises(InputError, match=r"data\.labels: expected a file .* kinetics400"):
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
