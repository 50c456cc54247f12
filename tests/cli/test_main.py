"""Every verb on a small recipe, and one clear line for what cannot be."""

import errno
import json

import numpy as np
import pytest
from PIL import Image

from jaxvision.cli.list import JOBS
from jaxvision.cli.main import VERBS, main
from jaxvision.data import pictures
from jaxvision.loading import answering_mesh
from jaxvision.registry import METHODS, Method
from jaxvision.training.config import recipes
from jaxvision.viz.files import write_mp4
from processes import SMALL

TRAIN = [
    "train",
    "--config=videomae/demo",
    *SMALL,
    "--config.train.steps=3",
    "--config.mesh.data=8",
]


def refused(capsys, *argv):
    """The one line that a refused command prints."""
    assert main(list(argv)) == 2
    err = capsys.readouterr().err
    assert err.startswith("jaxvision: error: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained")
    assert main([*TRAIN, f"--workdir={workdir}", "--config.task.probe=True"]) == 0
    return workdir


@pytest.mark.xdist_group("cli")
def test_train_leaves_a_record(trained):
    (start,) = [json.loads(line) for line in (trained / "runs.jsonl").open()]
    assert start["versions"]["jax"]
    assert start["devices"] == ["cpu"] * 8
    assert json.loads((trained / "config.json").read_text())["train"]["steps"] == 3
    assert list((trained / "tensorboard").iterdir())
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").open()]
    assert rows[-1]["evaluate/probe/chance"] == 1 / 5
    assert 0 < rows[-1]["evaluate/filling/network"] < rows[-1]["evaluate/filling/mean_colour"] < 30
    assert list((trained / "pictures").glob("*filling_held_out*.png"))


def test_train_says_what_it_does_before_jax_is_loaded(tmp_path, capsys):
    command = ["train", "--config=videomae/demoo", f"--workdir={tmp_path}"]
    assert main(command) == 2
    assert capsys.readouterr().out == f"training videomae/demoo in {tmp_path}\n"
    (tmp_path / "config.json").write_text("{}")
    assert main(command) == 2
    assert capsys.readouterr().out == f"carrying on with videomae/demoo in {tmp_path}\n"


@pytest.mark.xdist_group("cli")
def test_evaluate_repeats_the_runs_own_result(trained, tmp_path, capsys):
    assert main(["evaluate", f"--workdir={trained}", f"--out={tmp_path}"]) == 0
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").open()]
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["probe/accuracy"] == rows[-1]["evaluate/probe/accuracy"]
    assert "probe/accuracy: " in capsys.readouterr().out
    line = refused(capsys, "evaluate", f"--workdir={trained}", "--only=prob")
    assert "--only 'prob'; did you mean 'probe'?" in line


@pytest.mark.xdist_group("cli")
def test_predict_draws_pictures_and_videos(trained, tmp_path, capsys):
    pictures.built_in("held_out")[0][0].save(tmp_path / "mine.png")
    out = tmp_path / "out"
    assert main(["predict", f"--workdir={trained}", f"--out={out}", str(tmp_path / "m*.png")]) == 0
    named = capsys.readouterr().out.split()
    assert named == [str(out / name) for name in ("mine.png", "mine.mp4", "predictions.json")]
    assert Image.open(out / "mine.png").size[0] > 100
    (answer,) = json.loads((out / "predictions.json").read_text()).values()
    assert answer["error"] > 0
    # The video just written is a valid input too.
    again = tmp_path / "again"
    assert main(["predict", f"--workdir={trained}", f"--out={again}", str(out / "mine.mp4")]) == 0
    # Answers are no inputs, and a folder of answers is one job's.
    line = refused(capsys, "predict", f"--workdir={trained}", f"--out={out}", str(out / "mine.mp4"))
    assert f"mine.mp4: lies in {out}, where answers are written" in line
    line = refused(capsys, "predict", f"--workdir={trained}", f"--out={again}", f"{out}/mine.png")
    assert f"{again}: holds another job's answers (inputs: " in line
    (tmp_path / "notes.txt").write_text("no video")
    line = refused(capsys, "predict", f"--workdir={trained}", str(tmp_path / "notes.txt"))
    assert "notes.txt: not a video that can be read" in line
    line = refused(capsys, "predict", f"--workdir={trained}", "nothing*")
    assert "nothing*: no such file, folder or match" in line


@pytest.mark.xdist_group("cli")
def test_a_full_disk_is_one_line_and_nothing_is_half_written(
    trained, tmp_path, capsys, monkeypatch
):
    def full(file, *_, **__):
        with open(file, "wb") if isinstance(file, str) else file as stream:
            stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", lambda self, file, **_: full(file))
    clip = tmp_path / "clip.mp4"
    write_mp4(clip, np.zeros((8, 32, 32, 3), np.uint8), 8)
    out = tmp_path / "out"
    line = refused(capsys, "predict", f"--workdir={trained}", f"--out={out}", str(clip))
    assert line.endswith(f"{out}: cannot be written: No space left on device\n")
    assert not out.exists()
    monkeypatch.setattr(np, "savez", full)
    line = refused(capsys, "export", f"--workdir={trained}", "--platform=cpu", "--", str(out))
    assert line.endswith(f"{out}: cannot be written: No space left on device\n")
    assert not list(out.glob("variables*"))


@pytest.mark.xdist_group("cli")
def test_a_file_in_place_of_a_folder_is_one_line(trained, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    clip = tmp_path / "clip.mp4"
    write_mp4(clip, np.zeros((8, 32, 32, 3), np.uint8), 8)
    out = tmp_path / "out"
    for verb in (["predict", str(clip), f"--out={out}"], ["export", str(out)]):
        line = refused(capsys, *verb, f"--workdir={trained}")
        assert line.endswith(f"{out} is a file, expected a folder\n")
    assert out.read_text() == "mine"


@pytest.mark.xdist_group("cli")
def test_inspect_shows_parameters_and_a_batch(tmp_path, capsys):
    options = ["--config.mesh.fsdp=2", "--config.mesh.data=4", f"--out={tmp_path}"]
    assert main(["inspect", "--config=videomae/demo", *SMALL, *options]) == 0
    out = capsys.readouterr().out
    assert "encoder/stack/blocks/mlp/up/kernel" in out
    rows = [line.split(maxsplit=3) for line in out.splitlines()]
    by_key = {row[0]: row[1:] for row in rows if len(row) == 4}
    place, line = by_key["optim.clip_norm"][1:]
    assert by_key["optim.clip_norm"][0] == "10.0"
    assert place.startswith("configs/videomae/demo.py:")
    assert line.rstrip() == "of the global gradient; 0 = none"
    assert by_key["model.width"][:2] == ["32", "--config"]
    assert by_key["model.width"][2].rstrip() == "of the encoder's tokens"
    keys = [row[0] for row in rows if row]
    assert keys.index("optim.clip_norm") < keys.index("optim.b1"), "what differs comes first"
    assert "parameters; mesh {'data': 4, 'fsdp': 2, 'tensor': 1}" in out
    assert (tmp_path / "batch_video.png").is_file()


def test_list_names_methods_and_recipes(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "videomae/demo" in out
    assert "2302.06148" in out
    lines = out.splitlines()
    assert (
        "    videomae/own_videos  VideoMAE V2, ViT-B: your own videos and classes, on one GPU"
        in out
    )
    assert "jaxvision list videomae" in out
    assert not [line for line in lines if "vit_b_k400_finetune" in line], "no wall of recipes"
    assert main(["list", "videomae"]) == 0
    lines = capsys.readouterr().out.splitlines()
    places = [lines.index(f"  {job}:") for job in JOBS.values() if f"  {job}:" in lines]
    assert places == sorted(places)
    assert lines[places[0] + 1].startswith("    videomae/demo  VideoMAE V2 pretraining in mini")
    assert [line for line in lines if line.startswith(" videomae/demo  503,540 parameters; hidden")]
    known = [line.split()[0] for line in lines if line.startswith("    videomae/")]
    assert {name.partition(":")[0] for name in known} == {
        name for name in recipes() if name.startswith("videomae/")
    }
    assert "unknown method 'videomea'; did you mean 'videomae'?" in refused(
        capsys, "list", "videomea"
    )


def test_list_shows_a_recipe_and_its_arguments(tmp_path, monkeypatch, capsys):
    assert main(["list", "videomae/demo"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("videomae/demo\nVideoMAE V2 pretraining in miniature")
    line = refused(capsys, "list", "videomae/demo:gpus=1")
    assert "demo.py: takes no arguments, got 'gpus=1'" in line
    file = tmp_path / "configs" / "pdpp" / "small.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        '"""A small one."""\nfrom jaxvision.training.config import base_config, recipe_arguments\n'
        "def get_config(arguments=''):\n    given = recipe_arguments(arguments, gpus=8)\n"
        "    return base_config()\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["list", "pdpp/small:gpus=1"]) == 0
    assert capsys.readouterr().out == "pdpp/small:gpus=8\nA small one.\n"
    assert main(["list", "pdpp"]) == 0
    assert "pdpp/small:gpus=8" in capsys.readouterr().out
    line = refused(capsys, "list", "pdpp/small:gpsu=1")
    assert "no recipe argument 'gpsu'; did you mean 'gpus'?" in line


def test_help_names_no_variable_of_ours(capsys):
    for verb in VERBS:
        with pytest.raises(SystemExit):
            main([verb, "--help"])
    told = capsys.readouterr().out
    assert "--config.KEY=VALUE" in told
    assert "_OVERRIDE" not in told


def test_no_verb_teaches(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "examples:" in out
    assert "75 preempted" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["trian"], "unknown verb 'trian'; did you mean 'train'?"),
        ([*TRAIN, "--wrokdir=x"], "--wrokdir"),
        ([*TRAIN, "--config.optim.b3=1"], "no config key 'optim.b3'; did you mean 'optim.b"),
        ([*TRAIN, "--config.train.steps=x"], "config key 'train.steps': expected int"),
        (
            [*TRAIN, "--config.method=videomea"],
            "unknown method 'videomea'; did you mean 'videomae'",
        ),
        (
            [*TRAIN, "--config.train.batch_size=12"],
            "batch of 12 (bucket 'clips') does not divide",
        ),
        ([*TRAIN, "--config.mesh.data=16"], "mesh data=16, fsdp=1, tensor=1 needs 16 devices"),
        ([*TRAIN, "--config.model.patch=5"], "image_size by model.patch: 16 does not divide"),
        ([*TRAIN, "--config.model.patch=0"], "model.patch=0: expected at least 1"),
        ([*TRAIN, "--config.model.tubelet=0"], "model.tubelet=0: expected at least 1"),
        ([*TRAIN, "--config.model.heads=5"], "model.width by model.heads: "),
        ([*TRAIN, "--config.task.encoder_mask_ratio=0.1"], "leaves 8 of 8 tokens visible"),
        ([*TRAIN, "--config.data.name=camra"], "data.name 'camra'; did you mean 'camera'?"),
        ([*TRAIN, "--config.data.root=/nowhere"], "/nowhere: no pictures there"),
        ([*TRAIN, "--platform=cpu"], "'--platform=cpu'; known: config, copies, debug, profile, wo"),
        (["prepare", "videos", "/nowhere", "/gone"], "say --short-side: pixels, 1 or more (256)"),
        (["export", "--config=umt/demo", "--platform=gpuu", "x"], "'gpuu'; did you mean 'gpu'?"),
        ([*TRAIN, "--profile=7"], "--profile '7': expected START:STOP"),
        (["train", "--config=videomae/demmo"], "did you mean 'videomae/demo'?"),
        (["evaluate", "--workdir=/nowhere"], "/nowhere: no run's workdir (config.json is missing)"),
        (["train", "--config=zzz"], "no config file 'zzz'; nearest of "),
    ],
)
def test_bad_input_is_one_line(argv, message, tmp_path, capsys):
    if argv[0] == "train":
        argv = [*argv, f"--workdir={tmp_path}"]
    assert message in refused(capsys, *argv)
    assert not (tmp_path / "checkpoints").exists()


def test_a_planned_method_cannot_be_run_yet(monkeypatch, capsys):
    monkeypatch.setitem(METHODS, "newest", Method("Newest", "0000.00000", "planned"))
    found = refused(capsys, *TRAIN, "--config.method=newest", "--workdir=nowhere")
    assert "Newest (newest) cannot be run yet" in found


@pytest.mark.xdist_group("cli")
def test_a_runs_mesh_is_not_forced_on_its_answers(trained, tmp_path, capsys):
    stored = json.loads((trained / "config.json").read_text())
    assert stored["mesh"]["data"] == 8
    assert answering_mesh({"data": 64, "fsdp": 2, "tensor": 1}, [], True) == {
        "data": -1,
        "fsdp": 1,
        "tensor": 1,
    }
    same = {"data": 4, "fsdp": 2, "tensor": 1}
    assert answering_mesh(same, [], True) == same
    # What the command itself asks for is not changed.
    line = refused(
        capsys, "evaluate", f"--workdir={trained}", f"--out={tmp_path}", "--config.mesh.data=16"
    )
    assert "mesh data=16, fsdp=1, tensor=1 needs 16 devices" in line


@pytest.mark.xdist_group("cli")
def test_predict_says_what_it_converted_and_how_often(trained, tmp_path, capsys):
    for name in ("a", "b"):
        Image.fromarray(np.full((64, 64), 4000, np.uint16)).save(tmp_path / f"{name}.png")
    words = [str(tmp_path / "a.png"), str(tmp_path / "b.png"), f"--workdir={trained}"]
    assert main(["predict", *words, f"--out={tmp_path / 'out'}"]) == 0
    line = f"converted: 16-bit grey converted to 8-bit: 2 files, first {tmp_path / 'a.png'}\n"
    assert line in capsys.readouterr().err


@pytest.mark.xdist_group("cli")
def test_an_out_that_is_a_file_is_refused_before_the_work(trained, tmp_path, capsys, monkeypatch):
    (tmp_path / "out").write_text("")
    pictures.built_in("held_out")[0][0].save(tmp_path / "mine.png")
    monkeypatch.setattr("jaxvision.loading.load_run", None)
    options = [f"--workdir={trained}", f"--out={tmp_path / 'out'}"]
    for argv in (["predict", str(tmp_path / "mine.png")], ["evaluate"]):
        assert "out is a file, expected a folder" in refused(capsys, *argv, *options)
    line = refused(capsys, "export", str(tmp_path / "out"), f"--workdir={trained}")
    assert "out is a file, expected a folder" in line
    monkeypatch.setattr("jaxvision.registry.make_task", None)
    line = refused(capsys, "inspect", "--config=videomae/demo", f"--out={tmp_path / 'out'}")
    assert "out is a file, expected a folder" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("convert", "videomae/vit_b_k400", "source.pth", "file"), "file is a file, expected a f"),
        (("convert", "videomae/vit_b_k400", "source.pth", "file/b.pth"), "file is a file, expec"),
        (("convert", "videomae/vit_b_k400", "source.pth", "a.pth"), "a.pth is a folder, expected"),
        (("convert", "videomae/vit_b_k400", "source.pth", "source.pth"), "another place than SOUR"),
        (("prepare", "videos", "videos", "file", "--short-side=32"), "file is a file, expected a"),
        (("prepare", "nuscenes", "videos", "file"), "file is a file, expected a folder"),
        (("prepare", "nyud", "labeled.mat", "file"), "file is a file, expected a folder"),
    ],
)
def test_no_work_is_begun_for_a_place_that_cannot_be_written(
    words, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pth").mkdir()
    (tmp_path / "videos").mkdir()
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("jaxvision.weights.checkpoint_file.read_checkpoint", None)
    monkeypatch.setattr("jaxvision.data.lidar.nuscenes_tables.Tables", None)
    monkeypatch.setattr("jaxvision.data.prepare_rgbd.read_lists", None)
    monkeypatch.setattr("jaxvision.data.prepare_videos.Preparation", None)
    assert message in refused(capsys, *words)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_unwritable_workdir_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    line = refused(capsys, *TRAIN, f"--workdir={tmp_path / 'file'}")
    assert f"workdir {tmp_path / 'file'}: " in line


@pytest.mark.xdist_group("cli")
def test_undecodable_pictures_are_replaced_counted_and_named(tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        pictures.built_in("train")[number][0].save(folder / f"{number}.png")
    (folder / "torn.png").write_bytes((folder / "0.png").read_bytes()[:2000])
    options = [f"--config.data.root={folder}", "--config.data.max_unreadable=0.5"]
    assert main([*TRAIN, *options, f"--workdir={tmp_path / 'run'}"]) == 0
    out = capsys.readouterr().out
    assert f"unreadable, replaced: {folder / 'torn.png'}: " in out
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert rows[-1]["records_replaced"] > 0
    options = [f"--config.data.root={folder}", "--config.data.max_unreadable=0.0"]
    line = refused(capsys, *TRAIN, *options, f"--workdir={tmp_path / 'strict'}")
    assert "records cannot be read, more than data.max_unreadable=0.0" in line
    assert "torn.png" in line


def test_settings_may_hold_spaces_wherever_they_stand(capsys):
    """argparse alone takes such a word beside the inputs for one of them."""
    settings = ["--config.data.query=what is the man doing?", "--config=umt/question_answering"]
    assert main(["predict", "none.mp4", *settings, "--weights=none"]) == 2
    assert "none.mp4: no such file, folder or match" in capsys.readouterr().err
    assert main(["predict", settings[0], "--weights=none", settings[1], "none.mp4"]) == 2
    assert "none.mp4: no such file, folder or match" in capsys.readouterr().err


@pytest.mark.xdist_group("cli")
def test_a_recipe_without_weights_asks_for_weights(tmp_path, capsys):
    """Not for class names, which would come with them."""
    (tmp_path / "clip.mp4").write_bytes(b"")
    argv = ["predict", "--config=videomae/vit_b_k400_finetune", str(tmp_path / "clip.mp4")]
    line = refused(capsys, *argv, f"--out={tmp_path / 'out'}")
    assert "no weights: give --workdir or --weights" in line
    line = refused(capsys, *argv, "--weights=emavfi/demo", f"--out={tmp_path / 'out'}")
    assert "emavfi/demo: weights of 'emavfi'; the recipe is of 'videomae'" in line
    argv = ["predict", "--config=umt/demo", "--weights=umt/demo", str(tmp_path / "clip.mp4")]
    line = refused(capsys, *argv, f"--out={tmp_path / 'out'}")
    assert "do not fit" in line
    assert "; umt/demo is of --config umt/demo:stage=" in line
    assert not (tmp_path / "out").exists()
