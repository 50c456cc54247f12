"""Fetching a published file: once, to its end, the same ever after; one line for what cannot be.

Every request goes to a server on the loopback address.
"""

import hashlib
import json
import time

import pytest

from downloads.file_server import FileServer
from jaxvision.downloads import over_http
from jaxvision.downloads.published_file import PublishedFile, fetch
from jaxvision.errors import InputError

CONTENT = bytes(range(256)) * 40
HUB_PATH = "/them/net/resolve/main/a/net.pth"


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVISION_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # before another attempt
    with FileServer({"/net.pth": CONTENT, HUB_PATH: CONTENT}).running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def plain(server, path="/net.pth"):
    return PublishedFile("m/n", "net.pth", server.address + path, "MIT", "their page")


def of_hub():
    address = "https://huggingface.co" + HUB_PATH
    return PublishedFile("m/n", "net.pth", address, "MIT", "their page")


def refused(published) -> str:
    with pytest.raises(InputError) as told:
        fetch(published, lambda line: None)
    return str(told.value)


@pytest.mark.parametrize("kind", ["plain", "hub"])
def test_a_file_is_fetched_once_and_told_of_before(server, monkeypatch, kind):
    published = plain(server) if kind == "plain" else of_hub()
    said = []
    where = fetch(published, said.append)
    assert where.read_bytes() == CONTENT
    assert where.name == "net.pth"
    assert "MIT" in said[0]
    assert published.address in said[0]
    assert f"{len(CONTENT):,} bytes, sha256 {hashlib.sha256(CONTENT).hexdigest()}" in said[1]
    before = len(server.asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(published, said.append) == where
    assert (len(server.asked), len(said)) == (before, 2), "nothing is asked or said again"


@pytest.mark.parametrize("kind", ["plain", "hub"])
def test_a_cut_connection_goes_on_where_it_was(server, kind):
    server.cuts = [4000, 3000]
    where = fetch(plain(server) if kind == "plain" else of_hub(), lambda line: None)
    assert where.read_bytes() == CONTENT
    # The hub's library goes on from whole blocks of 10 MB, of which there are none here.
    resumed = ["", "bytes=4000-", "bytes=7000-"]
    assert server.bodies == (resumed if kind == "plain" else ["", "", ""])


def test_a_later_start_goes_on_too(server, monkeypatch):
    monkeypatch.setattr(over_http, "ATTEMPTS", 1)
    server.cuts = [5000, 0]
    assert "5,000 of 10,240 bytes came" in refused(plain(server))
    assert fetch(plain(server), lambda line: None).read_bytes() == CONTENT
    assert server.bodies[-1] == "bytes=5000-"


def test_a_part_of_another_file_is_not_gone_on_with(server, tmp_path):
    where = fetch(plain(server), lambda line: None)
    where.rename(where.with_name("net.pth.part"))
    assert fetch(plain(server), lambda line: None).read_bytes() == CONTENT  # it was whole
    where.rename(where.with_name("net.pth.part"))
    server.files["/net.pth"] = CONTENT[:5000]
    assert "not the file of its first use" in refused(plain(server))
    assert where.read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize("kind", ["plain", "hub"])
def test_another_content_is_refused(server, tmp_path, kind):
    published = plain(server) if kind == "plain" else of_hub()
    where = fetch(published, lambda line: None)
    where.resolve().write_bytes(CONTENT[:-1] + b"x")
    line = refused(published)
    digest = hashlib.sha256(CONTENT).hexdigest()[:12]
    assert f"expected {digest}" in line or f"expected {len(CONTENT):,} bytes, {digest}" in line
    where.resolve().write_bytes(CONTENT)  # another time, the same content
    assert fetch(published, lambda line: None) == where
    notes = json.loads((tmp_path / "ours" / "fetched.json").read_text())
    assert notes[published.address]["modified"] == where.stat().st_mtime_ns


def test_what_the_hub_promised_is_compared(server):
    server.etag = "0" * 64
    assert "expected 000000000000..." in refused(of_hub())


@pytest.mark.parametrize("kind", ["plain", "hub"])
def test_without_a_network_there_is_one_line(server, monkeypatch, kind):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    gone = PublishedFile("m/n", "net.pth", "http://127.0.0.1:1/net.pth", "MIT", "their page")
    published = gone if kind == "plain" else of_hub()
    line = refused(published)
    assert line.startswith(f"{published.address}: cannot be fetched: ")
    assert line.endswith("; by hand: their page")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert refused(published) == (
        "m/n: net.pth is not in the cache, and HF_HUB_OFFLINE asks for no network"
    )


@pytest.mark.parametrize("kind", ["plain", "hub"])
def test_a_file_that_is_gone_is_one_line(server, kind):
    server.files.clear()
    line = refused(plain(server) if kind == "plain" else of_hub())
    assert "cannot be fetched: " in line
    assert "404" in line
    assert len(server.asked) == 1, "the server has answered"


def test_what_lies_behind_a_login_says_where_to_click():
    published = PublishedFile("m/n", "net.pth", by_hand="take it from their drive")
    assert refused(published) == (
        "m/n: net.pth cannot be fetched: take it from their drive; then give its path instead of "
        "the name"
    )
