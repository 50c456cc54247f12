"""A run on a Cloud TPU slice, or several: created, installed, started, watched, resumed, deleted.

    python -m launch.tpu_pod run --name mae --zone us-west4-a --type v5litepod-256 --spot \\
        --setup 'sudo mount -t nfs 10.0.0.2:/share /mnt/share' \\
        -- train --config videomae/vit_g_hybrid_pretrain --workdir /mnt/share/mae

`run` does everything; `create`, `install`, `start`, `logs`, `status`, `stop` and `delete` are its
steps, one at a time. `--slices 4` asks for four slices that train as one. `--dry-run` prints every
command instead of running it. The workdir must be a folder that all workers share; --setup, run on
each worker before the start, is where it is mounted.

exit status: that of the run; 75 where it was preempted more often than --resumes allows.
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STEPS = ("run", "create", "install", "start", "logs", "status", "stop", "delete")
EXIT_BAD_INPUT, EXIT_PREEMPTED, EXIT_SSH = 2, 75, 255
LOST = ("SUSPENDING", "SUSPENDED", "FAILED", "DELETING")
RUNTIMES = {  # https://cloud.google.com/tpu/docs/runtimes
    "v4": "tpu-ubuntu2204-base",
    "v5litepod": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}
ARCHIVE = "jaxvision.tar.gz"

# The images bring an older Python than jax needs; uv fetches one.
INSTALL = f"""set -e
command -v ~/.local/bin/uv || curl -LsSf https://astral.sh/uv/install.sh | sh
rm -rf ~/jaxvision && mkdir ~/jaxvision && tar -xzf ~/{ARCHIVE} -C ~/jaxvision
~/.local/bin/uv venv --clear --python 3.11 ~/venv
VIRTUAL_ENV=~/venv ~/.local/bin/uv pip install \\
  -c ~/jaxvision/constraints.txt "$HOME/jaxvision[tpu]\""""

# The run goes on when the connection ends; its exit status is kept for `logs`.
START = """set -e
{setup}
cd ~/jaxvision
rm -f ~/run.status
nohup setsid bash -c '~/venv/bin/jaxvision "$@"; echo $? > ~/run.status' run \\
  {arguments} > ~/run.log 2>&1 < /dev/null &
echo $! > ~/run.pid"""

LOGS = """tail -n +1 -F --pid="$(cat ~/run.pid)" ~/run.log
exit "$(cat ~/run.status || echo 1)\""""

# To jaxvision alone, the child of the shell that keeps its status: its own workers it stops itself.
STOP = """pkill -TERM -P "$(cat ~/run.pid)"
timeout 300 tail --pid="$(cat ~/run.pid)" -f /dev/null || kill -KILL -- -"$(cat ~/run.pid)\""""


@dataclass(kw_only=True)
class Pod:
    """One queued resource of `slices` slices, each a TPU VM of several workers."""

    name: str
    zone: str
    type: str
    slices: int = 1
    runtime: str = ""
    project: str = ""
    spot: bool = False
    setup: str = ""
    arguments: Sequence[str] = ()
    dry_run: bool = False
    poll_seconds: float = 30.0
    run_command: Callable[..., subprocess.CompletedProcess] = field(default=subprocess.run)

    @property
    def nodes(self) -> list[str]:
        return [self.name] if self.slices == 1 else [f"{self.name}-{n}" for n in range(self.slices)]

    def _gcloud(self, *words: str, check: bool = True, read: bool = False) -> tuple[int, str]:
        """Runs `gcloud compute tpus ...`; (exit status, what it printed if `read`)."""
        where = [f"--zone={self.zone}", *([f"--project={self.project}"] if self.project else [])]
        return self._run(["gcloud", "compute", "tpus", *words, *where], check, read)

    def _run(self, command: list[str], check: bool = True, read: bool = False) -> tuple[int, str]:
        if self.dry_run:
            print(shlex.join(command))
            return 0, ""
        done = self.run_command(command, stdout=subprocess.PIPE if read else None, text=True)
        if check and done.returncode:
            raise SystemExit(f"launch: error: status {done.returncode} of {shlex.join(command)}")
        return done.returncode, (done.stdout or "").strip()

    def _on_workers(self, command: str, check: bool = True) -> None:
        for node in self.nodes:
            words = ("tpu-vm", "ssh", node, "--worker=all", f"--command={command}")
            self._gcloud(*words, check=check)

    def create(self) -> None:
        """Ask for the slices, and wait until they are there."""
        generation = self.type.partition("-")[0]
        runtime = self.runtime or RUNTIMES.get(generation)
        if runtime is None:
            known = ", ".join(RUNTIMES)
            raise SystemExit(
                f"launch: error: --type {self.type}: no runtime known for {generation!r}, "
                f"only for {known}; give --runtime"
            )
        several = [f"--node-count={self.slices}", f"--node-prefix={self.name}"]
        self._gcloud(
            *("queued-resources", "create", self.name),
            *([f"--node-id={self.name}"] if self.slices == 1 else several),
            f"--accelerator-type={self.type}",
            f"--runtime-version={runtime}",
            *(["--spot"] if self.spot else []),
        )
        while (state := self.state()) != "ACTIVE":
            if self.dry_run:
                return
            if state in LOST:
                raise SystemExit(f"launch: error: {self.name} is {state}; delete it and try again")
            time.sleep(self.poll_seconds)

    def state(self) -> str:
        """Of the queued resource, e.g. ACTIVE; "" where there is none."""
        words = ("queued-resources", "describe", self.name, "--format=value(state.state)")
        return self._gcloud(*words, check=False, read=True)[1]

    def install(self) -> None:
        """Put this source tree, as last committed, and what it needs on every worker."""
        folder = ROOT / "build"
        archive = str(folder / ARCHIVE)
        if not self.dry_run:
            folder.mkdir(exist_ok=True)
        self._run(["git", "-C", str(ROOT), "archive", f"--output={archive}", "HEAD"])
        for node in self.nodes:
            self._gcloud("tpu-vm", "scp", archive, f"{node}:", "--worker=all")
        self._on_workers(INSTALL)

    def start(self) -> None:
        """Start the run on every worker; it goes on without this machine."""
        self._on_workers(
            START.format(setup=self.setup or ":", arguments=shlex.join(self.arguments))
        )

    def logs(self) -> int:
        """Show the output of the first process until it ends; returns its exit status."""
        words = ("tpu-vm", "ssh", self.nodes[0], "--worker=0", f"--command={LOGS}")
        return self._gcloud(*words, check=False)[0]

    def stop(self) -> None:
        """Ask the run to save and end."""
        self._on_workers(STOP, check=False)

    def delete(self) -> None:
        """Delete the slices and the request for them."""
        self._gcloud("queued-resources", "delete", self.name, "--force", "--quiet")

    def run(self, resumes: int, keep: bool) -> int:
        """From creating to deleting; after a preemption all over again, on the same workdir."""
        self.create()
        self.install()
        self.start()
        while True:
            status = self.logs()
            lost = not self.dry_run and self.state() != "ACTIVE"
            if not lost and status == EXIT_SSH:  # only the connection broke
                time.sleep(self.poll_seconds)
                continue
            if not lost and status in (0, EXIT_BAD_INPUT):
                break
            if resumes == 0:
                status = EXIT_PREEMPTED if lost else status
                break
            resumes -= 1
            if lost:
                print(f"launch: {self.name} was preempted; asking for it again", file=sys.stderr)
                self.delete()
                self.create()
                self.install()
            else:
                print(f"launch: ended with exit status {status}; resuming", file=sys.stderr)
                self.stop()
            self.start()
        if not keep:
            self.delete()
        return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step, or all; returns the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    split = argv.index("--") if "--" in argv else len(argv)
    options = make_parser().parse_args(argv[:split])
    arguments = argv[split + 1 :]
    if options.step in ("run", "start") and not arguments:
        print("launch: error: give jaxvision's arguments after --", file=sys.stderr)
        return EXIT_BAD_INPUT
    pod = Pod(
        name=options.name,
        zone=options.zone,
        type=options.type,
        slices=options.slices,
        runtime=options.runtime,
        project=options.project,
        spot=options.spot,
        setup=options.setup,
        arguments=arguments,
        dry_run=options.dry_run,
    )
    if options.step == "run":
        return pod.run(options.resumes, options.keep)
    if options.step == "status":
        print(pod.state())
        return 0
    return getattr(pod, options.step)() or 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m launch.tpu_pod",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--name", required=True, help="of the queued resource and its slices")
    parser.add_argument("--zone", required=True)
    parser.add_argument("--type", required=True, help="of one slice, e.g. v5litepod-256, v5p-128")
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--project", default="", help="instead of gcloud's own default")
    parser.add_argument("--runtime", default="", help="instead of the usual one for the type")
    parser.add_argument("--spot", action="store_true", help="cheaper, and may be preempted")
    parser.add_argument("--setup", default="", help="shell command for each worker, e.g. a mount")
    parser.add_argument("--resumes", type=int, default=100, help="after preemptions and losses")
    parser.add_argument("--keep", action="store_true", help="do not delete the slices at the end")
    parser.add_argument("--dry-run", action="store_true", help="print every command, run none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
