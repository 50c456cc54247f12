"""`--shard` and `--merge`: several machines' work is what one machine's would have been."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from data.test_prepare_things import write_frames
from jaxvision import loading
from jaxvision.cli.main import main
from jaxvision.data import prepare_videos
from jaxvision.data.shards import FINISHED, FOLDER, Shard
from jaxvision.errors import InputError
from jaxvision.tasks.label_prediction import predict_files
from jaxvision.training.mesh import make_mesh
from jaxvision.training.state import unboxed_init
from training.toy import ToyTask, toy_config

ROOT = Path(__file__).resolve().parents[2]
VIDEOS = ROOT / "tests/goldens/videos"
NUSCENES = ROOT / "tests/goldens/datasets/nuscenes_tiny"


def files_of(folder):
    """{path: bytes} of a folder, of JSON what it says."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {
        name: json.loads(path.read_text()) if path.suffix == ".json" else path.read_bytes()
        for name, path in found.items()
    }


def in_shards(count, *argv):
    """Exit statuses of every shard, the last first, and of the merge."""
    statuses = [main([*argv, f"--shard={n}/{count}"]) for n in range(count, 0, -1)]
    return [*statuses, main([*argv, "--merge"])]


class Labels:
    """Answers text files with a class; those that say "broken" cannot be read."""

    input_suffixes, beside_endings = (".txt",), ()

    def __init__(self):
        self.asked: list[str] = []

    def predict_files(self, variables, paths, outdir):
        def answer(path):
            self.asked.append(path.name)
            if path.read_text() == "broken":
                raise InputError(f"{path}: not one that can be read")
            share = len(path.read_text()) / 10
            return np.array([share, 1 - share]), lambda label: np.zeros((4, 4, 3), np.uint8)

        return predict_files(answer, ("long", "short"), paths, outdir)


@pytest.fixture
def labels(monkeypatch, tmp_path):
    """(the task, the command without its folder of answers): six texts, two of one name."""
    task, variables = Labels(), {"w": np.ones(2)}
    monkeypatch.setattr(loading, "load_run", lambda *_, **__: (task, None, variables))
    for name in ("a/x", "a/y", "b/x", "b/z", "c", "d"):
        path = tmp_path / f"texts/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return task, ["predict", str(tmp_path / "texts"), "--config=pdpp/demo", "--weights=none"]


def test_predictions_in_shards_are_those_of_one_machine(labels, tmp_path, capsys):
    (task, argv), one, several = labels, tmp_path / "one", tmp_path / "several"
    assert main([*argv, f"--out={one}"]) == 0
    task.asked.clear()
    assert in_shards(4, *argv, f"--out={several}") == [0, 0, 0, 0, 0]
    assert sorted(task.asked) == ["c.txt", "d.txt", "x.txt", "x.txt", "y.txt", "z.txt"]
    assert files_of(several) == files_of(one)
    capsys.readouterr()


def test_a_shard_of_predictions_goes_on_where_it_stopped(labels, tmp_path, monkeypatch, capsys):
    (task, argv), out = labels, tmp_path / "out"
    read = Path.read_text

    def stops(path, *arguments, **options):
        if path.name == "y.txt":
            raise RuntimeError("killed")
        return read(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", stops)
        with pytest.raises(RuntimeError):
            main([*argv, f"--out={out}", "--shard=1/2"])
    assert main([*argv, f"--out={out}", "--merge"]) == 2
    assert "2 of 2 shards have not finished" in capsys.readouterr().err
    task.asked.clear()
    assert in_shards(2, *argv, f"--out={out}") == [0, 0, 0]
    assert len(task.asked) == 6 - 1, "what the stopped shard had answered is passed over"
    assert not (out / FOLDER).exists()


def test_one_machine_leaves_the_shards_of_others(labels, tmp_path, capsys):
    (task, argv), out = labels, tmp_path / "out"
    assert main([*argv, f"--out={out}", "--shard=1/2"]) == 0
    task.asked.clear()
    assert main([*argv, f"--out={out}"]) == 2
    assert "parts: holds shards of 2; expected --merge once" in capsys.readouterr().err
    assert (out / FOLDER / "1-of-2" / FINISHED).exists()
    assert (task.asked, list(out.glob("*.json"))) == ([], [])
    assert main(["prepare", "videos", str(tmp_path / "texts"), str(out)]) == 2
    assert "parts: holds shards of 2" in capsys.readouterr().err


def test_a_shard_that_begins_beside_one_machine_stays(labels, tmp_path, monkeypatch):
    (task, argv), out = labels, tmp_path / "out"
    answer = task.predict_files

    def beside(*arguments):
        (out / FOLDER / "1-of-2").mkdir(parents=True)
        return answer(*arguments)

    monkeypatch.setattr(task, "predict_files", beside)
    assert main([*argv, f"--out={out}"]) == 0
    assert (out / FOLDER / "1-of-2").is_dir()


def test_what_has_no_answer_is_named_by_its_shard_and_by_the_merge(labels, tmp_path, capsys):
    (_, argv), out = labels, tmp_path / "out"
    (tmp_path / "texts/c.txt").write_text("broken")
    statuses = in_shards(3, *argv, f"--out={out}")
    assert sorted(statuses[:3]) == [0, 0, 2]
    assert statuses[3] == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("jaxvision: error: 1 of 6 inputs could not be answered: ")
    assert len(json.loads((out / "predictions.json").read_text())) == 5


def test_a_merge_of_other_weights_is_refused(labels, tmp_path, monkeypatch, capsys):
    (task, argv), out = labels, tmp_path / "out"
    assert main([*argv, f"--out={out}", "--shard=1/1"]) == 0
    monkeypatch.setattr(loading, "load_run", lambda *_, **__: (task, None, {"w": np.zeros(2)}))
    assert main([*argv, f"--out={out}", "--merge"]) == 2
    assert "holds another job's answers (weights: " in capsys.readouterr().err


@pytest.fixture
def toy(monkeypatch):
    task = ToyTask(toy_config())
    mesh = make_mesh(task.config.mesh.to_dict(), jax.devices()[:1])
    everywhere = jax.NamedSharding(mesh, jax.sharding.PartitionSpec())
    variables = jax.device_put(unboxed_init(task, jax.random.key(0)), everywhere)
    monkeypatch.setattr(loading, "load_run", lambda *_, **__: (task, mesh, variables))
    return ["evaluate", "--config=toy"]


def test_an_evaluation_in_shards_has_the_same_results(toy, tmp_path, capsys):
    argv, one, several = toy, tmp_path / "one", tmp_path / "several"
    assert main([*argv, f"--out={one}"]) == 0
    assert in_shards(2, *argv, f"--out={several}") == [0, 0, 0]  # of two and one batches
    assert files_of(several) == files_of(one)
    assert json.loads((one / "results.json").read_text())["whole/records"] == 40
    # More shards than batches; one of them finished before; a damaged file.
    shards = tmp_path / "many"
    assert main([*argv, f"--out={shards}", "--shard=5/5"]) == 0
    (stored,) = Shard(5, 5).folder(shards).rglob("*.npz")
    before = stored.stat().st_mtime_ns
    for number in range(1, 6):
        assert main([*argv, f"--out={shards}", f"--shard={number}/5"]) == 0
    assert stored.stat().st_mtime_ns == before, "was computed again"
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-30])
    capsys.readouterr()
    assert main([*argv, f"--out={shards}", "--merge"]) == 2
    assert f"{stored}: not 4 arrays of this evaluation's outputs" in capsys.readouterr().err
    stored.write_bytes(whole)
    assert main([*argv, f"--out={shards}", "--merge"]) == 0
    assert files_of(shards) == files_of(one)


def test_an_evaluation_in_shards_needs_a_folder(toy, capsys):
    assert main([*toy, "--shard=1/2"]) == 2
    assert "--shard and --merge: expected --out" in capsys.readouterr().err
    assert main([*toy, "--shard=3/2"]) == 2
    assert "--shard 3/2: expected I/N" in capsys.readouterr().err


def test_prepared_videos_in_shards_are_those_of_one_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prepare_videos, "VIDEOS_PER_SHARD", 1)
    source = tmp_path / "source"
    source.mkdir()
    for name, file in (("a.mp4", "h264_bframes.mp4"), ("b.mp4", "truncated.mp4")):
        (source / name).write_bytes((VIDEOS / file).read_bytes())
    (tmp_path / "val.csv").write_text("a.mp4 1\nb.mp4 0\n")
    one, several = tmp_path / "one", tmp_path / "several"
    argv = ["--short-side=32", "--format=frames", "--workers=1", "--list", f"{tmp_path}/val.csv"]
    assert main(["prepare", "videos", str(source), str(one), *argv]) == 2
    statuses = in_shards(3, "prepare", "videos", str(source), str(several), *argv)
    assert sorted(statuses[:3]) == [0, 0, 2]
    assert statuses[3] == 2  # the truncated one
    assert "1 videos in" in capsys.readouterr().out
    assert files_of(several) == files_of(one)
    assert (several / "val.csv").read_text() == "a.mp4 1\n"


def test_prepared_scans_and_clouds_in_shards_are_those_of_one_machine(tmp_path, capsys):
    write_frames(tmp_path / "raw/train")
    for words in (
        ("nuscenes", str(NUSCENES), "--version=v1.0-mini", "--sweeps=2"),
        ("flyingthings3d", str(tmp_path / "raw"), "--workers=1"),
    ):
        kind, source, *options = words
        one, several = (tmp_path / f"{kind}_{name}" for name in ("one", "several"))
        assert main(["prepare", kind, source, str(one), *options]) == 0
        argv = ["prepare", kind, source, str(several), *options]
        assert main([*argv, "--shard=1/2"]) == 0
        assert main([*argv, "--merge"]) == 2
        assert "1 of 2 shards have not finished: 2/2" in capsys.readouterr().err
        assert in_shards(2, *argv) == [0, 0, 0]
        assert files_of(several).keys() == files_of(one).keys()
    index = tmp_path / "nuscenes_one/frames.json"
    assert index.read_text() == (tmp_path / "nuscenes_several/frames.json").read_text()
