"""A folder of answers is one job's."""

import pytest

from jaxvision.data.job_folder import job_folder
from jaxvision.errors import InputError


def answer(folder, name="a.png", **job):
    with job_folder(folder, job):
        (folder / name).write_text("answer")


def test_the_same_job_goes_on(tmp_path):
    answer(tmp_path / "out", multiple=2, inputs=["a", "b"])
    answer(tmp_path / "out", "b.png", multiple=2, inputs=["a", "b"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "b.png", "job.json"}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"config": {"multiple": 4}, "inputs": ["a"]}, "config.multiple: 2 there, 4 here"),
        ({"config": {"multiple": 2}, "inputs": ["b"]}, r"inputs: \['a'\] there, \['b'\] here"),
        ({"inputs": ["a"]}, "config: .* there, None here"),
    ],
)
def test_another_jobs_folder_is_refused(tmp_path, other, why):
    answer(tmp_path / "out", config={"multiple": 2}, inputs=["a"])
    with pytest.raises(InputError, match=f"holds another job's answers \\({why}\\)"):
        answer(tmp_path / "out", "b.png", **other)
    assert not (tmp_path / "out" / "b.png").exists()


def test_of_two_configs_the_method_is_named_before_its_settings(tmp_path):
    answer(tmp_path / "out", config={"checkpoint": {"keep": 2}, "method": "link"})
    with pytest.raises(InputError, match=r"\(config\.method: link there, umt here\)"):
        answer(tmp_path / "out", config={"checkpoint": {"keep": 3}, "method": "umt"})


def test_files_of_no_job_are_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds files of no job \(thesis.txt\)"):
        answer(tmp_path, multiple=2)
    assert not (tmp_path / "job.json").exists()


def test_hidden_files_are_nobodys(tmp_path):
    (tmp_path / ".DS_Store").write_text("")
    answer(tmp_path, multiple=2)
    assert (tmp_path / "a.png").exists()


def test_a_job_that_wrote_nothing_leaves_nothing(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    for out in (tmp_path / "new" / "out", mine):
        with pytest.raises(KeyError), job_folder(out, {"multiple": 2}):
            raise KeyError
    assert list(tmp_path.rglob("*")) == [mine]
    answer(tmp_path / "out", multiple=4)
