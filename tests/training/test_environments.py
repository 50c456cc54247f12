"""Which processes make up a run, from made-up environments."""

import functools
import http.server
import threading

import pytest

from jaxvision.errors import InputError
from jaxvision.training.environments import (
    Layout,
    detect,
    first_host,
    read_attribute,
    tasks_on_node,
)

SLURM = {
    "SLURM_JOB_ID": "1234",
    "SLURM_STEP_ID": "0",
    "SLURM_NTASKS": "16",
    "SLURM_PROCID": "11",
    "SLURM_LOCALID": "3",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_STEP_TASKS_PER_NODE": "8(x2)",
    "SLURM_GPUS_ON_NODE": "8",
    "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "CUDA_VISIBLE_DEVICES": "0,1",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
}


def without(environment, *names):
    return {name: value for name, value in environment.items() if name not in names}


def test_alone():
    assert detect({}) is None
    assert detect({"JAX_NUM_PROCESSES": "1"} | SLURM) is None
    assert detect(without(SLURM, "SLURM_STEP_NODELIST") | {"SLURM_NTASKS": "1"}) is None
    assert detect({"OMPI_COMM_WORLD_SIZE": "1"}) is None
    assert detect({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}) is None
    assert detect({"TPU_WORKER_HOSTNAMES": "WARNING: could not determine them, set it"}) is None


def test_variables():
    variables = {
        "JAX_COORDINATOR_ADDRESS": "a:1",
        "JAX_NUM_PROCESSES": "3",
        "JAX_PROCESS_ID": "2",
    }
    assert detect(variables) == Layout("JAX_* variables", "a:1", 3, 2)
    assert detect(variables | SLURM) == Layout("JAX_* variables", "a:1", 3, 2)
    for name in variables:
        if name != "JAX_COORDINATOR_ADDRESS":
            with pytest.raises(InputError, match="belong together"):
                detect(without(variables, name))
    with pytest.raises(InputError, match="belong together"):
        detect(variables | {"JAX_NUM_PROCESSES": "three"})
    with pytest.raises(InputError, match="JAX_PROCESS_ID=3: expected less than"):
        detect(variables | {"JAX_PROCESS_ID": "3"})


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node001", "node001"),
        ("node001,host2", "node001"),
        ("node[001-0015],host2", "node001"),
        ("gpu-[7,9-12]", "gpu-7"),
        ("r[1-2]n[03-04]-ib", "r1n03-ib"),
    ],
)
def test_first_host(nodes, first):
    assert first_host(nodes) == first


def test_tasks_on_node():
    assert [tasks_on_node("8(x2),2", node) for node in range(3)] == [8, 8, 2]
    assert tasks_on_node("4", 0) == 4


def test_slurm_gives_each_task_its_gpu():
    assert detect(SLURM) == Layout("SLURM", "gpu07:62674", 16, 11, (3,))
    # Bound by --gpus-per-task: the one that the task sees.
    bound = SLURM | {"CUDA_VISIBLE_DEVICES": "3"}
    assert detect(bound).devices == (0,)
    assert detect(bound | {"SLURM_GPUS_ON_NODE": "1"}).devices == (0,)
    # Another step of the job on the same node must not meet the first.
    assert detect(SLURM | {"SLURM_STEP_ID": "1"}).address == "gpu07:62675"
    assert detect(SLURM | {"JAX_COORDINATOR_ADDRESS": "ib0:9"}).address == "ib0:9"


def test_slurm_without_gpus():
    cpu = without(SLURM, "SLURM_GPUS_ON_NODE") | {"CUDA_VISIBLE_DEVICES": ""}
    assert detect(cpu).devices is None


@pytest.mark.parametrize("more", [{}, {"CUDA_VISIBLE_DEVICES": "0"}])
@pytest.mark.parametrize("tasks", ["1", "4"])
def test_slurm_layout_that_leaves_gpus_idle_is_refused(tasks, more):
    layout = {
        "SLURM_NTASKS": str(2 * int(tasks)),
        "SLURM_PROCID": "1",
        "SLURM_STEP_TASKS_PER_NODE": f"{tasks}(x2)",
    }
    with pytest.raises(InputError, match=r"on a node with 8 GPUs.*--ntasks-per-node=8") as error:
        detect(SLURM | layout | more)
    assert "\n" not in str(error.value)


def test_slurm_without_srun_is_refused():
    with pytest.raises(InputError, match=r"16 tasks.*put srun before the command"):
        detect(without(SLURM, "SLURM_STEP_NODELIST"))


def test_open_mpi():
    found = detect(OPEN_MPI)
    assert (found.source, found.count, found.number, found.devices) == ("Open MPI", 4, 3, (1,))
    host, port = found.address.split(":")
    assert host == "10.96.0.1"
    assert 61440 <= int(port) < 65536
    six = {"OMPI_MCA_orte_hnp_uri": "13.0;tcp6://[fe80::b9b,2620:10d::2]:43370"}
    assert detect(OPEN_MPI | six).address.startswith("fe80::b9b:")
    # One machine needs no name; several need one that Open MPI 5 does not tell.
    five = without(OPEN_MPI, "OMPI_MCA_orte_hnp_uri") | {"PMIX_NAMESPACE": "prterun-a-1@1"}
    one = {"OMPI_COMM_WORLD_LOCAL_SIZE": "4", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    assert detect(five | one).address.startswith("127.0.0.1:")
    with pytest.raises(InputError, match="mpirun -x JAX_COORDINATOR_ADDRESS"):
        detect(five)
    assert detect(five | {"JAX_COORDINATOR_ADDRESS": "a:1"}).address == "a:1"


def test_open_mpi_layout_that_leaves_gpus_idle_is_refused():
    with pytest.raises(InputError, match=r"2 processes on a node with 8 GPUs.*--npernode 8"):
        detect(OPEN_MPI | {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"})


def test_kubernetes():
    pod = {
        "JOB_COMPLETION_INDEX": "2",
        "JAX_NUM_PROCESSES": "4",
        "JAX_COORDINATOR_ADDRESS": "train-nodes-0-0.train:1234",
    }
    assert detect(pod) == Layout("Kubernetes", "train-nodes-0-0.train:1234", 4, 2)
    for name in ("JAX_NUM_PROCESSES", "JAX_COORDINATOR_ADDRESS"):
        with pytest.raises(InputError, match=r"pod 2 of a Kubernetes indexed job"):
            detect(without(pod, name))


def test_tpu_on_kubernetes():
    pod = {
        "JOB_COMPLETION_INDEX": "3",
        "TPU_WORKER_HOSTNAMES": "s-0.x,s-1.x,s-2.x,s-3.x",
        "TPU_WORKER_ID": "3",
    }
    assert detect(pod) == Layout("Cloud TPU", "s-0.x:8482", 4, 3)
    second = {
        "MEGASCALE_NUM_SLICES": "2",
        "MEGASCALE_SLICE_ID": "1",
        "MEGASCALE_COORDINATOR_ADDRESS": "first-0.x:8080",
    }
    assert detect(pod | second) == Layout("Cloud TPU", "first-0.x:8482", 8, 7)
    assert detect(without(pod, "JOB_COMPLETION_INDEX") | {"JAX_PLATFORMS": "cpu"}) is None


TPU_VM = {
    "worker-network-endpoints": "unknown:unknown:10.0.0.5,unknown:unknown:10.0.0.6",
    "agent-worker-number": "1",
    "tpu-env": "TYPE: 'v5e'\nMEGASCALE_NUM_SLICES: '2'\nMEGASCALE_SLICE_ID: '1'\n"
    "MEGASCALE_COORDINATOR_ADDRESS: '10.0.0.2'\n",
}


def test_tpu_vm():
    assert detect({}, TPU_VM.get) == Layout("Cloud TPU", "10.0.0.2:8482", 4, 3)
    single = without(TPU_VM, "tpu-env")
    assert detect({}, single.get) == Layout("Cloud TPU", "10.0.0.5:8482", 2, 1)
    names = single | {"worker-network-endpoints": "t-w0,t-w1"}
    assert detect({}, names.get).address == "t-w0:8482"
    assert detect({}, {}.get) is None


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        value = TPU_VM.get(self.path.removeprefix("/computeMetadata/v1/instance/attributes/"))
        known = value is not None and self.headers["Metadata-Flavor"] == "Google"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write((value or "").encode())

    def log_message(self, *_):
        pass


def test_metadata_server():
    with http.server.HTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        read = functools.partial(read_attribute, f"127.0.0.1:{server.server_port}")
        assert detect({}, read) == Layout("Cloud TPU", "10.0.0.2:8482", 4, 3)
        assert read("no-such-attribute") is None
        server.shutdown()
