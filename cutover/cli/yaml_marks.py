"""YAML that remembers the line of everything in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from cutover.errors import BadInput

Place = tuple[str | int, ...]
"""The keys and list indices that lead to a value, from the top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A document as plain values, and the lines (from 1) where its keys and values stand."""

    value: object
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int:
        """The line of a place; of the nearest enclosing one, when the place itself is missing."""
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]

    def scalars(self) -> Iterator[tuple[Place, str]]:
        """Every text in the document, with its place."""
        return _texts((), self.value)


def read_marked(text: str, name: str) -> Marked:
    """Read one YAML document; BadInput, naming the line, when it is not one."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}, line {mark.line + 1}" if mark else name
        raise BadInput(
            f"{where}: this is not YAML: {error.problem}. Mend the line; nothing was changed."
        ) from None
    except yaml.YAMLError as error:
        raise BadInput(
            f"{name}: this is not YAML text: {error}. Write it as UTF-8; nothing was changed."
        ) from None
    except RecursionError:
        raise BadInput(f"{name}: this is nested too deep to be a plan. Nothing was changed.") from None
    if node is None:
        raise BadInput(f"{name} is empty. Write a plan into it (docs/reference/plan-file.md).")
    lines: dict[Place, int] = {(): 1}
    return Marked(value=_Walk(name, lines).value_of(node, ()), lines=lines)


class _Walk:
    """Turns nodes into plain values, and fills in the lines."""

    def __init__(self, name: str, lines: dict[Place, int]) -> None:
        self._name = name
        self._lines = lines
        self._met: set[int] = set()
        self._constructor = SafeConstructor()

    def value_of(self, node: yaml.Node, place: Place) -> object:
        self._lines.setdefault(place, _line(node))
        match node:
            case yaml.MappingNode():
                self._once(node)
                return self._mapping(node, place)
            case yaml.SequenceNode():
                self._once(node)
                return [self.value_of(item, (*place, n)) for n, item in enumerate(node.value)]
            case _:
                return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in values:
                raise self._wrong(key_node, f"key {key!r} stands here twice: take one of the two out")
            self._lines[(*place, key)] = _line(key_node)
            values[key] = self.value_of(value_node, (*place, key))
        return values

    def _key(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode) and not node.tag.endswith(":merge"):
            return str(node.value)
        raise self._wrong(node, "a key must be a plain word; merge keys (`<<`) are not read")

    def _once(self, node: yaml.Node) -> None:
        if id(node) in self._met:
            raise self._wrong(node, "anchors and aliases are not read: write the value out where it is used")
        self._met.add(id(node))

    def _scalar(self, node: yaml.Node) -> object:
        try:
            return self._constructor.construct_object(node)
        except (ConstructorError, ValueError, OverflowError):
            raise self._wrong(node, f"{node.value!r} cannot be read: put text into quotes") from None

    def _wrong(self, node: yaml.Node, why: str) -> BadInput:
        return BadInput(f"{self._name}, line {_line(node)}: {why}. Nothing was changed.")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _texts(place: Place, value: object) -> Iterator[tuple[Place, str]]:
    match value:
        case dict():
            for key, item in value.items():
                yield from _texts((*place, key), item)
        case list():
            for n, item in enumerate(value):
                yield from _texts((*place, n), item)
        case str():
            yield place, value
