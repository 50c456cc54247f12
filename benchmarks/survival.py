"""Kill a run of several processes again and again: does it carry on as if nothing had happened?

    python benchmarks/survival.py [--trials 10] [--processes 2] [--seed 0] [--out runs/survival]

Each trial launches the run (launch.local), waits for a random moment (any, while stepping, while a
checkpoint is written), and ends one of its processes, chosen at random, with SIGKILL. A trial is
survived when the launcher names the lost process and stops the others, and the next launch carries
on from a whole checkpoint with the same losses, bit for bit, as a run that was never touched. A run
that comes to its end is compared in every parameter, and another begins. Prints survived/trials,
the steps lost per kill and the time to resume; draws the loss curves over the kills as a PNG.
"""

import argparse
import json
import logging
import os
import random
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # this process only reads checkpoints

import numpy as np

from benchmarks.loss_over_kills import Death, draw
from jaxvision.training.checkpoint import Checkpoints
from jaxvision.weights.mapping import flatten
from launch.watched import Launch

logging.getLogger("absl").setLevel(logging.ERROR)  # it misses files that nothing here writes
MOMENTS = ("any", "stepping", "saving")
TRAIN = (
    "train",
    "--config=videomae/demo",
    "--config.model.frames=4",
    "--config.model.image_size=(16,16)",
    "--config.model.patch=8",
    "--config.model.width=64",
    "--config.model.heads=2",
    "--config.model.depth=2",
    "--config.model.decoder_width=32",
    "--config.model.decoder_heads=2",
    "--config.model.decoder_depth=1",
    "--config.task.probe=False",
    "--config.train.batch_size=8",
    "--config.log.every_steps=1",
    "--config.log.pictures_every_steps=0",
    "--config.evaluate.every_steps=0",
)


def losses(workdir: Path) -> list[tuple[int, float]]:
    """(step, loss) as logged, in the order of the log: a step that was run twice is there twice."""
    file = workdir / "metrics.jsonl"
    if not file.exists():
        return []
    whole = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    rows = [json.loads(line) for line in whole]
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]


def committed(workdir: Path) -> int:
    """The newest step that was saved whole; 0 where there is none."""
    return max(Checkpoints(workdir).steps(), default=0)


def being_saved(workdir: Path) -> bool:
    """Whether a checkpoint is being written at this moment."""
    folder = workdir / "checkpoints"
    return folder.is_dir() and any("tmp" in entry.name for entry in os.scandir(folder))


def differing(workdir: Path, reference: Path, step: int) -> list[str]:
    """Names of variables of `step` that are not the same, bit for bit."""
    mine, theirs = (flatten(Checkpoints(w).read_variables(step)) for w in (workdir, reference))
    return [
        name
        for name in sorted(mine.keys() | theirs.keys())
        if name not in mine
        or name not in theirs
        or np.asarray(mine[name]).tobytes() != np.asarray(theirs[name]).tobytes()
    ]


@dataclass
class Kill:
    """One kill: when and whom, what it cost, and what went wrong ("" if nothing)."""

    run: int
    moment: str
    lost: int  # number of the process
    rows: int  # of the loss log so far
    step: int  # last logged
    saved: int  # newest checkpoint
    problem: str = ""
    seconds: float = float("nan")  # from the next launch to its first step


class Survival:
    """The trials of one benchmark, in `out`."""

    def __init__(self, out: Path, processes: int, steps: int, every: int, draws: random.Random):
        self.out, self.processes, self.every, self.draws = out, processes, every, draws
        self.steps = steps
        self.kills: list[Kill] = []
        self.run = 0
        self.expected: dict[int, float] = {}  # loss by step
        self.seconds = 0.0  # of the run that is left alone

    @property
    def workdir(self) -> Path:
        return self.out / f"run{self.run}"

    def launch(self, workdir: Path) -> Launch:
        options = (
            f"--config.train.steps={self.steps}",
            f"--config.checkpoint.every_steps={self.every}",
            f"--workdir={workdir}",
        )
        # Filled by the first run: the same executables for all, and quicker starts.
        cache = {
            "JAX_COMPILATION_CACHE_DIR": str((self.out / "compiled").absolute()),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        return Launch("jaxvision", *TRAIN, *options, processes=self.processes, environment=cache)

    def reference(self) -> None:
        """The run that is left alone."""
        started = time.monotonic()
        status, text = self.launch(self.out / "reference").finish()
        if status:
            raise SystemExit(f"the undisturbed run ended with exit status {status}:\n{text}")
        self.expected = dict(losses(self.out / "reference"))
        self.seconds = time.monotonic() - started

    def trial(self) -> Kill:
        """Launch and kill; a run that ends before the moment comes is compared and replaced."""
        while True:
            moment, lost = self.draws.choice(MOMENTS), self.draws.randrange(self.processes)
            launch, alive = self.watch(moment)
            if alive and launch.kill(lost):
                break
            self.finished(launch)
        status, text = launch.finish()
        logged = losses(self.workdir)
        kill = Kill(
            self.run,
            moment,
            lost,
            len(logged),
            logged[-1][0] if logged else 0,
            committed(self.workdir),
        )
        self.kills.append(kill)
        if (
            status != 128 + signal.SIGKILL
            or f"process {lost} was lost: ended by SIGKILL" not in text
        ):
            kill.problem = f"the launcher ended with {status} and did not name process {lost}"
        wrong = [step for step, loss in logged if loss != self.expected[step]]
        if wrong:
            kill.problem = f"another loss at step {wrong[0]}"
        return kill

    def watch(self, moment: str) -> tuple[Launch, bool]:
        """A launch at its random moment, and whether it still runs; judges the kill before."""
        workdir = self.workdir
        saved, rows = committed(workdir), len(losses(workdir))
        steps = self.draws.randrange(2 * self.every)
        started = time.monotonic()
        latest = started + self.draws.uniform(0, self.seconds)
        first = float("nan")

        def due() -> bool:
            nonlocal first
            count = len(losses(workdir)) - rows
            if count and first != first:
                first = time.monotonic() - started
            if moment == "any":
                return time.monotonic() > latest
            return count > steps and (moment == "stepping" or being_saved(workdir))

        launch = self.launch(workdir)
        alive = launch.wait_for(due)
        new = losses(workdir)[rows:]
        if new and self.kills and self.kills[-1].run == self.run:
            before = self.kills[-1]
            before.seconds = first
            if new[0][0] != saved + 1:
                before.problem = f"went on with step {new[0][0]}, not {saved + 1}"
        return launch, alive

    def finished(self, launch: Launch) -> None:
        """Compare a run that came to its end with the one left alone, and begin another."""
        status, text = launch.finish()
        problem = ""
        if status:
            problem = f"ended with exit status {status}: {text.splitlines()[-1]}"
        elif wrong := differing(self.workdir, self.out / "reference", self.steps):
            problem = f"{len(wrong)} variables differ at the end, first {wrong[0]}"
        if problem and self.kills and self.kills[-1].run == self.run:
            self.kills[-1].problem = problem
        elif problem:
            raise SystemExit(problem)
        self.run += 1

    def finish(self) -> None:
        """Let the last run go to its end."""
        launch, _ = self.watch("never")
        self.finished(launch)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 where every kill was survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10, help="kills")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="of one run")
    parser.add_argument("--every", type=int, default=4, help="steps from checkpoint to checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/survival"), help="replaced")
    options = parser.parse_args(argv)
    for folder in ("reference", "compiled", *(p.name for p in options.out.glob("run[0-9]*"))):
        shutil.rmtree(options.out / folder, ignore_errors=True)
    options.out.mkdir(parents=True, exist_ok=True)
    survival = Survival(
        options.out, options.processes, options.steps, options.every, random.Random(options.seed)
    )
    survival.reference()
    print(f"left alone: {options.steps} steps in {survival.seconds:.1f} s", flush=True)
    for number in range(options.trials):
        kill = survival.trial()
        print(
            f"kill {number + 1}: {kill.moment}: process {kill.lost} after step {kill.step}, "
            f"newest checkpoint {kill.saved}{'; ' + kill.problem if kill.problem else ''}",
            flush=True,
        )
    survival.finish()
    kills = survival.kills
    survived = [kill for kill in kills if not kill.problem]
    print(f"\nsurvived {len(survived)}/{len(kills)}")
    print(table(kills))
    most = max(range(survival.run), key=lambda run: sum(k.run == run for k in kills))
    own = [kill for kill in kills if kill.run == most]
    deaths = [Death(kill.rows, kill.step, f"process {kill.lost}") for kill in own]
    picture = draw(survival.expected, losses(options.out / f"run{most}"), deaths)
    picture.save(options.out / "survival.png")
    print(f"loss over {len(own)} kills: {options.out / 'survival.png'}")
    return 0 if len(survived) == len(kills) else 1


def table(kills: Sequence[Kill]) -> str:
    """What the kills cost, by their moment."""
    lines = [
        "| moment | kills | survived | steps lost (median, most) | seconds to resume (the same) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for moment in MOMENTS:
        of = [kill for kill in kills if kill.moment == moment]
        lost = [kill.step - kill.saved for kill in of]
        seconds = [kill.seconds for kill in of if kill.seconds == kill.seconds]
        kept = sum(not kill.problem for kill in of)
        lines.append(f"| {moment} | {len(of)} | {kept} | {spread(lost)} | {spread(seconds)} |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3g}, {max(values):.3g}" if values else "-"


if __name__ == "__main__":
    sys.exit(main())
