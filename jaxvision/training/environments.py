"""Which processes make up this run, read from the variables that a scheduler sets.

In this order: the three JAX_* variables, Cloud TPU, SLURM, Open MPI, Kubernetes indexed jobs.
JAX finds some of these itself, but under SLURM it gives one GPU to each process, however many the
node has; here a layout that would leave GPUs idle is refused.
"""

import re
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxvision.errors import InputError

Environment = Mapping[str, str]
Metadata = Callable[[str], str | None]

FIRST_PORT, PORTS = 61440, 4096  # for the coordinator, by the number of the job
TPU_PORT = 8482
GOOGLE_VENDOR = "0x1ae0"


@dataclass(frozen=True)
class Layout:
    """The place of this process among those of its run.

    source: where it was read.  address: HOST:PORT of process 0.  devices: numbers of the machine's
    accelerators that are this process's own; None for all.
    """

    source: str
    address: str
    count: int
    number: int
    devices: tuple[int, ...] | None = None


def detect(environment: Environment, metadata: Metadata | None = None) -> Layout | None:
    """The layout of a run of several processes; None where this one is alone.

    metadata: reads an attribute of a TPU VM; None anywhere else.

    InputError where the environment contradicts itself or would leave GPUs idle.
    """
    if environment.get("JAX_NUM_PROCESSES") == "1":
        return None
    named = "JAX_COORDINATOR_ADDRESS" in environment and "JAX_PROCESS_ID" in environment
    # A Kubernetes job numbers its pods itself, and the manifest says the rest.
    if named or "JOB_COMPLETION_INDEX" not in environment:
        found = from_variables(environment)
        if found is not None:
            return found
    found = (
        from_tpu(environment, metadata)
        or from_slurm(environment)
        or from_open_mpi(environment)
        or from_kubernetes(environment)
    )
    return found if found is not None and found.count > 1 else None


def from_variables(environment: Environment) -> Layout | None:
    """JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."""
    address = environment.get("JAX_COORDINATOR_ADDRESS")
    numbers = [environment.get(name) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")]
    if numbers == [None, None]:
        return None  # the address alone goes with a scheduler's numbers
    if address is None or not all(text is not None and text.isdecimal() for text in numbers):
        raise InputError(
            "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID belong together: "
            f"expected HOST:PORT and two numbers, got {address!r}, {numbers[0]!r}, {numbers[1]!r}"
        )
    count, number = (int(str(text)) for text in numbers)
    if number >= count:
        raise InputError(f"JAX_PROCESS_ID={number}: expected less than JAX_NUM_PROCESSES={count}")
    return Layout("JAX_* variables", address, count, number)


def from_tpu(environment: Environment, metadata: Metadata | None) -> Layout | None:
    """A TPU slice, or several: GKE puts its place in the environment, GCE in the VM's metadata."""
    if "tpu" not in environment.get("JAX_PLATFORMS", "tpu"):
        return None
    hosts = environment.get("TPU_WORKER_HOSTNAMES")
    if hosts is not None and " " in hosts:
        hosts = None  # libtpu leaves a sentence there, for its children too, where it finds no TPU
    worker = environment.get("TPU_WORKER_ID", "0")
    described: dict[str, str] = {}
    if hosts is None:
        if metadata is None or (hosts := metadata("worker-network-endpoints")) is None:
            return None
        worker = metadata("agent-worker-number") or "0"
        lines = (line.partition(":") for line in (metadata("tpu-env") or "").splitlines())
        described = {key.strip(): value.strip().strip("'") for key, _, value in lines}
    described = {**described, **environment}
    # An endpoint is a name, or name:id:ip.
    names = [host.split(":")[-1].strip() for host in hosts.split(",")]
    slices = int(described.get("MEGASCALE_NUM_SLICES") or 1)
    number = int(described.get("MEGASCALE_SLICE_ID") or 0) * len(names) + int(worker)
    first = (described.get("MEGASCALE_COORDINATOR_ADDRESS") or names[0]).split(":")[0]
    return Layout("Cloud TPU", f"{first}:{TPU_PORT}", slices * len(names), number)


def from_slurm(environment: Environment) -> Layout | None:
    """A step that srun started: one task per GPU on GPU nodes."""
    tasks = int(environment.get("SLURM_NTASKS") or 1)
    if "SLURM_JOB_ID" not in environment or tasks == 1:
        return None
    nodes = environment.get("SLURM_STEP_NODELIST")
    if nodes is None or "SLURM_PROCID" not in environment:
        raise InputError(
            f"SLURM gave this job {tasks} tasks, but this process was not started by srun: "
            "put srun before the command, or set JAX_NUM_PROCESSES=1 to run alone"
        )
    node = int(environment.get("SLURM_NODEID") or 0)
    here = tasks_on_node(
        environment.get("SLURM_STEP_TASKS_PER_NODE")
        or environment.get("SLURM_TASKS_PER_NODE")
        or str(tasks),
        node,
    )
    job, step = int(environment["SLURM_JOB_ID"]), int(environment.get("SLURM_STEP_ID") or 0)
    return Layout(
        "SLURM",
        environment.get("JAX_COORDINATOR_ADDRESS")
        or f"{first_host(nodes)}:{FIRST_PORT + (job + step) % PORTS}",
        tasks,
        int(environment["SLURM_PROCID"]),
        one_gpu_each(
            here,
            int(environment.get("SLURM_LOCALID") or 0),
            visible_gpus(environment),
            int(environment.get("SLURM_GPUS_ON_NODE") or 0),
            "SLURM runs {tasks} on a node with {gpus} GPUs: one process per GPU is needed; "
            "use --ntasks-per-node={gpus} with --gpus-per-node={gpus}",
        ),
    )


def from_open_mpi(environment: Environment) -> Layout | None:
    """A process that mpirun started."""
    count = int(environment.get("OMPI_COMM_WORLD_SIZE") or 1)
    if count == 1:
        return None
    here = int(environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") or count)
    address = environment.get("JAX_COORDINATOR_ADDRESS")
    if address is None:
        uri = environment.get("OMPI_MCA_orte_hnp_uri", "")
        job = uri.split(";")[0] or environment.get("PMIX_NAMESPACE", "")
        host = re.search(r"tcp6?://\[?([^,\]]+?)(?:,|\]|:\d+$)", uri)
        if here < count and host is None:
            raise InputError(
                "this Open MPI does not say where its first process runs: set "
                "JAX_COORDINATOR_ADDRESS=HOST:PORT (mpirun -x JAX_COORDINATOR_ADDRESS)"
            )
        name = "127.0.0.1" if here == count or host is None else host[1]
        address = f"{name}:{FIRST_PORT + zlib.crc32(job.encode()) % PORTS}"
    return Layout(
        "Open MPI",
        address,
        count,
        int(environment["OMPI_COMM_WORLD_RANK"]),
        one_gpu_each(
            here,
            int(environment["OMPI_COMM_WORLD_LOCAL_RANK"]),
            visible_gpus(environment),
            0,
            "mpirun runs {tasks} on a node with {gpus} GPUs: one process per GPU is needed; "
            "use --npernode {gpus}",
        ),
    )


def from_kubernetes(environment: Environment) -> Layout | None:
    """A pod of an indexed job (a JobSet's are); all devices of the pod belong to it."""
    index = environment.get("JOB_COMPLETION_INDEX")
    if index is None:
        return None
    count = environment.get("JAX_NUM_PROCESSES", "")
    address = environment.get("JAX_COORDINATOR_ADDRESS")
    if address is None or not count.isdecimal():
        raise InputError(
            f"this is pod {index} of a Kubernetes indexed job: set JAX_NUM_PROCESSES to its "
            "completions and JAX_COORDINATOR_ADDRESS to HOST:PORT of pod 0, as in "
            "launch/kubernetes/, or JAX_NUM_PROCESSES=1 to run alone"
        )
    return Layout("Kubernetes", address, int(count), int(index))


def first_host(nodes: str) -> str:
    """The first of SLURM's node list: "gpu[003-007,9],x1" -> "gpu003"."""
    expanded = re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", nodes)
    return expanded.split(",")[0]


def tasks_on_node(counts: str, node: int) -> int:
    """How many tasks SLURM runs on its `node`-th node: "8(x3),2" is 8, 8, 8, 2."""
    expanded: list[int] = []
    for word in counts.split(","):
        number, _, times = word.partition("(x")
        expanded += [int(number)] * int(times.rstrip(")") or 1)
    return expanded[min(node, len(expanded) - 1)]


def visible_gpus(environment: Environment) -> int | None:
    """GPUs that this process may see; None where nothing limits that."""
    listed = environment.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return None
    return len([word for word in listed.split(",") if word.strip() not in ("", "-1", "NoDevFiles")])


def one_gpu_each(
    tasks: int, local: int, visible: int | None, on_node: int, refusal: str
) -> tuple[int, ...] | None:
    """The GPU of the node's `local`-th of `tasks` processes; None where there are none.

    visible: how many this process sees, one where the scheduler has bound it to its own.  on_node:
    how many the job has on the node, 0 if unsaid.
    """
    bound = visible == 1
    gpus = on_node or (tasks if bound else visible if visible is not None else local_gpus())
    if gpus == 0:
        return None
    if bound and on_node == 1:
        gpus = tasks  # counted for the task, not for the node
    if gpus != tasks:
        counted = f"{tasks} process{'es' if tasks > 1 else ''}"
        raise InputError(refusal.format(tasks=counted, gpus=gpus))
    return (0,) if bound else (local,)


def local_gpus() -> int:
    """NVIDIA GPUs that this machine's kernel shows."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def tpu_metadata(host: str = "metadata.google.internal") -> Metadata | None:
    """Reads attributes of this VM where it has TPU chips; None where it has not."""
    vendors = Path("/sys/bus/pci/devices").glob("*/vendor")
    if not any(file.read_text().strip() == GOOGLE_VENDOR for file in vendors):
        return None

    def read(attribute: str) -> str | None:
        return read_attribute(host, attribute)

    return read


def read_attribute(host: str, attribute: str) -> str | None:
    """An attribute of this VM from Google's metadata server, or None where there is none."""
    url = f"http://{host}/computeMetadata/v1/instance/attributes/{attribute}"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    # Never through a proxy: the server answers this machine alone.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return None
