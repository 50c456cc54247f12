"""Processes compared before JAX starts: missing ones, wrong addresses, disagreement."""

import socket
import threading
import time

import pytest

from jaxvision.errors import InputError
from jaxvision.training import rendezvous
from jaxvision.training.rendezvous import check_peers, disagreement, split_address
from processes import SMALL, finish, start


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check(port, count, number, settings=None, seconds=10.0):
    address = f"127.0.0.1:{port}"
    check_peers(
        settings or {}, address=address, bind=address, number=number, count=count, seconds=seconds
    )


def gather(port, peers, seconds=10.0):
    """check(*peer) of each in a thread of its own; {index: message or ""}."""
    answers = {}

    def come(index, peer):
        try:
            check(port, *peer, seconds=seconds)
            answers[index] = ""
        except InputError as error:
            answers[index] = str(error)

    threads = [
        threading.Thread(target=come, args=(index, peer)) for index, peer in enumerate(peers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return answers


def test_all_come_and_agree_and_the_port_is_free_again(port):
    settings = {"config.seed": 0, "jax": "0.10"}
    assert gather(port, [(3, number, settings) for number in (2, 1, 0)]) == {0: "", 1: "", 2: ""}
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))


def test_disagreement_is_said_to_all(port):
    peers = [(3, 0, {"seed": 0}), (3, 1, {"seed": 0}), (3, 2, {"seed": 7, "jax": "0.11"})]
    message = (
        "processes disagree: jax: None in process 0, '0.11' in process 2; "
        "seed: 0 in process 0, 7 in process 2"
    )
    assert gather(port, peers) == dict.fromkeys(range(3), message)


def test_many_differences_are_cut_short():
    text = disagreement({0: {f"k{n}": 0 for n in range(20)}, 1: {f"k{n}": 1 for n in range(20)}})
    assert text.count("in process 1") == 8
    assert text.endswith("; and 12 more")


def test_the_missing_are_named(port):
    answers = gather(port, [(4, 0, {}), (4, 2, {})], seconds=1)
    message = f"processes 1, 3 of 4 did not connect to 127.0.0.1:{port} within 1 s"
    assert answers == {0: message, 1: message}


def test_two_with_one_number(port):
    answers = gather(port, [(4, 0, {}), (4, 1, {}), (4, 1, {})], seconds=2)
    assert "process number 1 was given twice: to " in answers[0]


def test_two_with_different_counts(port):
    answers = gather(port, [(2, 0, {}), (3, 1, {})], seconds=2)
    assert answers[0] == "process 1 was started as one of 3, process 0 as one of 2"


def test_one_that_left_may_come_again_and_strangers_do_not_disturb(port):
    address = ("127.0.0.1", port)
    host = threading.Thread(target=check, args=(port, 2, 0))
    host.start()
    for greeting in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff\n", b'{"number": "x"}\n', b""):
        deadline = time.monotonic() + 5
        while True:
            try:
                with socket.create_connection(address, timeout=1) as stranger:
                    stranger.sendall(greeting)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
    check(port, 2, 1)
    host.join(timeout=10)
    assert not host.is_alive()


def test_wrong_coordinator_address(port):
    with pytest.raises(InputError, match=r"process 1 could not reach process 0 at 127.0.0.1:\d+"):
        check(port, 2, 1, seconds=0.5)
    for address in ("nowhere", "host:", "host:0", "host:70000", ":1"):
        with pytest.raises(InputError, match="expected HOST:PORT"):
            split_address(address)
    assert split_address("[fe80::1]:12") == ("fe80::1", 12)
    assert split_address("fe80::1:12") == ("fe80::1", 12)


def test_the_port_is_taken(port):
    taken = socket.create_server(("127.0.0.1", port))
    with taken, pytest.raises(InputError, match="cannot listen: Address already in use"):
        check(port, 2, 0, seconds=1.0)


def test_everything_listens_on_both_families(port):
    with rendezvous._listen("::", port):
        for host in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
            socket.create_connection((host, port), timeout=2).close()


@pytest.mark.xdist_group("processes")
def test_the_command_line_refuses_in_one_line(port, tmp_path):
    def process(number, *overrides):
        return start(
            "train",
            "--config=videomae/demo",
            *SMALL,
            *overrides,
            f"--workdir={tmp_path}",
            JAX_COORDINATOR_ADDRESS=f"127.0.0.1:{port}",
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(number),
            JAXVISION_START_SECONDS="60",
        )

    group = [process(0), process(1, "--config.train.steps=7")]
    for status, _, err in map(finish, group):
        assert status == 2
        (line,) = err.splitlines()
        assert line.startswith("jaxvision: error: processes disagree: config.train.steps: ")
        assert line.endswith("7 in process 1")
    assert not list(tmp_path.iterdir()), "refused before anything is written"
