"""A pickle machine that knows data and nothing else.

Python's own unpickler calls whatever a file names. This one interprets the opcodes itself: a name
from a file is looked up in a table of ours, never imported, and the only calls ever made are to the
functions of that table. A name of the standard library that is not in the table, and a call of
anything that is not in it, refuse the file. Objects of other unknown classes become `Opaque` data.
"""

import pickletools
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any


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
_PUSHED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
# Opcodes whose argument, as pickletools decodes it, is the value pushed.
_NUMBERS = ("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT")
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_BYTES = ("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_LITERAL = frozenset((*_NUMBERS, *_TEXTS, *_BYTES, "BYTEARRAY8"))
_BROKEN = (
    AttributeError,
    MemoryError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    UnicodeDecodeError,
    struct.error,
)


@dataclass
class PickleMachine:
    """Reads one pickle.

    names: {"module name": Known}, everything a file may refer to.
    persistent: answers persistent ids (PyTorch's storages).
    """

    names: Mapping[str, Known]
    persistent: Callable[[Any], Any]
    stack: list = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def load(self, stream: bytes | IO[bytes]) -> Any:
        """The object of a pickle; a stream is left after it. Raises RefusedError, DamagedError."""
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                self._step(opcode.name, argument)
            (value,) = self.stack
        except _BROKEN as error:
            raise DamagedError(f"{type(error).__name__}: {error}") from error
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
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        else:
            handler = getattr(self, f"_op_{name.lower()}", None)
            if handler is None:
                raise RefusedError(f"pickle opcode {name}")
            handler(argument)

    def _marked(self) -> list:
        """Everything above the topmost mark, which goes too."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark on the stack")
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
            target.state = [*(target.state or []), *items]
        elif isinstance(target, list):
            target.extend(items)
        else:
            raise TypeError("append to something that is no list")

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
            raise ValueError("too few items for a tuple")
        self.stack[-count:] = [items]

    def _op_dict(self, _: Any) -> None:
        self.stack.append(_pairs(self._marked()))

    def _op_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update({key: value})

    def _op_setitems(self, _: Any) -> None:
        self._update(_pairs(self._marked()))

    def _update(self, items: dict) -> None:
        target = self.stack[-1]
        if isinstance(target, Opaque):
            target.state = {**(target.state or {}), **items}
        elif isinstance(target, dict):
            target.update(items)
        else:
            raise TypeError("item of something that is no dictionary")

    def _op_additems(self, _: Any) -> None:
        items = self._marked()
        target = self.stack[-1]
        if not isinstance(target, set):
            raise TypeError("member of something that is no set")
        target.update(items)

    def _op_frozenset(self, _: Any) -> None:
        self.stack.append(frozenset(self._marked()))

    def _op_global(self, argument: str) -> None:
        self.stack.append(self._find(argument))

    def _op_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self._find(f"{module} {name}"))

    def _op_inst(self, argument: str) -> None:
        self.stack.append(self._call(self._find(argument), tuple(self._marked())))

    def _op_obj(self, _: Any) -> None:
        function, *arguments = self._marked()
        self.stack.append(self._call(function, tuple(arguments)))

    def _op_reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self._call(function, tuple(arguments)))

    def _op_newobj(self, _: Any) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        self.stack.append(self._new(cls, tuple(arguments)))

    def _op_newobj_ex(self, _: Any) -> None:
        keywords, arguments, cls = (self.stack.pop() for _ in range(3))
        self.stack.append(self._new(cls, (*arguments, *keywords.items())))

    def _op_build(self, _: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Opaque):
            target.state = state
        elif isinstance(target, Unfinished):
            self._replace(target, target.finish(state))
        elif not isinstance(target, dict):
            # Attributes of a state dict (module versions) carry nothing that counts; of anything
            # else they might.
            raise RefusedError(f"state of a {type(target).__name__}")

    def _replace(self, old: Any, new: Any) -> None:
        self.stack[-1] = new
        for key, value in self.memo.items():
            if value is old:
                self.memo[key] = new

    def _op_persid(self, argument: Any) -> None:
        self.stack.append(self.persistent(argument))

    def _op_binpersid(self, _: Any) -> None:
        self.stack.append(self.persistent(self.stack.pop()))

    def _find(self, argument: str) -> Known | Unknown:
        known = self.names.get(argument)
        if known is not None:
            return known
        module, _, name = argument.partition(" ")
        root = module.partition(".")[0]
        if root in sys.stdlib_module_names or root in ("__builtin__", "copy_reg", ""):
            raise RefusedError(f"{module}.{name}")
        return Unknown(f"{module}.{name}")

    def _call(self, function: Any, arguments: tuple) -> Any:
        if not isinstance(function, Known) or function.make is None:
            raise RefusedError(f"a call of {getattr(function, 'name', type(function).__name__)}")
        if function.name.endswith(" _reconstructor"):
            return self._new(arguments[0], ())
        return function.make(*arguments)

    def _new(self, cls: Any, arguments: tuple) -> Any:
        if isinstance(cls, Unknown):
            return Opaque(cls.name, arguments)
        return self._call(cls, arguments)


def _pairs(items: list) -> dict:
    if len(items) % 2:
        raise ValueError("a key without a value")
    return dict(zip(items[::2], items[1::2], strict=True))
