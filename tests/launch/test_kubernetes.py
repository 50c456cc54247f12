"""The manifests and the Dockerfile: syntax, and that they fit each other and the engine."""

from math import prod
from pathlib import Path

import pytest
import yaml

from jaxvision.cli.main import make_parser
from jaxvision.data.shards import Shard, asked_shard
from jaxvision.training.environments import Layout, detect

FOLDER = Path(__file__).resolve().parents[2] / "launch" / "kubernetes"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()


def job_of(name):
    """(the JobSet, its one job, that job's container)."""
    (jobs,) = yaml.safe_load_all((FOLDER / name).read_text())
    assert (jobs["apiVersion"], jobs["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (job,) = jobs["spec"]["replicatedJobs"]
    (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
    return jobs, job, container


@pytest.mark.parametrize("name", ["gpu_nodes.yaml", "tpu_slices.yaml"])
def test_restarts(name):
    jobs, job, container = job_of(name)
    spec = job["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"]
    assert spec["backoffLimit"] == 0, "one lost pod must fail the job, so that all start again"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [2],
    }
    (rule,) = jobs["spec"]["failurePolicy"]["rules"]
    assert rule["action"] == "FailJobSet"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["template"]["spec"]["volumes"]}


@pytest.mark.parametrize("name", ["gpu_nodes.yaml", "tpu_slices.yaml"])
def test_images_and_arguments_exist(name):
    _, _, container = job_of(name)
    target = container["image"].partition(":")[2]
    assert f" AS {target}\n" in DOCKERFILE
    verb, config, workdir = container["args"]
    assert verb == "train"
    assert (FOLDER.parents[1] / "configs" / f"{config.removeprefix('--config=')}.py").is_file()
    assert workdir.startswith(container["volumeMounts"][0]["mountPath"].join(["--workdir=", "/"]))


def test_gpu_pods_find_each_other():
    jobs, job, container = job_of("gpu_nodes.yaml")
    environment = {v["name"]: v["value"] for v in container["env"] if "value" in v}
    (named,) = [v for v in container["env"] if "valueFrom" in v]
    assert "jobset-name" in named["valueFrom"]["fieldRef"]["fieldPath"]
    reference = f"$({named['name']})"
    variables = {k: v.replace(reference, jobs["metadata"]["name"]) for k, v in environment.items()}
    spec = job["template"]["spec"]
    found = detect({**variables, "JOB_COMPLETION_INDEX": "1"})
    # JobSet's names: <jobset>-<job>-<index of the job>-<index of the pod>.<jobset>
    name = jobs["metadata"]["name"]
    address = f"{name}-{job['name']}-0-0.{name}:1234"
    assert found == Layout("Kubernetes", address, spec["completions"], 1)
    assert job["replicas"] == 1, "more would number their pods from 0 again"


def test_tpu_hosts_fill_the_topology():
    jobs, job, container = job_of("tpu_slices.yaml")
    spec = job["template"]["spec"]
    selector = spec["template"]["spec"]["nodeSelector"]
    chips = prod(map(int, selector["cloud.google.com/gke-tpu-topology"].split("x")))
    assert spec["completions"] * container["resources"]["limits"]["google.com/tpu"] == chips
    assert any(key.endswith("exclusive-topology") for key in jobs["metadata"]["annotations"])


def test_dockerfile():
    targets = {line.split()[-1] for line in DOCKERFILE.splitlines() if line.startswith("FROM")}
    assert targets == {"base", "cpu", "cuda", "tpu"}
    for line in DOCKERFILE.splitlines():
        if line.startswith("COPY"):
            for name in line.split()[1:-1]:
                assert (FOLDER.parents[1] / name).exists(), name
        if "pip install" in line:
            assert "-c constraints.txt" in line


def test_shards_are_those_of_an_indexed_job():
    job = yaml.safe_load((FOLDER / "shards.yaml").read_text())
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    environment = {v["name"]: v["value"] for v in container["env"]}
    assert spec["completionMode"] == "Indexed"
    count = spec["completions"]
    arguments = make_parser().parse_args(container["args"])
    for index in (0, count - 1):
        pod = {**environment, "JOB_COMPLETION_INDEX": str(index)}
        assert asked_shard(arguments.shard, pod) == Shard(index + 1, count)
        assert detect(pod) is None, "each pod is a run of its own"
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailIndex"
    assert rule["onExitCodes"]["containerName"] == container["name"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    assert f" AS {container['image'].partition(':')[2]}\n" in DOCKERFILE
