"""Everything that only a GPU can show, in one command and six minutes, correctness first.

    python benchmarks/one_gpu.py                       # all sections, in order of worth
    python benchmarks/one_gpu.py --section equal       # one of them
    python benchmarks/one_gpu.py --rehearse            # all of it tiny, on a CPU
    python benchmarks/one_gpu.py --table               # rows into docs/performance.md; runs nothing

Each row is a line of JSON in --rows (one_gpu.jsonl) as soon as it is known, so a run that is cut
short keeps what it has; of rows of one case the last counts. Each section runs in a process of its
own, which is stopped at its budget; the next one's imports are under way meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxvision.data.atomic_write import open_lines

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/performance.md"
BEGIN, END = "<!-- one_gpu.py writes this table: -->", "<!-- up to here -->"


class Section(NamedTuple):
    """seconds: of an H200, at most.  targets: what the rows whose case begins so are to reach."""

    seconds: int
    what: str
    targets: dict[str, str]


SECTIONS = {
    "equal": Section(
        95,
        "kernels beside their references",
        {"": "float32 within 2e-5, bfloat16 within 2e-2; 20 runs bit-equal"},
    ),
    "tokens": Section(
        40,
        "sampling, mixing, narrow attention",
        {
            "sampling": "1.5x PyTorch forward, 2x both ways; 60 % of a copy",
            "mixing": "1.5x PyTorch forward, 2x both ways; 60 % of a copy",
            "attention": "faster than XLA's",
        },
    ),
    "voxels": Section(
        45,
        "LinK's aggregation and sparse convolution",
        {"aggregation": "2x the reference at half a copy's bandwidth", "convolution": "2x XLA's"},
    ),
    "points": Section(
        20,
        "neighbours, furthest points, correlation lookups",
        {
            "search": "faster than XLA's and PyTorch's",
            "sampling": "faster than XLA's and PyTorch's",
            "lookup": "faster than the volume's, and PyTorch's",
            "point lookup": "faster than the volume's, and PyTorch's",
        },
    ),
    "videomae": Section(
        90,
        "VideoMAE's steps",
        {"b": "utilisation 50 %; 1.5x eager mixed precision", "g": "utilisation 55 %"},
    ),
    "umt": Section(20, "UMT's stage 1", {"": "1.5x eager mixed precision"}),
    "sparseformer": Section(15, "SparseFormer-T", {"": "20,000 pictures a second"}),
    "emavfi": Section(20, "EMA-VFI", {"": "faster than PyTorch"}),
    "link": Section(15, "LinK's detector", {"": "faster than PyTorch"}),
}


class Row(NamedTuple):
    """A number that was measured.  right: of a comparison, whether it is within its bounds."""

    section: str
    case: str
    value: str
    right: bool | None = None


def write_row(path: Path, row: Row) -> None:
    """Add a row to the file; what stands there is on the disk when this returns."""
    with open_lines(path) as file:
        file.write(json.dumps({**row._asdict(), "at": round(time.time())}) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_rows(path: Path) -> list[Row]:
    """The last row of every case; half a line at the end is passed over."""
    rows: dict[tuple[str, str], Row] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        row = Row(*(found[field] for field in Row._fields))
        rows[row.section, row.case] = row
    return list(rows.values())


def table(rows: Sequence[Row]) -> str:
    """Markdown: every section, what was measured of it or that nothing was, and the target."""
    lines = ["| what | case | measured | target |", "| --- | --- | --- | --- |"]
    for name, section in SECTIONS.items():
        mine = [row for row in rows if row.section == name]
        for prefix, target in section.targets.items():
            found = [row for row in mine if row.case.startswith(prefix)]
            for row in found:
                wrong = " **wrong**" if row.right is False else ""
                lines.append(f"| {section.what} | {row.case} | {row.value}{wrong} | {target} |")
            if not found:
                lines.append(f"| {section.what} | {prefix} | not yet measured | {target} |")
    return "\n".join(lines)


def write_table(rows: Sequence[Row], page: Path = PAGE) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"{page}: no table between {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}", encoding="utf-8")


def run_section(name: str, tiny: bool, keep: Callable[[Row], None]) -> bool:
    """Measure a section here and now; whether all that was compared is right."""
    from one_gpu_sections import MEASURE

    right = True
    measured: Iterator[tuple[str, str, bool | None]] = MEASURE[name](tiny)
    for case, value, good in measured:
        keep(Row(name, case, value, good))
        right &= good is not False
    return right


class Child:
    """A section in a process of its own, which imports at once and measures when told to."""

    def __init__(self, name: str, command: Sequence[str]):
        self.name = name
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def run(self, seconds: float) -> str:
        """Tell it to begin, and wait; "" or why it did not end well."""
        try:
            self._process.communicate("begin\n", timeout=seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            return f"stopped after {seconds:.0f} s"
        status = self._process.returncode
        return f"ended with status {status}" if status else ""

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def run_all(names: Sequence[str], rows: Path, seconds: float) -> int:
    """The sections, each within its budget and all within `seconds`."""

    def start(name: str) -> Child:
        words = ["--section", name, "--rows", str(rows), "--as-child"]
        return Child(name, [sys.executable, __file__, *words])

    begun, status = time.monotonic(), 0
    following: Child | None = start(names[0])
    for place, name in enumerate(names):
        child = following
        following = start(names[place + 1]) if place + 1 < len(names) else None
        left = seconds - (time.monotonic() - begun)
        assert child is not None
        if left <= 0:
            child.stop()
            problem = "no time was left"
        else:
            problem = child.run(min(SECTIONS[name].seconds, left))
        print(f"{name}: {problem or 'done'}", flush=True)
        status |= bool(problem)
    return status


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--section", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--rows", type=Path, default=Path("one_gpu.jsonl"))
    parser.add_argument("--seconds", type=float, default=360, help="for all of it")
    parser.add_argument("--rehearse", action="store_true", help="tiny, in this process")
    parser.add_argument(
        "--table", action="store_true", help="write docs/performance.md from --rows"
    )
    parser.add_argument("--as-child", action="store_true", help=argparse.SUPPRESS)
    settings = parser.parse_args(words)
    if settings.table:
        write_table(read_rows(settings.rows))
        return 0
    if not (settings.rehearse or settings.as_child):
        return run_all(settings.section, settings.rows, settings.seconds)

    # Half of the memory is PyTorch's, which runs beside.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import one_gpu_sections  # noqa: F401  imports what takes seconds

    if settings.as_child:
        sys.stdin.readline()
    right = True
    for name in settings.section:

        def keep(row: Row) -> None:
            write_row(settings.rows, row)
            print(f"{row.section}: {row.case}: {row.value}", flush=True)

        right &= run_section(name, settings.rehearse, keep)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
