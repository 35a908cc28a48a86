"""YAML as a person writes it, or as a stranger does: safe values alone, bounded in size, depth and by its aliases.

PyYAML raises many types on a value that is no date or number, follows nesting as deep as it goes, and gives a few
lines of aliases back as billions of values, which are then checked one by one.
"""

from __future__ import annotations

from typing import Any

import yaml

MAX_YAML_BYTES = 1 << 20  # the manifest that ships with lungsev has 0.2 MB
_MAX_VALUES = 100_000  # as above: 8,000
_MAX_DEPTH = 50
_LONGEST_NUMBER = 100  # characters: Python reads numbers to the base of 60 in the square of their length
_TEXT = "tag:yaml.org,2002:str"


def parse_yaml(data: bytes | str) -> Any:
    """Return the value of a YAML document, None where it is empty.

    Args:
        data: UTF-8 or text.

    Raises:
        yaml.YAMLError: It is not YAML, a key comes twice, a value is no value of its type, or it is too large.
        UnicodeDecodeError: It is not UTF-8.
    """
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    if len(text) > MAX_YAML_BYTES:
        raise yaml.YAMLError(f"it is larger than {MAX_YAML_BYTES >> 20} MiB")
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    except (yaml.YAMLError, MemoryError):
        raise
    except Exception:
        raise _error("this value cannot be read", loader.place or loader.get_mark()) from None
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Counts what a value and all that its aliases refer to come to, before any of it is made.

    Attributes:
        place: Of the value that is being made.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.place: yaml.Mark | None = None
        self._depth = 0
        self._extents: dict[int, tuple[int, int]] = {}  # of each node, by its id: values, depth

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, and refuse one that is too deep, too large or a part of itself."""
        is_alias = self.check_event(yaml.AliasEvent)
        mark = self.peek_event().start_mark
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _error(f"it is nested deeper than {_MAX_DEPTH} levels", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and not is_alias:
            self._extents[id(node)] = self._extent(node)
        values, depth = self._extents.get(id(node), (_MAX_VALUES + 1, 0))  # unknown: it is not complete yet
        if values > _MAX_VALUES or depth > _MAX_DEPTH:
            raise _error("it repeats itself by its aliases, or holds too many values", mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make the value of a node."""
        self.place = node.start_mark
        if isinstance(node, yaml.ScalarNode):
            if node.tag != _TEXT and len(node.value) > _LONGEST_NUMBER:
                raise _error("this number is too long", node.start_mark)
            if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in node.value):
                raise _error("this text holds a character that is none", node.start_mark)
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make the mapping of a node; YAML would silently take the last of two equal keys."""
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise _error(f"{key.value} comes twice; remove one", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)

    def _extent(self, node: yaml.Node) -> tuple[int, int]:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
        extents = [self._extents[id(child)] for child in children]
        return 1 + sum(values for values, _ in extents), 1 + max((depth for _, depth in extents), default=0)


def _error(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
