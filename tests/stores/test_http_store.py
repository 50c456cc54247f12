"""A server on this machine that gives files, refuses them, or breaks off in the middle."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import numpy as np
import pytest

from cli.test_shards import Labels
from jaxvision import loading
from jaxvision.cli.main import main
from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to

CONTENT = b"1234567890"
STATUS = {"secret.txt": 403, "none.txt": 404, "busy.txt": 503}


class Files(BaseHTTPRequestHandler):
    """Every name is a file of CONTENT, but those of STATUS, and cut.txt, of which three bytes
    come."""

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        self.send_response(STATUS.get(name, 200))
        self.send_header("Content-Length", str(0 if name in STATUS else len(CONTENT)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command == "GET" and name not in STATUS:
            self.wfile.write(CONTENT[:3] if name == "cut.txt" else CONTENT)
        self.close_connection = True

    do_HEAD = do_GET  # noqa: N815 - its name is the protocol's

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_address[1]}"
    serving.shutdown()
    thread.join()
    serving.server_close()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXVISION_CACHE", str(tmp_path / "cache"))
    fsspec.get_filesystem_class("http").clear_instance_cache()
    return tmp_path / "cache"


def test_a_file_comes_whole(server, cache):
    path = path_to(f"{server}/whole.txt")
    assert path.is_file()
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("secret.txt", r"not allowed \(403\)"),
        ("none.txt", r"no such file \(404\)"),
        ("busy.txt", "503"),
        ("cut.txt", "3 of 10|not completed|payload"),
    ],
)
def test_what_does_not_come_is_told_in_a_line(server, cache, name, said):
    with pytest.raises(InputError, match=rf"^{server}/{name}: .*({said})") as told:
        path_to(f"{server}/{name}").read_bytes()
    assert "\n" not in str(told.value)
    assert not [path for path in cache.rglob("*") if path.is_file()], "nothing half-written"


def test_a_server_that_is_not_there(cache):
    with pytest.raises(InputError, match=r"^http://127.0.0.1:1/a.txt: cannot be read: .*Connect"):
        path_to("http://127.0.0.1:1/a.txt").exists()


def test_a_command_answers_what_comes_and_names_what_does_not(
    server, cache, tmp_path, monkeypatch, capsys
):
    task = Labels()
    monkeypatch.setattr(loading, "load_run", lambda *_, **__: (task, None, {"w": np.ones(2)}))
    argv = ["--config=pdpp/demo", "--weights=none", f"--out={tmp_path / 'out'}"]
    assert main(["predict", f"{server}/whole.txt", f"{server}/cut.txt", *argv]) == 2
    said = capsys.readouterr().err
    assert "1 of 2 inputs could not be answered" in said
    assert f"{server}/cut.txt: cannot be read: " in said
    assert "Traceback" not in said
    assert task.asked == ["whole.txt", "cut.txt"]
    assert main(["predict", f"{server}/secret.txt", *argv[:2], f"--out={tmp_path / 'no'}"]) == 2
    assert "not allowed (403)" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "no").exists()
