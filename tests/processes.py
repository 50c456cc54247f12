"""Running the command line in processes of its own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from jaxvision.training.compilation import OLDER_EMITTERS, as_flags

ROOT = Path(__file__).resolve().parents[1]

# The demo's recipe, small enough to start in seconds.
SMALL = [
    "--config.model.frames=4",
    "--config.model.image_size=(16,16)",
    "--config.model.tubelet=2",
    "--config.model.patch=8",
    "--config.model.width=32",
    "--config.model.heads=2",
    "--config.model.depth=2",
    "--config.model.decoder_width=16",
    "--config.model.decoder_heads=2",
    "--config.model.decoder_depth=1",
    "--config.model.cosine_attention=False",
    "--config.model.remat=none",
    "--config.task.encoder_mask_ratio=0.75",
    "--config.task.decoder_mask_ratio=0.5",
    "--config.task.normalise_clip=False",
    "--config.task.probe=False",
    "--config.train.batch_size=8",
    "--config.log.every_steps=1",
    "--config.log.pictures_every_steps=0",
    "--config.evaluate.every_steps=0",
]


def start(*arguments: str, devices: int = 1, **environment: str) -> subprocess.Popen:
    """`python -m jaxvision ...` on `devices` simulated devices, its output kept."""
    quick = {"xla_backend_optimization_level": 0, **OLDER_EMITTERS}
    flags = f"--xla_force_host_platform_device_count={devices} {as_flags(quick)}"
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": flags,
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "jaxvision", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen, timeout: float = 600) -> tuple[int, str, str]:
    """(exit status, stdout, stderr)."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def run(*arguments: str, **options) -> tuple[int, str, str]:
    return finish(start(*arguments, **options))


def start_group(count: int, *arguments: str) -> list[subprocess.Popen]:
    """The same command in `count` processes that find each other over loopback."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [
        start(
            *arguments,
            JAX_COORDINATOR_ADDRESS=f"localhost:{port}",
            JAX_NUM_PROCESSES=str(count),
            JAX_PROCESS_ID=str(number),
        )
        for number in range(count)
    ]


def logged(workdir: Path, name: str = "loss") -> dict[int, float]:
    """{step: value} from a run's metrics.jsonl; the last word on a step that was run twice. A line
    that is being written does not count yet."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines if line.endswith("\n")]
    return {row["step"]: row[name] for row in rows if name in row}
