"""Published weights by name, from the command line and from Python."""

import pytest

import jaxvision
from downloads.file_server import FileServer
from jaxvision.cli.main import main
from jaxvision.errors import InputError
from jaxvision.loading import method_of_run, read_named_weights
from jaxvision.networks import locate, published
from jaxvision.registry import METHODS


@pytest.mark.parametrize("method", [name for name in METHODS if published(name)])
def test_every_table_says_how_each_file_can_be_had(method):
    for row in published(method):
        address, by_hand = row.get("address", ""), row.get("by hand", "")
        assert bool(address) != bool(by_hand), row
        assert address == "" or address.startswith("https://")
        assert address == "" or address.endswith(row["file"].rpartition("/")[2])


def test_what_upstream_links_is_what_is_fetched():
    known = {
        row["file"]: row["address"] for m in METHODS for row in published(m) if "address" in row
    }
    for file, address in {
        "vit_b_k710_dl_from_giant.pth": "https://huggingface.co/OpenGVLab/VideoMAE2/resolve/main/"
        "distill/vit_b_k710_dl_from_giant.pth",
        "sparseformer_t_imagenet1k.pth": "https://github.com/showlab/sparseformer/releases/download"
        "/v1.0.0-imagenet/sparseformer_t_imagenet1k.pth",
        "clip-vit-base-patch16/model.safetensors": "https://huggingface.co/openai/"
        "clip-vit-base-patch16/resolve/main/model.safetensors",
        "b16_25m.pth": "https://pjlab-gvm-data.oss-cn-shanghai.aliyuncs.com/umt/multi_modality/"
        "b16_25m.pth",
    }.items():
        assert known[file] == address


def test_a_name_is_fetched_and_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXVISION_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "small.pth").write_bytes(b"no weights")
    path = "/OpenGVLab/VideoMAE2/resolve/main/distill/vit_s_k710_dl_from_giant.pth"
    with FileServer({path: (tmp_path / "small.pth").read_bytes()}).running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        assert main(["fetch", "videomae/vit_s_k710"]) == 0
    out, err = capsys.readouterr()
    assert out.strip().endswith("vit_s_k710_dl_from_giant.pth")
    assert "licence: MIT (repository)" in err
    # The server is gone: what was fetched is what is read, by the network's name and the file's.
    for name in ("videomae/vit_s_k710", "videomae/vit_s_k710_dl_from_giant.pth"):
        assert str(locate(name)) == out.strip()
        with pytest.raises(InputError, match=r"vit_s_k710_dl_from_giant\.pth"):
            read_named_weights(name)


def test_names_that_are_none_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words, expected in (
        (["fetch", "videomae/vit_b_k71"], "no published weights of that name; did you mean 'video"),
        (["fetch", "videomae"], "videomae: expected METHOD/NETWORK; jaxvision list videomae"),
        (["fetch", "videomea/vit_b_k710"], "expected METHOD/NETWORK; did you mean 'videomae'?"),
        (["fetch", "emavfi/base"], "take it from the folder drive.google.com/drive/folders/16jUa3"),
        (["fetch", "umt/language_b_pretrain"], "name one of umt/b16_5m.pth, umt/b16_17m.pth"),
    ):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert expected in err
    with pytest.raises(InputError, match=r"gone\.pth: no such file or folder of weights"):
        read_named_weights("gone.pth")


def test_what_python_is_given_wrong_is_one_line_that_names_it(tmp_path):
    (tmp_path / "folder").mkdir()
    for arguments, expected in (
        (("emavfi",), "emavfi: expected METHOD/NETWORK; jaxvision list emavfi"),
        (("",), "'': expected METHOD/NETWORK; known: camliflow,"),
        (("emavfi/demoo",), "did you mean 'emavfi/demo'?"),
        (("emavfi/demo", None, "float23"), "dtype 'float23'; did you mean 'float32'?"),
        (("emavfi/demo", tmp_path / "folder"), "folder: expected the workdir of a run"),
        (("emavfi/demo", "gone.pth"), "gone.pth: no such file or folder of weights"),
        (("emavfi/demo", ""), "weights: an empty name; expected a file, a folder"),
    ):
        with pytest.raises(InputError) as told:
            jaxvision.load(*arguments)
        assert expected in str(told.value)


def test_weights_of_a_run_whose_config_is_unknown_say_no_method(tmp_path):
    assert method_of_run(tmp_path) == ""
    for config, method in (("{", ""), ('{"method": "umt"}', "umt")):
        (tmp_path / "config.json").write_text(config)
        assert method_of_run(tmp_path) == method
