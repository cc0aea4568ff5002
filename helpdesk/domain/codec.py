"""Frozen dataclasses as plain JSON structures and back: how Facts and Decisions are stored.

What a field's type says is what its value becomes:

    str int float bool None, Literal       themselves
    StrEnum                                its value
    datetime                               ISO 8601 in UTC; date and time: ISO 8601
    timedelta                              seconds
    Fraction                               "1/3"
    dataclass                              {field: value}
    tuple, frozenset, Mapping[key, X]      list, sorted list, object
    X | None                               null or X
    any other union                        as above for str, int, float, bool, None and one tuple; the rest is tagged:
                                           {"is": "Say", field: value} or {"is": "date", "value": "2026-05-01"}

Versions may differ: keys that no field has are passed over, fields without a key take their default. A field with
``metadata={"stored": False}`` is never written and always loads as its default.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

T = TypeVar("T")

_Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Form:
    """How values of one type are written and read; ``dump`` is None where they are JSON as they are."""

    dump: _Convert | None
    load: _Convert


@dataclass(slots=True)
class _Plan:
    """The stored fields of one dataclass."""

    cls: type
    fields: list[tuple[str, _Form, bool]] = dataclasses.field(default_factory=list)

    def dump(self, value: Any) -> dict[str, Any]:
        plain = {}
        for name, form, _ in self.fields:
            item = getattr(value, name)
            plain[name] = item if form.dump is None else form.dump(item)
        return plain

    def load(self, plain: Any) -> Any:
        if not isinstance(plain, dict):
            raise ValueError(f"{self.cls.__name__} cannot be read from {_short(plain)}")
        values = {}
        for name, form, required in self.fields:
            if name in plain:
                try:
                    values[name] = form.load(plain[name])
                except (ValueError, TypeError, OverflowError) as error:
                    raise ValueError(f"{self.cls.__name__}.{name}: {error}") from error
            elif required:
                raise ValueError(f"{self.cls.__name__}.{name} is missing")
        return self.cls(**values)


# A plan is put here only when it is complete, so that threads need no lock: at worst two make the same one.
_plans: dict[type, _Plan] = {}


def dump(value: Any) -> dict[str, Any]:
    """A dataclass as a structure that ``json.dumps`` writes; TypeError for a field type that has no stored form."""
    return (_plans.get(type(value)) or _plan(type(value))).dump(value)


def load(cls: type[T], plain: object) -> T:
    """The dataclass from what ``dump`` gave; ValueError names the field that cannot be read."""
    return cast(T, (_plans.get(cls) or _plan(cls)).load(plain))


def _plan(cls: type) -> _Plan:
    made: dict[type, _Plan] = {}
    plan = _compile(cls, made)
    _plans.update(made)
    return plan


def _compile(cls: type, made: dict[type, _Plan]) -> _Plan:
    """The plan of a class; ``made`` has those begun already, so that a class may hold itself."""
    if cls in _plans or cls in made:
        return _plans.get(cls) or made[cls]
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls!r} is not a dataclass")
    plan = made[cls] = _Plan(cls)
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.init and field.metadata.get("stored", True):
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            try:
                plan.fields.append((field.name, _form(hints[field.name], made), required))
            except TypeError as error:
                raise TypeError(f"{cls.__name__}.{field.name}: {error}") from error
    return plan


def _form(kind: Any, made: dict[type, _Plan]) -> _Form:
    if kind in _SCALARS:
        return _SCALARS[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union(arguments, made)
    if origin is Literal:
        return _Form(None, _one_of(arguments))
    if origin is tuple:
        return _tuple(arguments, made)
    if origin is frozenset:
        return _frozenset(arguments[0], made)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(arguments[0], arguments[1], made)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _Form(lambda value: value.value, kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        plan = _compile(kind, made)
        return _Form(plan.dump, plan.load)
    raise TypeError(f"{kind!r} has no stored form")


def _native(*legal: type) -> _Form:
    def load_native(plain: Any) -> Any:
        if type(plain) not in legal:
            raise ValueError(f"{legal[0].__name__} cannot be read from {_short(plain)}")
        return plain

    return _Form(None, load_native)


def _text(cls: type, dump_text: Callable[[Any], str], load_text: Callable[[str], Any]) -> _Form:
    def load_checked(plain: Any) -> Any:
        if not isinstance(plain, str):
            raise ValueError(f"{cls.__name__} cannot be read from {_short(plain)}")
        return load_text(plain)

    return _Form(dump_text, load_checked)


def _dump_datetime(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone")
    return value.astimezone(UTC).isoformat()


def _load_datetime(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return value.astimezone(UTC)


def _dump_seconds(value: timedelta) -> float:
    seconds = value.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def _load_seconds(plain: Any) -> timedelta:
    if type(plain) not in (int, float):
        raise ValueError(f"timedelta cannot be read from {_short(plain)}")
    return timedelta(seconds=plain)


_SCALARS: dict[Any, _Form] = {
    str: _native(str),
    int: _native(int),
    float: _native(float, int),
    bool: _native(bool),
    types.NoneType: _native(types.NoneType),
    datetime: _text(datetime, _dump_datetime, _load_datetime),
    date: _text(date, date.isoformat, date.fromisoformat),
    time: _text(time, time.isoformat, time.fromisoformat),
    timedelta: _Form(_dump_seconds, _load_seconds),
    Fraction: _text(Fraction, str, Fraction),
}
_NATIVE = (str, int, float, bool, types.NoneType)


def _one_of(legal: tuple[Any, ...]) -> _Convert:
    def load_one_of(plain: Any) -> Any:
        if plain not in legal:
            raise ValueError(f"{_short(plain)} is none of {legal!r}")
        return plain

    return load_one_of


def _tuple(arguments: tuple[Any, ...], made: dict[type, _Plan]) -> _Form:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        form = _form(arguments[0], made)
        dump_item, load_item = form.dump, form.load
        return _Form(
            list if dump_item is None else lambda value: [dump_item(item) for item in value],
            lambda plain: tuple(load_item(item) for item in _listed(plain)),
        )
    forms = [_form(argument, made) for argument in arguments]
    return _Form(
        lambda value: [_dumped(form, item) for form, item in zip(forms, value, strict=True)],
        lambda plain: tuple(form.load(item) for form, item in zip(forms, _listed(plain), strict=True)),
    )


def _frozenset(argument: Any, made: dict[type, _Plan]) -> _Form:
    form = _form(argument, made)
    return _Form(
        lambda value: sorted((_dumped(form, item) for item in value), key=repr),
        lambda plain: frozenset(form.load(item) for item in _listed(plain)),
    )


def _mapping(key: Any, item: Any, made: dict[type, _Plan]) -> _Form:
    form = _form(item, made)
    if key is str:
        return _Form(
            lambda value: {name: _dumped(form, item) for name, item in value.items()},
            lambda plain: {name: form.load(item) for name, item in _object(plain).items()},
        )
    if key is int:
        dump_key, load_key = str, cast(_Convert, int)
    elif key is date or (isinstance(key, type) and issubclass(key, StrEnum)):
        names = _form(key, made)
        dump_key, load_key = cast(Any, names.dump), names.load
    else:
        raise TypeError(f"{key!r} cannot be the key of a stored mapping")
    return _Form(
        lambda value: {dump_key(name): _dumped(form, item) for name, item in value.items()},
        lambda plain: {load_key(name): form.load(item) for name, item in _object(plain).items()},
    )


def _union(members: tuple[Any, ...], made: dict[type, _Plan]) -> _Form:
    others = [member for member in members if member is not types.NoneType]
    if len(others) == 1:
        return _optional(_form(others[0], made))
    natives = tuple(member for member in members if member in _NATIVE)
    json_types = (*natives, int) if float in natives else natives
    by_class = {_class(member): (_name(member), _form(member, made)) for member in others if member not in natives}
    by_name = {name: (cls, form) for cls, (name, form) in by_class.items()}
    if len(by_name) != len(others) - len([member for member in others if member in natives]):
        raise TypeError(f"the members of {members!r} cannot be told apart")

    def dump_union(value: Any) -> Any:
        cls = type(value)
        if cls in json_types:
            return value
        if cls not in by_class:
            raise TypeError(f"{cls.__name__} is none of {', '.join(map(_name, members))}")
        name, form = by_class[cls]
        plain = _dumped(form, value)
        if cls is tuple:
            return plain
        return {"is": name, **plain} if dataclasses.is_dataclass(cls) else {"is": name, "value": plain}

    def load_union(plain: Any) -> Any:
        if type(plain) in json_types:
            return plain
        if isinstance(plain, list) and tuple in by_class:
            return by_class[tuple][1].load(plain)
        name = plain.get("is") if isinstance(plain, dict) else None
        if not isinstance(name, str) or name not in by_name:
            raise ValueError(f"{_short(plain)} is none of {', '.join(map(_name, members))}")
        cls, form = by_name[name]
        return form.load(plain if dataclasses.is_dataclass(cls) else plain.get("value"))

    return _Form(dump_union, load_union)


def _optional(form: _Form) -> _Form:
    dump_some, load_some = form.dump, form.load
    return _Form(
        None if dump_some is None else lambda value: None if value is None else dump_some(value),
        lambda plain: None if plain is None else load_some(plain),
    )


def _class(member: Any) -> type:
    """The class by which a value of a union is known."""
    if isinstance(get_origin(member), type) and issubclass(get_origin(member), Mapping):
        return dict
    return cast(type, get_origin(member) or member)


def _name(member: Any) -> str:
    return str(getattr(_class(member), "__name__", member))


def _dumped(form: _Form, value: Any) -> Any:
    return value if form.dump is None else form.dump(value)


def _listed(plain: Any) -> list[Any]:
    if not isinstance(plain, list):
        raise ValueError(f"a list cannot be read from {_short(plain)}")
    return plain


def _object(plain: Any) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise ValueError(f"a mapping cannot be read from {_short(plain)}")
    return plain


def _short(plain: Any) -> str:
    text = repr(plain)
    return text if len(text) <= 60 else text[:57] + "..."
