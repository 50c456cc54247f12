"""A pickle machine that knows data and nothing else: the one reader of every pickle.

Python's own unpickler calls whatever a file names. This one interprets the opcodes itself: a name
from a file is looked up in a table of ours, never imported, and the only calls ever made are to the
functions of that table, which hold no class and no function of a library. A name of the standard
library that is not in the table, and a call of anything that is not in it, refuse the file. Objects
of other unknown classes become `Opaque` data.

A file can also try to exhaust its reader. So, whatever it holds:
- keys and members of sets are text, numbers or short tuples of them: hashing a nested tuple can
  take exponential time, and recurses in C; of tuples few have one hash, which a file can choose:
  a table of thousands with one hash is quadratic work;
- a call costs the length of what it is given, and all calls together may cost a few times the bytes
  of the file: without it, one long list named again and again is quadratic work;
- the finished value is walked once, without recursion: its depth is bounded, and nothing in it
  holds itself;
- no message shows contents, whose text may be far larger than the file.
"""

import pickletools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import IO, Any

MAX_DEPTH = 100  # of containers in one another; optimizers and configurations have about ten
MAX_NAME = 200  # characters of a module and a name in it
MAX_KEY = 8  # parts of a tuple that is a key
MAX_EQUAL_HASHES = 64  # tuples of one hash in a table or set
# Calls may cost so many times the bytes read: the bytes of an array are copied twice.
COST_PER_BYTE, FREE_COST = 4, 1 << 16


class RefusedError(Exception):
    """The file asks for something that is not data; the message names it."""


class DamagedError(Exception):
    """The opcodes make no sense."""


@dataclass
class Opaque:
    """An object of a class that this reader does not know: its name, and what the file says."""

    name: str
    arguments: tuple = ()
    state: Any = None


@dataclass
class Unfinished:
    """What a call of the table returns when the object's state is still to come."""

    finish: Callable[[Any], Any]
    memo: list[int] = field(default_factory=list)  # where the machine keeps it


@dataclass(frozen=True)
class Known:
    """A name of the table: the function of ours that a call of it means (None: not callable), or
    the value it stands for."""

    name: str
    make: Callable[..., Any] | None = None
    value: Any = None


@dataclass(frozen=True)
class Unknown:
    """A class of some package, mentioned only."""

    name: str


class Mark:
    """The stack's bracket."""


_MARK = Mark()
_PUSHED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
# Opcodes whose argument, as pickletools decodes it, is the value pushed.
_NUMBERS = ("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT")
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_BYTES = ("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_LITERAL = frozenset((*_NUMBERS, *_TEXTS, *_BYTES, "BYTEARRAY8"))


@dataclass
class PickleMachine:
    """Reads one pickle.

    names: {"module name": Known}, everything a file may refer to.
    persistent: answers persistent ids (PyTorch's storages); None where a file may have none.
    strict: refuse objects of unknown classes, too.
    """

    names: Mapping[str, Known]
    persistent: Callable[[Any], Any] | None = None
    strict: bool = False
    stack: list = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    position: int = 0
    cost: int = 0
    # By id: a table or set that grew after it was made, and how many tuples in it have each hash.
    grown: dict[int, tuple[Any, dict[int, int]]] = field(default_factory=dict)

    def load(self, stream: bytes | IO[bytes]) -> Any:
        """The object of a pickle; a stream is left after it. Raises RefusedError, DamagedError."""
        try:
            for opcode, argument, position in pickletools.genops(stream):
                self.position = position or 0
                self._step(opcode.name, argument)
            (value,) = self.stack
            check_structure(value)
        except (RefusedError, DamagedError):
            raise
        except Exception as error:
            # Opcodes of a damaged file do whatever they like to the stack, and each has its own
            # error; its text may hold contents of the file.
            kind = type(error).__name__
            raise DamagedError(f"{kind} at byte {self.position} of its pickle") from error
        return value

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _LITERAL:
            stack.append(argument)
        elif name in _PUSHED:
            stack.append(_PUSHED[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("PROTO", "FRAME", "STOP"):
            pass
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._remember(argument)
        elif name == "MEMOIZE":
            self._remember(len(self.memo))
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        else:
            handler = getattr(self, f"_op_{name.lower()}", None)
            if handler is None:
                raise RefusedError(f"pickle opcode {name}")
            handler(argument)

    def _remember(self, key: int) -> None:
        value = self.memo[key] = self.stack[-1]
        if isinstance(value, Unfinished):
            value.memo.append(key)

    def _marked(self) -> list:
        """Everything above the topmost mark, which goes too."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise DamagedError("no mark on the stack")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _op_pop(self, _: Any) -> None:
        self.stack.pop()

    def _op_pop_mark(self, _: Any) -> None:
        self._marked()

    def _op_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _op_list(self, _: Any) -> None:
        self.stack.append(self._marked())

    def _op_append(self, _: Any) -> None:
        item = self.stack.pop()
        self._extend([item])

    def _op_appends(self, _: Any) -> None:
        self._extend(self._marked())

    def _extend(self, items: list) -> None:
        target = self.stack[-1]
        if isinstance(target, Opaque):
            target = target.state = [] if target.state is None else target.state
        if not isinstance(target, list):
            raise DamagedError("append to something that is no list")
        target.extend(items)

    def _op_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._marked()))

    def _op_tuple1(self, _: Any) -> None:
        self._tuple(1)

    def _op_tuple2(self, _: Any) -> None:
        self._tuple(2)

    def _op_tuple3(self, _: Any) -> None:
        self._tuple(3)

    def _tuple(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        if len(items) != count or any(item is _MARK for item in items):
            raise DamagedError("too few items for a tuple")
        self.stack[-count:] = [items]

    def _op_dict(self, _: Any) -> None:
        self.stack.append(mapping(pairs(self._marked())))

    def _op_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([(key, value)])

    def _op_setitems(self, _: Any) -> None:
        self._update(pairs(self._marked()))

    def _update(self, items: Iterable[tuple[Any, Any]]) -> None:
        target = self.stack[-1]
        if isinstance(target, Opaque):
            if target.state is None:
                target.state = {}
            target = target.state
        if not isinstance(target, dict):
            raise DamagedError("item of something that is no dictionary")
        items = list(items)
        target.update(mapping(items, self._hashes(target, (key for key, _ in items))))

    def _op_additems(self, _: Any) -> None:
        items = self._marked()
        target = self.stack[-1]
        if not isinstance(target, set):
            raise DamagedError("member of something that is no set")
        target.update(checked_keys(items, self._hashes(target, items)))

    def _hashes(self, target: dict | set, keys: Iterable) -> dict[int, int]:
        """Of the tuples in `target`, which grows by `keys`: where none is a tuple, none counts."""
        if not any(isinstance(key, tuple) for key in keys):
            return {}
        return self.grown.setdefault(id(target), (target, {}))[1]

    def _op_frozenset(self, _: Any) -> None:
        self.stack.append(frozenset(checked_keys(self._marked())))

    def _op_global(self, argument: str) -> None:
        self.stack.append(self._find(*argument.split(" ", 1)))

    def _op_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self._find(module, name))

    def _op_inst(self, argument: str) -> None:
        function = self._find(*argument.split(" ", 1))
        self.stack.append(self._call(function, tuple(self._marked())))

    def _op_obj(self, _: Any) -> None:
        function, *arguments = self._marked()
        self.stack.append(self._call(function, tuple(arguments)))

    def _op_reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self._call(function, arguments))

    def _op_newobj(self, _: Any) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        self.stack.append(self._new(cls, arguments))

    def _op_newobj_ex(self, _: Any) -> None:
        keywords, arguments, cls = (self.stack.pop() for _ in range(3))
        self._spend(arguments, keywords)
        self.stack.append(self._new(cls, (*arguments, *keywords.items())))

    def _op_build(self, _: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Opaque):
            target.state = state
        elif isinstance(target, SimpleNamespace):
            self._spend(state)
            vars(target).update(mapping(state.items()))
        elif isinstance(target, Unfinished):
            self._spend(state, *state)
            new = self.stack[-1] = target.finish(state)
            for key in target.memo:
                self.memo[key] = new
            target.memo.clear()
        elif not isinstance(target, dict):
            # Attributes of a state dict (module versions) carry nothing that counts; of anything
            # else they might.
            raise RefusedError(f"state of a {type(target).__name__}")

    def _op_persid(self, argument: Any) -> None:
        if self.persistent is None:
            raise RefusedError("an object outside of its pickle")
        self.stack.append(self.persistent(argument))

    def _op_binpersid(self, _: Any) -> None:
        self._op_persid(self.stack.pop())

    def _find(self, module: Any, name: Any) -> Known | Unknown:
        if not isinstance(module, str) or not isinstance(name, str):
            raise DamagedError("a name that is no text")
        if len(module) + len(name) > MAX_NAME:
            raise DamagedError(f"a name of {len(module) + len(name)} characters")
        known = self.names.get(f"{module} {name}")
        if known is not None:
            return known
        root = module.partition(".")[0]
        built_in = root in sys.stdlib_module_names or root in ("__builtin__", "copy_reg", "")
        if self.strict or built_in:
            raise RefusedError(f"{module}.{name}")
        return Unknown(f"{module}.{name}")

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Known) or function.make is None:
            raise RefusedError(f"a call of {getattr(function, 'name', type(function).__name__)}")
        if not isinstance(arguments, tuple):
            raise DamagedError("arguments that are no tuple")
        self._spend(arguments, *arguments)
        if function.name.endswith(" _reconstructor"):
            return self._new(arguments[0], ())
        return function.make(*arguments)

    def _new(self, cls: Any, arguments: Any) -> Any:
        if isinstance(cls, Unknown) and isinstance(arguments, tuple):
            return Opaque(cls.name, arguments)
        return self._call(cls, arguments)

    def _spend(self, *values: Any) -> None:
        """Account for a call's work, before it is done."""
        self.cost += sum(len(v) for v in values if isinstance(v, _SIZED))
        if self.cost > FREE_COST + COST_PER_BYTE * self.position:
            raise RefusedError("far more work than its size accounts for")


_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
_ATOMS = (str, bytes, float, type(None))


def checked_keys(keys: Iterable, hashes: dict[int, int] | None = None) -> list:
    """`keys` of one table or set, where they may be that: quick to hash and to find, whatever the
    file. hashes: of the tuples that are in it already, with their number."""
    hashes = {} if hashes is None else hashes
    return [key if type(key) is str else _checked_key(key, hashes) for key in keys]


def _checked_key(key: Any, hashes: dict[int, int]) -> Any:
    parts = key if isinstance(key, tuple) else (key,)
    simple = all(
        isinstance(part, _ATOMS) or (isinstance(part, int) and -(2**63) <= part < 2**64)
        for part in parts[:MAX_KEY]
    )
    if not simple or len(parts) > MAX_KEY:
        raise RefusedError("a key that is not text, a number or a short tuple of them")
    if isinstance(key, tuple):
        found = hash(key)
        hashes[found] = hashes.get(found, 0) + 1
        if hashes[found] > MAX_EQUAL_HASHES:
            raise RefusedError(f"a table of more than {MAX_EQUAL_HASHES} keys with one hash")
    return key


def pairs(items: list) -> Iterator[tuple[Any, Any]]:
    """(key, value) of a flat list of both."""
    if len(items) % 2:
        raise DamagedError("a key without a value")
    return zip(items[::2], items[1::2], strict=True)


def mapping(items: Iterable, hashes: dict[int, int] | None = None) -> dict:
    """A dictionary of pairs from a file; hashes as in `checked_keys`."""
    found = list(items)
    keys = checked_keys((key for key, _ in found), hashes)
    return {key: value for key, (_, value) in zip(keys, found, strict=True)}


def check_structure(value: Any) -> None:
    """Every container of `value` is entered once, and its height known when it is left. Raises
    RefusedError where it is too deep or holds itself, DamagedError for what is no value."""
    heights: dict[int, int] = {}  # of containers left
    # Open containers: what is left to see of each, and its height so far.
    path: list[tuple[Any, Iterator[Any], int]] = [(None, iter((value,)), 0)]
    inside: set[int] = set()
    while path:
        holder, members, height = path[-1]
        for member in members:
            known = heights.get(id(member))
            if known is None and isinstance(member, _CONTAINERS):
                if id(member) in inside:
                    raise RefusedError("something that holds itself")
                path[-1] = holder, members, height
                path.append((member, _members(member), 0))
                inside.add(id(member))
                break
            if isinstance(member, Mark | Unfinished):
                raise DamagedError("an object without its state")
            height = max(height, known or 0)
        else:
            path.pop()
            inside.discard(id(holder))
            heights[id(holder)] = height + 1
            if path:
                above, left, most = path[-1]
                path[-1] = above, left, max(most, height + 1)
        if len(path) + height > MAX_DEPTH:
            raise RefusedError(f"more than {MAX_DEPTH} containers in one another")


_CONTAINERS = (list, tuple, dict, set, frozenset, Opaque, SimpleNamespace)


def _members(value: Any) -> Iterator[Any]:
    if isinstance(value, Opaque):
        return iter((value.arguments, value.state))
    if isinstance(value, SimpleNamespace):
        value = vars(value)
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value if isinstance(value, list | tuple) else ())
