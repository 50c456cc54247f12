"""`jaxvision tour`: every built method has its place, one that fails leaves the others alone."""

import contextlib
import html
import re

import pytest

from jaxvision.cli.main import main
from jaxvision.downloads.shipped import shipped
from jaxvision.methods.sparseformer import tour as sparseformer
from jaxvision.registry import METHODS, tour_stops
from jaxvision.training.config import recipes

# Whose weights come later: what is shipped is taken off this list.
WAITING: tuple[str, ...] = ()
BUILT = [name for name, method in METHODS.items() if method.status != "planned"]


@pytest.mark.parametrize("method", BUILT)
def test_every_built_method_is_on_it(method):
    stops = tour_stops(method)
    assert stops, f"jaxvision/methods/{method}/tour.py: expected STOPS"
    for stop in stops:
        assert stop.name.startswith(method)
        assert stop.weights in recipes()
        assert (shipped(stop.weights) is None) == (stop.weights in WAITING), stop.weights
        assert re.search("made|real", stop.given), "whether it is real or made"


def test_stops_have_folders_of_their_own():
    names = [stop.name for method in METHODS for stop in tour_stops(method)]
    assert len(set(names)) == len(names)


@pytest.mark.xdist_group("cli")
def test_a_method_shows_what_it_read(tmp_path, capsys, monkeypatch):
    def broken(config, folder):
        raise ValueError("no\nsuch picture")

    (stop,) = sparseformer.STOPS
    others = (stop, type(stop)(**{**vars(stop), "name": "sparseformer_2", "write": broken}))
    monkeypatch.setattr(sparseformer, "STOPS", others)
    monkeypatch.setattr(sparseformer, "DIGITS", 20)
    out = tmp_path / "tour"
    assert main(["tour", f"--out={out}", "--only=sparseformer"]) == 1
    said = capsys.readouterr()
    assert re.match(r"\[1/1\] sparseformer: no such picture \(\d+ s\)\n", said.out)
    page = (out / "index.html").read_text()
    assert page.count("data:image/webp;base64,") == sparseformer.DRAWN
    assert re.search(r"<dt>(20|19|18) of 20</dt>", page)
    assert "No answer: no such picture" in page
    assert shipped("sparseformer/demo").told in html.unescape(page)
    command = f"jaxvision predict --config sparseformer/demo --weights sparseformer/demo {out}"
    assert command in html.unescape(page)
    # The folder is taken now.
    assert main(["tour", f"--out={out}", "--only=sparseformer"]) == 2
    assert f"{out}: is there and not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only=sparsformer"], "--only 'sparsformer'; did you mean 'sparseformer'?"),
        (["--config.seed=1"], "--config.seed=1: a tour takes its demos as they are"),
        (["--out=gs://a/b"], "expected a folder"),
        (["--out=/proc/a"], "/proc/a: nothing can be made in /proc"),
    ],
)
def test_bad_input_is_one_line(words, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(SystemExit):  # argparse's own
        assert main(["tour", *words]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
