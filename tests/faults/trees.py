"""Trees of JSON and TOML that are hostile in one place, and how they are written.

Both have text that the writers of the standard library refuse: a key twice, numbers of 5 000
digits, lists 100 000 deep. `Raw` is text that stands as it is, `Twice` a table with a key twice.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Raw:
    """A value by its text."""

    text: str


@dataclass(frozen=True)
class Twice:
    """A table that has a key a second time, with another value."""

    table: dict[str, Any]
    key: str
    value: Any


TEXTS = (
    *(
        "",
        " ",
        "x",
        "1",
        "1.0",
        "NaN",
        "null",
        "é",
        "\N{OHM SIGN}",
        "a" * 100_000,
        "o" * 3000 + "1",
    ),
    *("\0", "\n\r\t", "\x1b]0;title\x07", "\x9b31m", "\u202e", "\u2028", "\ud800", "\ufeffx"),
    *("../../outside", "/outside", "a/../../outside", "C:\\outside", "..\\outside", ".", "..", "-"),
    *("{}", "[]", "%s", "[red]x[/red]", "[/]", "=1", "--out", "li2018", "small", "voc", "auto"),
)

NUMBERS = (
    *(0, -1, 1, 2, 3, 255, 256, 65_536, 2**24, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63, 2**64),
    *(-(2**31), -(2**63) - 1, 0.5, 1.5, -0.0, 1e-9, 0.1, 1e9, 1e300, -1e300, 5e-324),
)

LITERALS = {
    "json": (
        *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 400, "-" + "9" * 400),
        *("9" * 5000, "[" * 100_000 + "]" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000),
        *("[" * 900 + "]" * 900, "01", "'x'", "tru", '"\t"', "/* */ 1"),
    ),
    "toml": (
        *("nan", "inf", "-inf", "1e400", "9" * 400, "-" + "9" * 400, "9" * 5000),
        *("[" * 4000 + "]" * 4000, "{a=" * 4000 + "1" + "}" * 4000, "[" * 90 + "]" * 90),
        *("1979-05-27T07:32:00Z", "07:32:00", "0xff", "1_000", "null", "'x'", '"""\nx\n"""', "01"),
    ),
}


def mutate_tree(rng: random.Random, tree: Any, syntax: str) -> Any:
    """Return a tree that is hostile in one place, seldom in two; the given one stays as it is."""
    for _ in range(1 if rng.random() < 0.8 else 2):
        tree = _mutate_at(rng, tree, syntax)
    return tree


def hostile_value(rng: random.Random, syntax: str) -> Any:
    """Return a value that the place hardly expects."""
    values = (
        lambda: Raw(rng.choice(LITERALS[syntax])),
        lambda: rng.choice(TEXTS),
        lambda: rng.choice(NUMBERS),
        lambda: rng.choice((None, True, False)),
        lambda: rng.choice(([], {}, [[]], [None], {"a": 1}, [1] * 1000, {"id": {}}, [{}], [[0]])),
    )
    return rng.choice(values)()


def write_tree(tree: Any, syntax: str) -> str:
    """Return a tree as the text of a file.

    Args:
        tree: of `None`, scalars, lists, tables, `Raw` and `Twice`; of TOML a table.
        syntax: json or toml.
    """
    if syntax == "json" or not isinstance(tree, dict | Twice):
        return _write_value(tree, syntax)
    return "".join(f"{json.dumps(key)} = {_write_value(v, syntax)}\n" for key, v in _items(tree))


def _mutate_at(rng: random.Random, node: Any, syntax: str) -> Any:
    """Go down a random way, and return the node with something changed at its end."""
    children = list(_children(node))
    if children and rng.random() < 0.8:
        key = rng.choice(children)
        copy: Any = node.copy()
        copy[key] = _mutate_at(rng, node[key], syntax)
        return copy
    if not children or rng.random() < 0.4:
        return _change_value(rng, node, syntax)
    key = rng.choice(children)
    return (
        _change_table(rng, node, key, syntax)
        if isinstance(node, dict)
        else _change_list(rng, node, key, syntax)
    )


def _change_value(rng: random.Random, node: Any, syntax: str) -> Any:
    near: list[Any] = [[node], {"value": node}, hostile_value(rng, syntax)]
    if isinstance(node, int | float):
        near += [-node, node + 1, node * 1000, str(node), node + 0.5]
    if isinstance(node, str):
        near += [node + rng.choice(TEXTS), rng.choice(TEXTS) + node, node.upper(), [node, node]]
    return rng.choice((*near, hostile_value(rng, syntax), hostile_value(rng, syntax)))


def _change_table(rng: random.Random, table: dict[str, Any], key: str, syntax: str) -> Any:
    rest = {name: value for name, value in table.items() if name != key}
    other = rng.choice(list(table))
    return rng.choice(
        (
            rest,
            Twice(table, key, hostile_value(rng, syntax)),
            rest | {rng.choice(TEXTS): table[key]},
            table | {rng.choice(TEXTS): hostile_value(rng, syntax)},
            table | {key: table[other], other: table[key]},
            table | {key: hostile_value(rng, syntax)},
        )
    )


def _change_list(rng: random.Random, items: list[Any], key: int, syntax: str) -> Any:
    return rng.choice(
        (
            items[:key] + items[key + 1 :],
            [*items, items[key]],
            [*items, hostile_value(rng, syntax)],
            items[::-1],
            [],
            items * 20,
            items[: key + 1],
        )
    )


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from node
    elif isinstance(node, list):
        yield from range(len(node))


def _items(table: dict[str, Any] | Twice) -> Iterator[tuple[str, Any]]:
    if isinstance(table, Twice):
        yield from table.table.items()
        yield table.key, table.value
    else:
        yield from table.items()


def _write_value(node: Any, syntax: str) -> str:
    if isinstance(node, Raw):
        return node.text
    if isinstance(node, dict | Twice):
        equals = ": " if syntax == "json" else " = "
        pairs = (f"{json.dumps(k)}{equals}{_write_value(v, syntax)}" for k, v in _items(node))
        return "{" + ", ".join(pairs) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(_write_value(item, syntax) for item in node) + "]"
    return json.dumps(node)
