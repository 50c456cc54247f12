"""Where a workdir may be."""

from pathlib import Path

import pytest

from jaxvision.cli.main import main
from jaxvision.cli.options import mounted_folder


def test_object_storage_without_a_mount_is_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["train", "--config=videomae/demo", "--workdir=gs://bucket/run"])
    assert end.value.code == 2
    assert "mount object storage first" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())
    assert mounted_folder("runs/a") == Path("runs/a")
