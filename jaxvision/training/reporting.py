"""Where a run's numbers and pictures go: TensorBoard, a JSONL file and the terminal."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from jaxvision.data.atomic_write import open_lines
from jaxvision.errors import one_line


class Reporter:
    """Writes on the first process; silent on the others.

    metrics.jsonl holds one object a line: {"step", "time", name: value, ...}.
    """

    def __init__(self, workdir: Path, steps: int, enabled: bool = True):
        self._enabled = enabled
        self._workdir = workdir
        self.console = Console(quiet=not enabled, soft_wrap=True)
        if not enabled:
            return
        from tensorboardX import SummaryWriter

        self._jsonl = open_lines(workdir / "metrics.jsonl")
        self._tensorboard = SummaryWriter(str(workdir / "tensorboard"))
        self._progress = Progress(
            TextColumn("[bold]step"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.2f}/s  loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._bar = self._progress.add_task("", total=steps, rate=0.0, loss=float("nan"))
        self._mark: tuple[int, float] | None = None

    def __enter__(self) -> "Reporter":
        if self._enabled:
            self._progress.start()
        return self

    def __exit__(self, *_) -> None:
        if self._enabled:
            self._progress.stop()
            self._jsonl.close()
            self._tensorboard.close()

    def say(self, text: str) -> None:
        """A line for the person watching; names of files may be in it."""
        if self._enabled:
            shown = "\n".join(map(one_line, text.splitlines()))
            self.console.print(shown, markup=False, highlight=False)

    def config(self, config: Mapping[str, Any]) -> None:
        if self._enabled:
            text = "    " + json.dumps(config, indent=1).replace("\n", "\n    ")
            self._tensorboard.add_text("config", text)

    def metrics(self, step: int, values: Mapping[str, float], prefix: str = "") -> None:
        """Numbers of `step`; training's (no prefix) move the progress bar too."""
        if not self._enabled:
            return
        values = {prefix + name: float(value) for name, value in values.items()}
        self._jsonl.write(json.dumps({"step": step, "time": time.time(), **values}) + "\n")
        self._jsonl.flush()
        for name, value in values.items():
            self._tensorboard.add_scalar(name, value, step)
        if prefix:
            shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            self.say(f"step {step}: {shown}")
        else:
            self._training(step, values)

    def _training(self, step: int, values: Mapping[str, float]) -> None:
        now = time.monotonic()
        rate = 0.0
        if self._mark is not None and now > self._mark[1]:
            rate = (step - self._mark[0]) / (now - self._mark[1])
        self._mark = (step, now)
        loss = values.get("loss", float("nan"))
        self._progress.update(self._bar, completed=step, rate=rate, loss=loss)
        if not self.console.is_terminal:
            total = self._progress.tasks[0].total or 0
            # The first line has no other to take a rate from.
            pace = f"  {rate:.2f} steps/s  {(total - step) / rate:.0f} s left" if rate else ""
            self.say(f"step {step}/{total:.0f}  loss {loss:.4f}{pace}")

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray], folder: str) -> list[Path]:
        """uint8 [height, width, 3] pictures to TensorBoard and to workdir/<folder>/*.png."""
        if not self._enabled or not pictures:
            return []
        from jaxvision.viz.files import write_png

        paths = []
        for name, picture in pictures.items():
            self._tensorboard.add_image(name, picture, step, dataformats="HWC")
            path = self._workdir / folder / f"{name}_{step:08d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, picture)
            paths.append(path)
        return paths
