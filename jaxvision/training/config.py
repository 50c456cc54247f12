"""The engine's settings, their defaults, and how a recipe and its overrides are resolved.

A recipe is `configs/<method>/<recipe>.py` with a `get_config()` that starts from `base_config()`.
One that takes arguments has `get_config(arguments: str = "")` and reads them with
`recipe_arguments`: `--config NAME:gpus=1` hands it "gpus=1".
"""

import ast
import contextlib
import importlib.util
import inspect
import json
import shlex
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ml_collections import ConfigDict

from jaxvision.errors import InputError, check_choice, nearest, reading
from jaxvision.text_files import read_json
from jaxvision.training.settings import SETTINGS

# Settings that say how a run is carried out, not what it computes: they may change on a resume.
OPERATIONAL = (
    "mesh",
    "checkpoint",
    "log",
    "profile",
    "debug",
    "quick_compilation",
    "frozen.sharded",
    "data.workers",
    "data.threads",
    "data.patience",
    "data.max_unreadable",
    "evaluate.max_unreadable",
)


# Settings of the engine that were renamed: {old key: new key}.
RENAMED_KEYS: dict[str, str] = {}
MOST_FLOAT = 1e308  # of a whole number that is given for one


def base_config() -> ConfigDict:
    """Every setting of the engine. Methods add theirs under `model`, `data` and `task`."""
    return ConfigDict(with_defaults({"method": "", "model": {}, "task": {}}), convert_dict=True)


def with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """`config`, where it lacks a setting of the engine with its default."""
    for key, (default, _) in SETTINGS.items():
        *tables, last = key.split(".")
        node = config
        for table in tables:
            node = node.setdefault(table, {})
        node.setdefault(last, default)
    return config


def load_config(path: str, overrides: Iterable[str] = ()) -> ConfigDict:
    """The recipe at `path` with `key=value` overrides, resolved and locked.

    `path` may leave out the folder and the suffix, and may end in the recipe's arguments:
    "videomae/demo", "sparseformer/tiny:gpus=1". InputError names the file or the nearest right key.
    """
    config = read_config(path)
    for override in overrides:
        apply_override(config, override)
    return config.copy_and_resolve_references().lock()


def read_config(path: str) -> ConfigDict:
    """What a recipe, or the resolved config of a run (a JSON file), says by itself."""
    name, argument = split_argument(path)
    file = find_recipe(name)
    if file.suffix != ".json":
        config = run_recipe(file, argument)
    elif argument is None:
        config = config_of_run(file)
    else:
        raise InputError(f"{file}: the config of a run takes no arguments, got {argument!r}")
    refuse_renamed(dict(leaves(config)), RENAMED_KEYS)
    return config


def refuse_renamed(keys: Iterable[str], renamed: Mapping[str, str]) -> None:
    """InputError where one of `keys` has been renamed, or is in a table that has: it says the new
    name. renamed: {old key: new key}."""
    for key in keys:
        for old, new in renamed.items():
            if f"{key}.".startswith(f"{old}."):
                raise InputError(f"config key {old!r} is now called {new!r}")


def split_argument(path: str) -> tuple[str, str | None]:
    """("NAME", "ARGUMENT") of "NAME:ARGUMENT"; a file's whole name may hold a colon."""
    if Path(path).is_file():
        return path, None
    name, colon, argument = path.partition(":")
    return name, argument if colon else None


def run_recipe(file: Path, argument: str | None = None) -> ConfigDict:
    """What the `get_config` of the recipe in `file` returns. `argument`: for one that takes any."""
    spec = importlib.util.spec_from_file_location("jaxvision_recipe", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with running(file):
        spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise InputError(f"{file}: defines no get_config()")
    takes = bool(inspect.signature(module.get_config).parameters)
    if argument is not None and not takes:
        raise InputError(f"{file}: takes no arguments, got {argument!r}")
    with running(file):
        return module.get_config(argument or "") if takes else module.get_config()


@contextlib.contextmanager
def running(file: Path) -> Iterator[None]:
    """Whatever a recipe raises becomes an InputError that names the line of its file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(file)]
        where = f"{file}:{lines[-1]}" if lines else str(file)
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{where}: {said}") from error


def recipe_arguments(text: str, **defaults: int | float | str | bool) -> SimpleNamespace:
    """The arguments of a recipe: `defaults`, with what `text` ("gpus=1,size=b") gives instead.

    Each value has the type of its default; `gpus`, where given, is at least 1. InputError for
    one that is given twice; for an unknown one it names the nearest.
    """
    arguments = SimpleNamespace(**defaults)
    given: set[str] = set()
    for word in filter(None, text.split(",")):
        name, equals, value = word.partition("=")
        check_choice("no recipe argument", name, defaults)
        if name in given:
            raise InputError(f"recipe argument {name!r} is given twice: {text}")
        given.add(name)
        if not equals:
            raise InputError(f"recipe argument {name!r}: expected {name}=VALUE")
        setattr(arguments, name, parse_value(f"recipe argument {name!r}", value, defaults[name]))
        if name == "gpus" and arguments.gpus < 1:
            raise InputError(f"recipe argument 'gpus': expected at least 1, got {value}")
    return arguments


def config_of_run(file: Path) -> ConfigDict:
    """What a run was started with. A setting of the engine that is newer than the run has its
    default, which is what the run did. InputError for a file that is not such a config."""
    try:
        stored = read_json(file)
    except InputError as error:
        reason = str(error).removeprefix(f"{file}: ")
        raise InputError(f"{file}: not the config of a run ({reason})") from error
    if not isinstance(stored, dict) or not stored:
        raise InputError(f"{file}: not the config of a run (expected a table of settings)")
    with reading(file, "the config of a run"):
        return ConfigDict(with_defaults(stored))


def recipe_folders() -> list[Path]:
    """Where recipes are looked for: here, then beside or inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    return [Path("configs"), package.parent / "configs", package / "configs"]


def recipes() -> dict[str, Path]:
    """{"videomae/demo": path} of every recipe that can be found."""
    found: dict[str, Path] = {}
    for folder in recipe_folders():
        for file in sorted(folder.glob("*/*.py")):
            found.setdefault(f"{file.parent.name}/{file.stem}", file)
    return found


def find_recipe(path: str) -> Path:
    if Path(path).is_file():
        return Path(path)
    known = recipes()
    name = path.removeprefix("configs/").removesuffix(".py")
    if name in known:
        return known[name]
    raise InputError(f"no config file {path!r}{nearest(name, known)}")


def apply_override(config: ConfigDict, override: str) -> None:
    """Set `a.b=value` in `config`; the value must have the type of the one it replaces."""
    key, equals, text = override.partition("=")
    if not equals:
        raise InputError(f"--config.{key}: expected --config.{key}=VALUE")
    *parents, last = key.split(".")
    node: Any = config
    for depth, name in enumerate([*parents, last]):
        if not isinstance(node, ConfigDict) or name not in node:
            refuse_renamed([key], RENAMED_KEYS)
            known = dict(leaves(config)).keys()
            raise InputError(
                f"no config key {'.'.join([*parents, last][: depth + 1])!r}{nearest(key, known)}"
            )
        if depth < len(parents):
            node = node[name]
    old = node[last]
    if isinstance(old, (ConfigDict, dict)):
        node[last] = parse_table(key, text, old)
    else:
        node[last] = parse_value(f"config key {key!r}", text, old)


def parse_table(key: str, text: str, old: Mapping[str, Any]) -> ConfigDict:
    """`{"name": value, ...}` in place of a table whose names are a user's own: one that is empty,
    or whose values are tuples as the new ones are (class names and their labels); those of a run
    are lists, as JSON has them."""
    old = {name: tuple(v) if isinstance(v, list) else v for name, v in old.items()}
    expected = f"set one of {', '.join(sorted(old))}" if old else "expected {'name': value, ...}"
    if old and all(isinstance(value, tuple) for value in old.values()):
        first = next(iter(old.items()))
        expected = f"expected one like {dict([first])}"
    refusal = InputError(f"config key {key!r} is a table; {expected}")
    try:
        table = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise refusal from None
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table):
        raise refusal
    table = {name: tuple(v) if isinstance(v, list) else v for name, v in table.items()}
    if old and {type(value) for value in (*old.values(), *table.values())} != {tuple}:
        raise refusal
    return ConfigDict(table)


def parse_value(what: str, text: str, old: Any) -> Any:
    """`text` as a value of the type of `old`. `what` is named where it has none."""
    if isinstance(old, str):
        return text
    try:
        value = ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text, text))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        value = text
    if isinstance(old, float) and type(value) is int and abs(value) < MOST_FLOAT:
        value = float(value)
    if isinstance(old, (tuple, list)) and isinstance(value, (tuple, list)):
        return type(old)(value)
    if old is not None and type(value) is not type(old):
        raise InputError(f"{what}: expected {type(old).__name__} like {old!r}, got {text!r}")
    return value


def leaves(config: Mapping, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """("a.b", value) of every setting."""
    for key, value in config.items():
        if isinstance(value, (ConfigDict, dict)) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def as_json(config: ConfigDict) -> dict[str, Any]:
    """The resolved config as plain JSON values."""
    return json.loads(json.dumps(config.to_dict(), default=str))


def difference(old: Mapping, new: Mapping) -> list[str]:
    """One line per setting that decides what a run computes and is not the same in both."""
    before, after = dict(leaves(old)), dict(leaves(new))
    lines = []
    for key in sorted(before.keys() | after.keys()):
        operational = any(key == name or key.startswith(name + ".") for name in OPERATIONAL)
        if not operational and before.get(key) != after.get(key):
            lines.append(f"{key}: {before.get(key)!r} -> {after.get(key)!r}")
    return lines


def check_choices(config: ConfigDict) -> None:
    """InputError for engine settings that no run can have."""
    for key, dtype in (("dtype", config.dtype), ("frozen.dtype", config.frozen.dtype)):
        if dtype not in ("float32", "bfloat16"):
            raise InputError(f"{key} {dtype!r}: expected 'float32' or 'bfloat16'")
    if "memory" in config.ema.collections:
        raise InputError("ema.collections: a memory is never averaged; leave 'memory' out")
    if config.evaluate.weights not in ("raw", "ema"):
        raise InputError(f"evaluate.weights {config.evaluate.weights!r}: expected 'raw' or 'ema'")
    if config.evaluate.weights == "ema" and not config.ema.decay:
        raise InputError("evaluate.weights is 'ema' but ema.decay is 0: no average is kept")
    if bool(config.train.steps) == bool(config.train.epochs):
        raise InputError(
            f"set exactly one of train.steps and train.epochs, which are {config.train.steps} and "
            f"{config.train.epochs}; the other is 0"
        )
    for key in (
        "train.batch_size",
        "train.accumulate",
        "checkpoint.every_steps",
        "log.every_steps",
    ):
        table, name = key.split(".")
        if config[table][name] < 1:
            raise InputError(f"{key} is {config[table][name]}: expected at least 1")
    batch, micro = config.train.batch_size, config.train.accumulate
    if batch % micro:
        raise InputError(f"train.accumulate={micro} does not divide train.batch_size={batch}")
    for key in ("draw_groups", "norm_groups", "loss_groups"):
        groups = config.train[key]
        if groups < 1 or (batch // micro) % groups:
            raise InputError(f"train.{key}={groups} does not divide {batch // micro} records")


def command_line() -> str:
    """The command that was started, to be pasted into a shell."""
    program, *words = sys.argv
    module = Path(program).name == "__main__.py"  # of `python -m jaxvision`
    return shlex.join([sys.executable, "-m", "jaxvision", *words] if module else sys.argv)
