"""benchmarks/one_gpu.py: a rehearsal on this machine, rows that survive, sections that are cut."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def one_gpu():
    """The module, which finds its neighbours as the command does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import one_gpu

        yield one_gpu


def test_a_rehearsal_leaves_a_row_of_every_case(one_gpu, tmp_path, capsys):
    rows, names = tmp_path / "rows.jsonl", ("equal", "tokens")
    assert one_gpu.main(["--rehearse", "--rows", str(rows), "--section", *names]) == 0
    found = one_gpu.read_rows(rows)
    assert {row.section for row in found} == set(names)
    cases = [row.case for row in found if row.section == "equal"]
    for operation in (
        "sampling",
        "mixing",
        "attention",
        "aggregation",
        "convolution",
        "point lookup",
    ):
        mine = [case for case in cases if case.startswith(operation)]
        assert {case.rsplit(", ", 1)[1] for case in mine} == {"float32", "bfloat16"}
    assert {"neighbours camliraft_lookup, float32", "lookup camliraft_things, float32"} <= {*cases}
    assert "furthest points camliflow, float32" in cases
    assert all(row.right for row in found if row.section == "equal")
    assert capsys.readouterr().out.count("same bits") == len(cases)


def test_every_section_is_measured_and_says_what_for(one_gpu):
    import one_gpu_sections

    assert one_gpu_sections.MEASURE.keys() == one_gpu.SECTIONS.keys()
    assert sum(section.seconds for section in one_gpu.SECTIONS.values()) <= 360


def test_what_is_wrong_is_seen(one_gpu, tmp_path, monkeypatch):
    import kernel_cases
    import one_gpu_sections

    def once_right(then):
        """A reference, which is made first, and a kernel for bfloat16 that is `then`."""
        functions = iter((lambda x: x, then))

        def make(implementation):
            function = next(functions, None)
            if function is None:
                raise ValueError("no such\nkernel")
            return function

        return make

    x = (jnp.ones((2, 3)),)
    makers = {"wrong": once_right(lambda x: 1.1 * x), "none": once_right(None)}
    makers["no reference"] = once_right(None)
    makers["no reference"]("used up")
    cases = [kernel_cases.Case(name, make, x, (0,)) for name, make in makers.items()]
    monkeypatch.setattr(one_gpu_sections.kernel_cases, "kernel_cases", lambda tiny: iter(cases))
    rows = tmp_path / "rows.jsonl"
    assert one_gpu.main(["--rehearse", "--rows", str(rows), "--section", "equal"]) == 1
    found = {row.case: row for row in one_gpu.read_rows(rows)}
    assert [row.right for row in found.values()] == [True, False, True, False, False]
    assert found["wrong, bfloat16"].value == "1.0e-01, same bits"
    assert found["none, bfloat16"].value == "ValueError: no such kernel"
    assert found["no reference, reference"].value == "ValueError: no such kernel"


def test_memory_that_is_held_stands_beside_the_programs(one_gpu, monkeypatch):
    import memory_held

    x = jnp.ones(2**25)  # an eighth of a GiB
    program = memory_held.compiled(lambda x: x + 1, x)
    assert program(x)[0] == 2
    assert memory_held.memory(program) == "not measured, 0.25 by the compiled program"
    in_place = memory_held.compiled(lambda x: x + 1, x, donate_argnums=0)
    device = SimpleNamespace(memory_stats=lambda: {"peak_bytes_in_use": 3 << 29})
    monkeypatch.setattr(memory_held.jax, "local_devices", lambda: [device])
    assert memory_held.memory(in_place) == "1.50 GiB held, 0.12 by the compiled program"


def test_other_bits_in_another_run_are_seen(one_gpu):
    import kernel_cases

    one = (jnp.ones(3), (jnp.zeros(2),))
    assert kernel_cases.same(one, (jnp.ones(3), (jnp.zeros(2),)))
    assert not kernel_cases.same(one, (jnp.ones(3), (-jnp.zeros(2),)))
    assert not kernel_cases.Verdict(0.0, False).right("float32")


def test_rows_outlive_a_cut_and_the_last_of_a_case_counts(one_gpu, tmp_path):
    rows, row = tmp_path / "rows.jsonl", one_gpu.Row("umt", "b16 step", "3 ms")
    one_gpu.write_row(rows, row)
    one_gpu.write_row(rows, row._replace(value="2 ms"))
    with rows.open("a") as file:
        file.write(json.dumps({"section": "umt"})[:-4])
    assert one_gpu.read_rows(rows) == [row._replace(value="2 ms")]
    other = row._replace(case="b16 memory")
    one_gpu.write_row(rows, other)
    assert one_gpu.read_rows(rows) == [row._replace(value="2 ms"), other]


def test_a_section_that_takes_too_long_is_stopped(one_gpu):
    def child(program):
        return one_gpu.Child("umt", [sys.executable, "-c", program])

    waits = "import time; time.sleep(60)"
    assert child(waits).run(0.3) == "stopped after 0 s"
    assert child("import sys; sys.exit(3)").run(30) == "ended with status 3"
    assert child("assert input() == 'begin'").run(30) == ""


def test_the_page_has_every_target_beside_what_was_measured(one_gpu, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{one_gpu.BEGIN}\nold\n{one_gpu.END}\nafter\n")
    measured = one_gpu.Row("videomae", "g step", "900 ms, utilisation 56 %")
    wrong = one_gpu.Row("equal", "mixing x, float32", "1e-3, same bits", False)
    one_gpu.write_table([measured, wrong], page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{one_gpu.END}\nafter\n")
    assert "old" not in text
    assert "| VideoMAE's steps | g step | 900 ms, utilisation 56 % | utilisation 55 % |" in text
    assert "| mixing x, float32 | 1e-3, same bits **wrong** |" in text
    assert "| SparseFormer-T |  | not yet measured | 20,000 pictures a second |" in text
    (tmp_path / "other.md").write_text("nothing")
    with pytest.raises(SystemExit, match="no table between"):
        one_gpu.write_table([], tmp_path / "other.md")


def test_the_page_in_the_repository_is_as_the_table_says(one_gpu):
    text = one_gpu.PAGE.read_text()
    assert one_gpu.BEGIN in text
    assert one_gpu.END in text
