"""YAML from a file to nodes with places, or sentences with places.

PyYAML's event parser does the reading; nothing here constructs objects, so no tag can run code. The tree is built with
limits on depth and on the number of nodes *after* aliases, because a hundred bytes of aliases can stand for billions of
nodes. A syntax error ends the file; other problems (duplicate keys, unknown tags, ...) are collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import yaml
from yaml import events as ev

from burnish.core.document import Mapping, Node, Placed, Scalar, Sequence
from burnish.errors import InputError, Problem, printable
from burnish.store.input_file import read_text

MAX_BYTES = 4 << 20
MAX_DEPTH = 100
MAX_NODES = 1_000_000

_YAML = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(_YAML + name for name in ("int", "float", "bool", "null"))
_KNOWN_TAGS = _PLAIN_TAGS | frozenset(_YAML + name for name in ("str", "seq", "map")) | {"!"}


def load(path: str) -> Node:
    """The document in the file at `path`; an empty file is an empty plain Scalar. Raises InputError with every problem."""
    return parse(read_text(path, MAX_BYTES), path)


def parse(text: str, file: str) -> Node:
    """The document in `text`, whose places name `file`. Raises InputError with every problem."""
    problems: list[Problem] = []
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        raise InputError([_unreadable(text, file, error)]) from None
    try:
        node = _Builder(file, iter(loader.get_event, None), problems).document()
    except (ValueError, OverflowError):  # PyYAML turns "\\UFFFFFFFF" into a character unchecked
        problems.append(
            Problem(f"{file}:{loader.line + 1}:{loader.column + 1}", "this escape stands for no character.")
        )
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax(file, error))
    if problems:
        raise InputError(problems)
    return node


class _Builder:
    """Turns the events of one file into nodes. Recursive, but never deeper than MAX_DEPTH."""

    def __init__(self, file: str, events: Iterator[ev.Event], problems: list[Problem]) -> None:
        self._file = file
        self._events = events
        self._problems = problems
        # None while the anchored node is still being built: an alias to it then is a loop.
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._nodes = 0

    def document(self) -> Node:
        """The only document of the stream."""
        next(self._events)  # StreamStart
        if isinstance(next(self._events), ev.StreamEndEvent):
            return Scalar(self._file, 1, 1, "", plain=True)
        root = self._node(next(self._events), 0)
        next(self._events)  # DocumentEnd
        after = next(self._events)
        if not isinstance(after, ev.StreamEndEvent):
            self._stop(
                after, "a second document begins here; a file holds one. Remove the line `---`, or use two files."
            )
        return root

    def _node(self, event: ev.Event, depth: int) -> Node:
        if isinstance(event, ev.AliasEvent):
            return self._alias(event)
        assert isinstance(event, ev.NodeEvent)
        self._count(event, 1)
        if depth > MAX_DEPTH:
            self._stop(event, f"nested more than {MAX_DEPTH} levels deep.")
        anchor, before = event.anchor, self._nodes - 1
        if anchor is not None:
            self._anchors[anchor] = None
        self._check_tag(event)
        node = self._content(event, depth)
        if anchor is not None:
            self._anchors[anchor] = (node, self._nodes - before)
        return node

    def _content(self, event: ev.NodeEvent, depth: int) -> Node:
        place = self._place(event)
        if isinstance(event, ev.ScalarEvent):
            typed = event.tag in _PLAIN_TAGS
            plain = typed or (event.tag is None and event.style in (None, ""))
            if not _encodable(event.value):
                self._problems.append(place.problem("this holds half a character (a surrogate such as \\ud800)."))
            return Scalar(place.file, place.line, place.column, event.value, plain)
        if isinstance(event, ev.SequenceStartEvent):
            items = []
            while not isinstance(item := next(self._events), ev.SequenceEndEvent):
                items.append(self._node(item, depth + 1))
            return Sequence(place.file, place.line, place.column, tuple(items))
        return Mapping(place.file, place.line, place.column, self._entries(depth))

    def _entries(self, depth: int) -> tuple[tuple[Scalar, Node], ...]:
        own: dict[str, tuple[Scalar, Node]] = {}
        merged: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event := next(self._events), ev.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Scalar):
                self._problems.append(key.problem("a key must be a single word, not a list or a mapping."))
            elif key.plain and key.text == "<<":
                for entry in self._merge(value):
                    merged.setdefault(entry[0].text, entry)
            elif not key.text:
                self._problems.append(key.problem("a key is missing before the colon."))
            elif key.text in own:
                first = own[key.text][0].line
                self._problems.append(key.problem(f'"{printable(key.text)}" is given twice (first at line {first}).'))
            else:
                own[key.text] = (key, value)
        # As YAML's merge key says: what stands here wins, but keeps the place in the order that the merged mapping gave it.
        return tuple((merged | own).values())

    def _merge(self, value: Node) -> Iterator[tuple[Scalar, Node]]:
        for node in value.items if isinstance(value, Sequence) else (value,):
            if isinstance(node, Mapping):
                yield from node.entries
            else:
                self._problems.append(node.problem("`<<` takes a mapping (`<<: *name`) or a list of mappings."))

    def _alias(self, event: ev.AliasEvent) -> Node:
        name = event.anchor or ""
        if name not in self._anchors:
            self._stop(
                event,
                f"*{printable(name)} refers to no &{printable(name)} above it. Text that begins with * needs quotes.",
            )
        target = self._anchors[name]
        if target is None:
            self._stop(event, f"*{printable(name)} stands inside &{printable(name)} and would contain itself.")
        node, size = target
        self._count(event, size)
        return node

    def _check_tag(self, event: ev.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None and tag not in _KNOWN_TAGS:
            shown = printable(tag.replace(_YAML, "!!"))
            self._problems.append(
                self._place(event).problem(f"unknown tag {shown}; values are plain text, lists and mappings.")
            )

    def _count(self, event: ev.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._stop(event, f"with its aliases (*name) this file stands for more than {MAX_NODES} values.")

    def _place(self, event: ev.Event) -> Placed:
        mark = event.start_mark
        assert mark is not None
        return Placed(self._file, mark.line + 1, mark.column + 1)

    def _stop(self, event: ev.Event, what: str) -> NoReturn:
        raise InputError([*self._problems, self._place(event).problem(what)])


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(text: str, file: str, error: yaml.reader.ReaderError) -> Problem:
    before = text[: error.position]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    character = printable(text[error.position])
    return Problem(
        f"{file}:{line}:{column}", f'the character {character} cannot stand in YAML; in double quotes write "\\x..".'
    )


def _syntax(file: str, error: yaml.MarkedYAMLError) -> Problem:
    what, context, mark = error.problem or "", error.context or "", error.problem_mark or error.context_mark
    opened = error.context_mark
    where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
    since = f" (opened at line {opened.line + 1}, column {opened.column + 1})" if opened else ""
    never_closed = "end of stream" in what or "stream end" in what or "document end" in what

    if "cannot start any token" in what:
        return Problem(where, _bad_start(what))
    if "flow sequence" in context or "flow mapping" in context:
        opening, closing = ("[", "]") if "sequence" in context else ("{", "}")
        if never_closed and opened:
            return Problem(
                f"{file}:{opened.line + 1}:{opened.column + 1}", f"the {opening} opened here is never closed."
            )
        quote = ' Here, a name with a range needs quotes: "gpu[01:04]".' if "but got '['" in what else ""
        return Problem(where, f"expected , or {closing}{since}; a bracket or comma is missing before this.{quote}")
    if "expected the node content" in what:
        if never_closed:
            return Problem(where, "the file ends inside a [ or { that is never closed.")
        return Problem(where, f"found {what.rpartition('found ')[2]} where a value was expected.")
    if "quoted scalar" in context:
        if "escape" in what or "hexdecimal" in what:
            return Problem(where, "unknown escape after a backslash in \"...\"; in '...' backslashes are plain text.")
        if opened:
            return Problem(f"{file}:{opened.line + 1}:{opened.column + 1}", "the quote opened here is never closed.")
    if "scanning an alias" in context or "scanning an anchor" in context:
        return Problem(where, f"text that begins with {'*' if 'alias' in context else '&'} needs quotes.")
    if "mapping values are not allowed" in what:
        causes = "a line above lacks its colon, the indentation is off, or the text needs quotes"
        return Problem(where, f"a colon cannot stand here: {causes}.")
    if "sequence entries are not allowed" in what:
        return Problem(where, "a list item cannot stand here: give it a line of its own, or put the - in quotes.")
    if "could not find expected ':'" in what:
        return Problem(where, f"expected `key: value`, but there is no colon after the key{since}.")
    if "block mapping" in context or "block collection" in context:
        begun = f"block begun at line {opened.line + 1}" if opened else "block"
        return Problem(where, f"this does not fit the {begun}: look at the indentation, and at what follows a value.")
    return Problem(where, f"not YAML: {printable(', '.join(part for part in (context, what) if part))}.")


def _bad_start(what: str) -> str:
    character = what.split("'")[1] if what.count("'") >= 2 else what
    if character == "\\t":
        return "a tab cannot indent YAML; use spaces."
    return f"a value cannot begin with {character}; put it in quotes."
