"""One HTML page on which every method shows what it does, from small weights that come with it.

    jaxvision tour
    jaxvision tour --out page --only emavfi

Takes a few minutes on two cores and needs no network, then or when the page is looked at. Beside
the page lies a folder for each picture: what `jaxvision predict` was given, and what it answered.
Every command on the page can be run again.
"""

import argparse
import contextlib
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SUMMARY = "one page that shows what every method does, from small weights that come with it"
PAGE = "index.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from jaxvision.cli.options import mounted_folder

    parser.add_argument(
        "--out",
        type=mounted_folder,
        default=Path("tour"),
        metavar="DIR",
        help="a new or empty folder (default: tour)",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="METHOD", help="this method; may be repeated"
    )


def run(arguments: argparse.Namespace) -> int:
    from jaxvision.downloads.shipped import shipped
    from jaxvision.errors import InputError, check_choice, check_writable, writing
    from jaxvision.registry import METHODS, tour_stops
    from jaxvision.viz.tour_page import Chapter, tour_page

    # 1. What is asked, and where it goes.
    out = arguments.out
    if arguments.overrides:
        raise InputError(f"--config.{arguments.overrides[0]}: a tour takes its demos as they are")
    every = {name: tour_stops(name) for name in METHODS}
    stops = {name: [s for s in found if shipped(s.weights)] for name, found in every.items()}
    known = [name for name, found in stops.items() if found]
    for name in arguments.only:
        check_choice("--only", name, known)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there and not empty; expected a new folder (--out)")
    check_writable(out)
    # 2. Every method, one after the other: one that fails leaves the others alone.
    chosen = arguments.only or known
    chapters, failures = [], 0
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(chosen, 1):
            method, start = METHODS[name], time.monotonic()
            panels = [panel_of(stop, out / stop.name) for stop in stops[name]]
            paper = f"arXiv {method.paper}"
            chapters.append(Chapter(name=name, title=method.title, paper=paper, panels=panels))
            reasons = [panel.failed for panel in panels if panel.failed]
            failures += len(reasons)
            said = "; ".join(reasons) or f"{len(panels)} shown"
            seconds = time.monotonic() - start
            print(f"[{number}/{len(chosen)}] {name}: {said} ({seconds:.0f} s)", flush=True)
        # 3. The page, and which weights a later version will come with.
        page = out / PAGE
        page.write_text(tour_page("A tour of jaxvision", LEAD, chapters, foot()), encoding="utf-8")
    waiting = {s.weights for name in every for s in every[name] if not shipped(s.weights)}
    for weights in sorted(waiting) if not arguments.only else ():
        print(f"not shown: {weights}, whose weights do not come with this version")
    print(f"{page} ({page.stat().st_size / 1e6:.1f} MB): open it in a browser")
    return 1 if failures else 0


LEAD = (
    "Published vision methods as functional JAX modules. Here each answers something small on this "
    "machine: networks of less than a million numbers, trained in minutes on two CPU cores by the "
    "demo recipes and shipped with the library. They show what a method does, not how well its "
    "published networks do it.",
    "Under every picture stands the command that made it, and which weights it took.",
)


def foot() -> str:
    from jaxvision import __version__
    from jaxvision.training.run_record import versions

    found = versions()
    return f"jaxvision {__version__}, jax {found.get('jax', '?')}, Python {found['python']}"


def panel_of(stop: Any, folder: Path) -> Any:
    """One stop: its inputs written, answered by `jaxvision predict`, and looked at."""
    from jaxvision.downloads.shipped import shipped
    from jaxvision.registry import load_config
    from jaxvision.viz.tour_page import Panel

    weights = shipped(stop.weights)
    assert weights is not None
    recipe = weights.recipe
    given, answers = folder / "given", folder / "answers"
    command = ["predict", "--config", recipe, "--weights", stop.weights, str(given)]
    command += ["--out", str(answers)]
    command += [f"--config.{setting}" for setting in stop.settings(folder)]
    panel = {
        "title": stop.title,
        "what": stop.what,
        "given": stop.given,
        "commands": [f"jaxvision {shell_words(command)}"],
        "weights": told(weights),
    }
    try:
        given.mkdir(parents=True)
        truth = stop.write(load_config(recipe, stop.settings(folder)), given)
        answer(command)
        pictures, numbers = stop.show(answers, truth)
    except Exception as error:
        reason = " ".join(f"{error or type(error).__name__}".split())
        return Panel(**panel, failed=reason)
    return Panel(**panel, pictures=pictures, numbers=numbers)


def answer(command: Sequence[str]) -> None:
    """Run a command as if it had been typed; what it prints is kept back. InputError with its last
    line where it fails."""
    from jaxvision.cli.main import main
    from jaxvision.errors import InputError

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(command)
    if status:
        lines = said.getvalue().strip().splitlines() or [f"exit status {status}"]
        raise InputError(lines[-1].removeprefix("jaxvision: error: "))


def shell_words(words: Sequence[str]) -> str:
    import shlex

    return shlex.join(words)


def told(weights: Any) -> str:
    """Where weights are from."""
    made = " ; ".join(weights.commands)
    return (
        f"Weights {weights.name}: {weights.parameters:,} numbers, trained by: {made} (seed "
        f"{weights.seed}, commit {weights.commit}). Measured of them: {weights.told}"
    )
