"""A trained run becomes an official file, with what training does not touch from its first file."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxvision import loading, networks
from jaxvision.cli.main import main
from jaxvision.errors import InputError
from jaxvision.registry import METHODS, Method
from jaxvision.training import loop
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.weights import convert
from jaxvision.weights.checkpoint_file import read_checkpoint, write_checkpoint
from jaxvision.weights.layout import LINEAR
from jaxvision.weights.mapping import Entry, flatten
from jaxvision.weights.official import OfficialModel
from round_trip import official_tensors
from training.toy import CLASSES, FEATURES, ToyTask, toy_config

ENTRIES = [
    Entry("table", (FEATURES,), "params/table"),
    Entry("up.weight", (16, FEATURES), "params/up/kernel", LINEAR),
    Entry("norm.weight", (16,), "params/norm/scale"),
    Entry("norm.bias", (16,), "params/norm/bias"),
    Entry("norm.running_mean", (16,), "batch_stats/norm/mean"),
    Entry("norm.running_var", (16,), "batch_stats/norm/var"),
    Entry("norm.num_batches_tracked", (), None, dtype="int64"),
    Entry("head.weight", (CLASSES, 16), "params/head/kernel", LINEAR),
    Entry("head.bias", (CLASSES,), "params/head/bias"),
]
NETWORK = OfficialModel("toy/small", None, ENTRIES, lambda x: x)
WIDER = dataclasses.replace(
    NETWORK, name="toy/wider", entries=[*ENTRIES, Entry("last.bias", (2,), "params/last/bias")]
)


@pytest.fixture(autouse=True)
def published(monkeypatch):
    """The toy's networks, as those of a method."""
    known = {"small": NETWORK, "wider": WIDER}
    module = SimpleNamespace(
        official_model=lambda name, tensors, dtype: known[name],
        recognise=lambda tensors: NETWORK if "norm.running_mean" in tensors else None,
    )
    monkeypatch.setitem(METHODS, "toy", Method("Toy", "0", ""))
    monkeypatch.setattr(networks, "_pretrained", lambda name: module if name == "toy" else None)


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    tensors = official_tensors(NETWORK)
    tensors["norm.running_var"] = np.abs(tensors["norm.running_var"])
    tensors["norm.num_batches_tracked"] = np.array(7, np.int64)
    path = tmp_path_factory.mktemp("official") / "toy.pth"
    write_checkpoint(path, tensors, "model", "module.")
    return path


def trained(workdir, **settings):
    config = toy_config(**{"train.steps": 2, **settings})
    loop.train(ToyTask(config), config, workdir, loading.read_weights, jax.devices()[:1])
    return workdir


def refused(capsys, *argv):
    assert main(list(map(str, argv))) == 2
    return capsys.readouterr().err


def test_a_fine_tuned_run_comes_back_bit_for_bit(official, tmp_path, capsys):
    settings = {"init": ({"from": str(official)},), "ema.decay": 0.5}
    workdir = trained(tmp_path / "run", **settings, **{"ema.collections": ("batch_stats",)})
    before = read_checkpoint(official)
    checkpoints = Checkpoints(workdir)
    for weights, averaged in (("raw", False), ("ema", True)):
        kept = flatten(checkpoints.read_variables(2, averaged))
        for suffix in (".pth", ".safetensors"):
            out = tmp_path / f"{weights}{suffix}"
            argv = ["convert", "toy/small", str(workdir), str(out), "--weights", weights]
            assert main(argv) == 0
            after = read_checkpoint(out)
            assert list(after.tensors) == list(before.tensors)
            assert after.tensors["norm.num_batches_tracked"] == 7
            assert after.prefix == "module."
            assert after.key == ("model" if suffix == ".pth" else None)
            for path, value in flatten(convert.from_file(out, NETWORK).variables).items():
                assert value.tobytes() == kept[path].tobytes(), path
    raw = read_checkpoint(tmp_path / "raw.pth").tensors["head.weight"]
    assert (raw != before.tensors["head.weight"]).all()
    assert (raw != read_checkpoint(tmp_path / "ema.pth").tensors["head.weight"]).all()
    assert main(["convert", "toy/small", str(workdir), str(tmp_path / "default.pth")]) == 0
    assert (tmp_path / "default.pth").read_bytes() == (tmp_path / "ema.pth").read_bytes()
    line = refused(capsys, "convert", "toy/wider", workdir, tmp_path / "wider.pth")
    assert "params/last/bias is missing" in line
    assert not (tmp_path / "wider.pth").exists()


def test_what_a_file_says_of_its_training_comes_back_but_not_with_another_run(tmp_path):
    path, back = tmp_path / "toy.pth", tmp_path / "back.pth"
    best = {
        "epe2d": np.array(2.5, np.float32),
        "worst": np.array([1, 2], np.int64),
        "at": [3, "things"],
    }
    beside = {"last_epoch": 150, "best_metrics": best}
    dropped = {"optimizer": {"state": np.zeros(2000, np.float32)}, "numbers": {7: 1.0}}
    tensors = official_tensors(NETWORK)
    write_checkpoint(path, tensors, "state_dict", beside={**beside, **dropped})
    convert.save(tmp_path / "ours", convert.from_file(path, NETWORK))
    convert.to_file(back, convert.load(tmp_path / "ours"), NETWORK)
    found = read_checkpoint(back)
    assert list(found.tensors) == list(tensors)
    assert found.rest.keys() == {"last_epoch", "best_metrics"}
    assert found.rest["last_epoch"] == 150
    metrics = found.rest["best_metrics"]
    for name in ("epe2d", "worst"):
        assert metrics[name].dtype == best[name].dtype
        assert metrics[name].tolist() == best[name].tolist()
    assert metrics["at"] == best["at"]
    variables = convert.load(tmp_path / "ours").variables
    initial = convert.official_tensors(read_checkpoint(path), NETWORK)
    convert.to_file(back, convert.from_run(variables, NETWORK, "run", initial), NETWORK)
    assert read_checkpoint(back).rest == {}


def test_what_a_run_from_scratch_lacks_is_named(official, tmp_path, capsys):
    workdir, out = trained(tmp_path / "run"), tmp_path / "out.pth"
    argv = ["convert", "toy/small", str(workdir), str(out)]
    line = refused(capsys, *argv)
    assert "lacks norm.num_batches_tracked of toy/small's official files" in line
    assert "--initial" in line
    assert "no averaged weights there" in refused(capsys, *argv, "--weights=ema")
    assert "nowhere.pth: no such file" in refused(capsys, *argv, "--initial=nowhere.pth")
    assert not out.exists()
    assert main([*argv, f"--initial={official}"]) == 0
    assert read_checkpoint(out).tensors["norm.num_batches_tracked"] == 7
    # A folder that was converted does as well, and so does a value that the network knows.
    assert main(["convert", "toy/small", str(official), str(tmp_path / "ours")]) == 0
    assert main([*argv[:3], str(tmp_path / "again.pth"), f"--initial={tmp_path / 'ours'}"]) == 0
    assert (tmp_path / "again.pth").read_bytes() == out.read_bytes()
    known = [dataclasses.replace(e, value=None if e.path else 0) for e in ENTRIES]
    network = dataclasses.replace(NETWORK, entries=known)
    variables = Checkpoints(workdir).read_variables(2)
    unused = convert.from_run(variables, network, "run").unused["norm.num_batches_tracked"]
    assert (unused.dtype, unused) == (np.int64, 0)
    for option in ("--weights=raw", f"--initial={official}"):
        assert "is no run's workdir" in refused(
            capsys, "convert", "toy/small", official, out, option
        )


def test_a_memory_of_a_run_is_not_read(monkeypatch, tmp_path):
    asked = {}

    def read(workdir, **options):
        asked.update(options)
        raise InputError("read")

    monkeypatch.setattr(loading, "read_workdir", read)
    with pytest.raises(InputError, match="read"):
        loading.official_from_run("toy/small", tmp_path)
    assert asked["without"] == ("memory",)


def test_the_part_of_a_run_that_the_network_is():
    def tree(*modules):
        return {"norm": {"bias": np.zeros(16)}, **{m: {"bias": np.ones(2)} for m in modules}}

    entries = [Entry("norm.bias", (16,), "params/norm/bias")]
    network = dataclasses.replace(NETWORK, entries=entries)
    for params in (tree("teacher"), {"planner": tree(), "teacher": tree("head")}):
        variables = {"params": params, "memory": {"bank": np.zeros(3)}}
        assert list(flatten(convert.part_of_network(variables, network))) == ["params/norm/bias"]
    # Of a module that the network knows, nothing stays behind unseen.
    params = {"norm": {"bias": np.zeros(16), "scale": np.zeros(16)}}
    part = convert.part_of_network({"params": params}, network)
    assert set(flatten(part)) == {"params/norm/bias", "params/norm/scale"}


def test_the_entry_that_a_file_was_read_from_is_said(tmp_path, capsys):
    from jaxvision.weights.torch_writer import write_torch_file

    raw, averaged = official_tensors(NETWORK), official_tensors(NETWORK, "float16")
    path = tmp_path / "both.pth"
    write_torch_file(path, {"epoch": 3, "model": raw, "state_dict_ema": averaged})
    assert main(["convert", "toy/small", str(path), str(tmp_path / "raw.pkl")]) == 0
    said = "both.pth: entry 'model'; --entry would take 'state_dict_ema'"
    assert said in capsys.readouterr().out
    assert read_checkpoint(tmp_path / "raw.pkl").tensors["table"].dtype == np.float32
    argv = ["convert", "toy/small", str(path), str(tmp_path / "ema.pth")]
    assert main([*argv, "--entry=state_dict_ema"]) == 0
    assert read_checkpoint(tmp_path / "ema.pth").tensors["table"].dtype == np.float16
    line = refused(capsys, *argv, "--entry=state_dict_em")
    assert "no tensors under 'state_dict_em'; did you mean 'state_dict_ema'?" in line
    (tmp_path / "folder").mkdir()
    line = refused(capsys, *argv[:2], tmp_path / "folder", tmp_path / "x.pth", "--entry=model")
    assert "is a folder" in line


@pytest.mark.parametrize(
    ("dtype", "said"),
    [("float31", "no tensor of 'float31'"), ("O", "dtype 'O'; expected one of numbers")],
)
def test_a_record_edited_by_hand_is_refused_by_key(official, tmp_path, capsys, dtype, said):
    folder = tmp_path / "converted"
    assert main(["convert", "toy/small", str(official), str(folder)]) == 0
    record = json.loads((folder / "conversion.json").read_text())
    record["beside"] = {"best": [{"dtype": dtype, "values": [1.0]}]}
    (folder / "conversion.json").write_text(json.dumps(record))
    line = refused(capsys, "convert", "toy/small", folder, tmp_path / "back.pth")
    assert f"{folder / 'conversion.json'}: beside.best[0]: {said}" in line
