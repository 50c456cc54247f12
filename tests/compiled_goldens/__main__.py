import os
import sys
import tempfile
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
sys.path.insert(0, str(Path(__file__).parents[1]))

from jaxvision.errors import InputError
from jaxvision.planning.until_code import build_until_code
from jaxvision.training.config import load_config, recipes
from tests.compiled_goldens import RECIPES, path_of, program_of, render
from tests.text_goldens import labels_of


def rest(topology: str) -> None:
    """A line for every recipe that has no golden, its state split over all chips."""
    for recipe in recipes():
        if recipe in RECIPES:
            continue
        with tempfile.TemporaryDirectory() as folder:
            labels = labels_of(recipe, Path(folder))
            try:
                config = load_config(recipe, [*labels, "mesh.data=1", "mesh.fsdp=-1"])
                program = program_of(config, topology)
                found = [build_until_code(program, bucket) for bucket in program.buckets]
            except InputError as error:
                print(f"{recipe}: {error}", flush=True)
                continue
        peak = max(built.peak for built in found) / 1e9
        fits = "fits" if all(built.fits for built in found) else "DOES NOT FIT"
        print(f"{recipe}: {fits}, {peak:.2f} GB at the peak", flush=True)


if len(sys.argv) > 1:
    rest(sys.argv[1])
else:
    for name in RECIPES:
        path_of(name).write_text(render(name))
        print(path_of(name), flush=True)
