"""Kill runs again and again: do they carry on as if nothing had happened?

    python benchmarks/survival.py [--alone 140] [--pairs 60] [--seed 0] [--out runs/survival]

kills runs of one process, and runs of two (one of them, or both), with SIGKILL: at any time of
their life, compiling included, between two steps, and while a checkpoint is written. After each
kill

- no process is left,
- every step that counts as saved is as its manifest says, of this run, under its own number,
- the newest is bit-equal, in every leaf, the optimizer's state and the averages included, to the
  same step of a run that was left alone,
- every loss in the log is that run's of the same step; and the life just ended began with the step
  after the newest that was saved: no sample is lost, none comes twice.

A run that comes to its end is compared likewise, and another begins. Lives are written to
OUT/lives.jsonl; the same command goes on where it was ended. Prints a table; exit status 1 where
anything was wrong. The loss over the kills of one run is drawn as OUT/survival.png.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import survival_checks as checks
from benchmarks.forked_run import FORK, ForkedRun, import_all
from benchmarks.loss_over_kills import Death, draw

TRAIN = (
    "train",
    "--config=videomae/demo",
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
    "--config.task.probe=False",
    "--config.train.batch_size=8",
    "--config.ema.decay=0.9",
    "--config.log.every_steps=1",
    "--config.log.pictures_every_steps=0",
    "--config.evaluate.every_steps=0",
)
MOMENTS = {"any": 3, "stepping": 3, "saving": 4}  # how often, of ten
PATIENCE = 300.0  # s, for a life to reach its moment or its end
GRACE = 1.0  # s, for the process that is left to do something wrong


@dataclass(kw_only=True)
class Life:
    """From a launch to a kill or to the end of the run, and what was wrong with it.

    victims: numbers of the processes killed; none where it came to its end.  mid_save: a checkpoint
    was left half written.  rows: of the loss log so far.  step: the last logged.  saved: the newest
    whole checkpoint.  leaves: compared.  seconds: from the launch to its first step, if it came.
    """

    run: int
    processes: int
    moment: str = ""
    victims: list[int] = field(default_factory=list)
    mid_save: bool = False
    rows: int = 0
    step: int = 0
    saved: int = 0
    leaves: int = 0
    seconds: float | None = None
    problems: list[str] = field(default_factory=list)


class Survival:
    """Runs of `processes` processes in `out`, and their lives so far."""

    def __init__(self, out: Path, processes: int, steps: int, every: int):
        self.out, self.processes, self.steps, self.every = out, processes, steps, every
        out.mkdir(parents=True, exist_ok=True)
        self.reference = out / "reference"
        self.lives = self._read_lives()
        # A run whose last life nobody judged is left as it is.
        self.run = max((life.run for life in self.lives), default=-1) + 1
        self.expected, self.seconds = self._left_alone()
        self.judge, theirs = FORK.Pipe()
        work = (theirs, self.reference, os.getpid())
        FORK.Process(target=checks.answer_differences, args=work, daemon=True).start()

    @property
    def workdir(self) -> Path:
        return self.out / f"run{self.run}"

    @property
    def kills(self) -> int:
        return sum(bool(life.victims) for life in self.lives)

    @property
    def longest(self) -> float:
        """Seconds that a life of the moment "any" may take: half of them before the first step."""
        starts = [life.seconds for life in self.lives if life.seconds is not None]
        return min([self.seconds, 2 * statistics.median(starts)] if starts else [self.seconds])

    def _read_lives(self) -> list[Life]:
        file = self.out / "lives.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [Life(**json.loads(line)) for line in lines]

    def _left_alone(self) -> tuple[dict[int, float], float]:
        """(loss by step, seconds) of a run that is left alone; made once."""
        file = self.out / "reference.json"
        if not file.exists():
            for folder in self.out.glob("r*"):
                shutil.rmtree(folder, ignore_errors=True)
            # Twice: the first compiles, the second says how long a life is.
            for workdir in (self.out / "reference0", self.reference):
                started = time.monotonic()
                with self._launch(workdir, f"--config.checkpoint.keep={self.steps}") as run:
                    status = run.finish(PATIENCE)
                if status:
                    raise SystemExit(f"left alone, it ended with exit status {status}: {self.log}")
            taken = time.monotonic() - started
            if checks.losses(self.out / "reference0") != checks.losses(self.reference):
                raise SystemExit(f"two runs that were left alone differ: {self.out}")
            file.write_text(json.dumps([self.steps, self.every, taken]))
        steps, every, taken = json.loads(file.read_text())
        if (steps, every) != (self.steps, self.every):
            raise SystemExit(f"{self.out} holds runs of {steps} steps, saved every {every}")
        return dict(checks.losses(self.reference)), taken

    @property
    def log(self) -> Path:
        return self.out / "log.txt"

    def _launch(self, workdir: Path, *more: str) -> ForkedRun:
        options = (
            f"--config.train.steps={self.steps}",
            f"--config.checkpoint.every_steps={self.every}",
            f"--workdir={workdir}",
        )
        return ForkedRun((*TRAIN, *options, *more), self.log, processes=self.processes)

    def live(self, moment: str, draws: random.Random) -> Life:
        """Launch, wait for a random moment of this kind ("never": the end), kill, and judge."""
        life = Life(run=self.run, processes=self.processes, moment=moment)
        rows = len(checks.losses(self.workdir))
        saved = max(checks.committed(self.workdir), default=0)
        steps = draws.randrange(2 * self.every)
        victims = draws.choice([[0], [1], [0, 1]]) if self.processes > 1 else [0]
        started, wall = time.monotonic(), time.time()
        latest = started + draws.uniform(0, self.longest)

        def due() -> bool:
            count = len(checks.losses(self.workdir)) - rows
            if count > 0 and life.seconds is None:
                life.seconds = time.monotonic() - started
            if moment == "any":
                return time.monotonic() > latest
            reached = count > steps and moment != "never"
            return reached and (moment == "stepping" or checks.being_saved(self.workdir, wall))

        with self._launch(self.workdir) as run:
            try:
                if run.wait_for(due, PATIENCE):
                    time.sleep(draws.uniform(0, 0.03) if moment != "any" else 0)
                    life.victims = victims if run.kill(victims, GRACE) else []
            except TimeoutError as error:
                life.problems.append(str(error))
                run.kill(victims)
            status = run.status()
        life.mid_save = bool(life.victims) and checks.being_saved(self.workdir, wall)
        if not life.victims and status:
            life.problems.append(f"ended with exit status {status}: {self.log}")
        self._judge(life, rows, saved)
        return life

    def _judge(self, life: Life, rows: int, saved: int) -> None:
        logged = checks.losses(self.workdir)
        life.rows, life.step = len(logged), logged[-1][0] if logged else 0
        life.problems += checks.wrong_losses(logged[rows:], saved, self.expected)
        life.problems += checks.half_steps(self.workdir)
        life.saved = max(checks.committed(self.workdir), default=0)
        if life.saved < saved:
            life.problems.append(f"step {saved} is gone, {life.saved} is the newest")
        if life.saved:
            self.judge.send((self.workdir, life.saved))
            life.leaves, wrong = self.judge.recv()
            life.problems += [f"{len(wrong)} leaves differ, first {wrong[0]}"] if wrong else []
        if not life.victims and life.saved != self.steps:
            life.problems.append(f"ended with step {life.saved} of {self.steps}")
        self.lives.append(life)
        with (self.out / "lives.jsonl").open("a") as file:
            file.write(json.dumps(asdict(life)) + "\n")
        if not life.victims or life.problems:  # the next run begins afresh
            self.run += 1

    def kill(self, count: int, seed: int) -> Iterator[Life]:
        """Lives up to the kill of this number, and the end of the last run."""
        while self.kills < count:
            draws = random.Random(f"{seed}/{self.processes}/{len(self.lives)}")
            (moment,) = draws.choices(list(MOMENTS), list(MOMENTS.values()))
            yield self.live(moment, draws)
        if self.lives and self.lives[-1].victims and not self.lives[-1].problems:
            yield self.live("never", random.Random(seed))

    def picture(self) -> Path:
        """The run that was killed most often."""
        runs = [life.run for life in self.lives if life.victims]
        most = max(set(runs), key=runs.count)
        lives = [life for life in self.lives if life.run == most and life.victims]
        deaths = [Death(life.rows, life.step, " ".join(map(str, life.victims))) for life in lives]
        logged = checks.losses(self.out / f"run{most}")
        draw(self.expected, logged, deaths).save(self.out / "survival.png")
        return self.out / "survival.png"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 where every kill was survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--alone", type=int, default=140, help="kills of runs of one process")
    parser.add_argument("--pairs", type=int, default=60, help="kills of runs of two processes")
    parser.add_argument("--steps", type=int, default=40, help="of one run")
    parser.add_argument("--every", type=int, default=4, help="steps from checkpoint to checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/survival"))
    options = parser.parse_args(argv)
    # The same executables for all lives, and quicker starts.
    compiled = str((options.out / "compiled").absolute())
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", compiled)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    import_all()
    lives: list[Life] = []
    started, before = time.monotonic(), 0
    for processes, kills in ((2, options.pairs), (1, options.alone)):
        if not kills:
            continue
        out = options.out.absolute() / f"of{processes}"
        survival = Survival(out, processes, options.steps, options.every)
        before += len(survival.lives)
        print(f"{processes} left alone: {options.steps} steps in {survival.seconds:.1f} s")
        for life in survival.kill(kills, options.seed):
            print(f"{survival.kills}: {line(life)}", flush=True)
        lives += survival.lives
        print(f"loss over the kills: {survival.picture()}")
    wrong = sum(bool(life.problems) for life in lives)
    taken = (time.monotonic() - started) / max(1, len(lives) - before)
    print(f"\n{table(lives)}\n\n{wrong} of {len(lives)} lives were wrong; {taken:.1f} s a life")
    return min(wrong, 1)


def line(life: Life) -> str:
    """What happened in a life."""
    what = f"killed {life.victims}, {life.moment}" if life.victims else "ended"
    half = ", mid-save" if life.mid_save else ""
    said = f"; {'; '.join(life.problems)}" if life.problems else ""
    return f"{what}{half}, after step {life.step}, newest checkpoint {life.saved}{said}"


def table(lives: Sequence[Life]) -> str:
    """What the kills cost, by the processes of their runs and by moment."""
    rows = [
        "| processes | moment | kills | mid-save | survived | leaves compared "
        "| steps lost (median, most) | seconds to the first step (the same) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for processes in sorted({life.processes for life in lives}):
        for moment in (*MOMENTS, "all kills", "ends"):
            of = [life for life in lives if life.processes == processes]
            of = [life for life in of if bool(life.victims) == (moment != "ends")]
            of = [life for life in of if moment in ("all kills", "ends", life.moment)]
            lost = spread([life.step - life.saved for life in of])
            seconds = spread([life.seconds for life in of if life.seconds is not None])
            rows.append(
                f"| {processes} | {moment} | {len(of)} | {sum(life.mid_save for life in of)} "
                f"| {sum(not life.problems for life in of)} "
                f"| {sum(life.leaves for life in of)} | {lost} | {seconds} |"
            )
    return "\n".join(rows)


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3g}, {max(values):.3g}" if values else "-"


if __name__ == "__main__":
    sys.exit(main())
