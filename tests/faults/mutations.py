"""Damage to the content of a file: of any kind byte by byte, of a known kind by its structure."""

import io
import json
import random
import re
import struct
import tomllib
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.io

from tests.faults.trees import NUMBERS, TEXTS, mutate_tree, write_tree

OTHER_FILES = (
    b"hello world\n",
    b"....",
    b"root:x:0:0:root:/root:/bin/bash\n",
    b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    b"\x80\x04cposix\nsystem\n(S'true'\ntR.",
    b"PK\x03\x04" + bytes(26),
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\n",
)
"""What lies in the place of a file when a download or a copy went wrong."""

ENCODINGS = (
    *(
        "utf-8",
        "latin-1",
        "utf-16",
        "utf-16-le",
        "GB2312",
        "shift_jis",
        "base64",
        "idna",
        "punycode",
    ),
    *(
        "utf-7",
        "rot13",
        "zlib",
        "hex",
        "unicode_escape",
        "none",
        "",
        "cp037",
        "utf-32",
        "undefined",
    ),
)

Mutation = Callable[[random.Random, bytes], bytes]


def mutate(rng: random.Random, name: str, content: bytes) -> bytes:
    """Return the content of a file with damage that suits its suffix.

    Args:
        rng: decides what happens.
        name: of the file.
        content: whole.
    """
    by_structure = BY_SUFFIX.get(name.rpartition(".")[2].lower())
    if by_structure is None or rng.random() < 0.25:
        return mutate_bytes(rng, content)
    changed = by_structure(rng, content)
    return mutate_bytes(rng, changed) if rng.random() < 0.05 else changed


def mutate_bytes(rng: random.Random, content: bytes) -> bytes:
    """Return the content with damage that a disk, a copy or a network does."""
    if not content:
        return rng.choice(OTHER_FILES)
    size = len(content)
    at, length = rng.randrange(size), rng.choice((1, 2, 8, 64, 512))
    first, second = sorted((at, rng.randrange(size)))
    noise, end = rng.randbytes(length), at + length
    return rng.choice(
        (
            b"",
            rng.choice(OTHER_FILES),
            content[:at],
            content[:at] + bytes(length) + content[end:],
            content[:at] + noise + content[at:],
            content[:at] + noise + content[end:],
            content[:at] + content[end:],
            content[second:] + content[first:second] + content[:first],
            rng.randbytes(size),
            content + rng.choice((noise, content, bytes(4096))),
            _flip_bits(rng, content, 1),
            _flip_bits(rng, content, 1),
            _flip_bits(rng, content, 8),
        )
    )


def mutate_json(rng: random.Random, content: bytes) -> bytes:
    """Return JSON with one hostile place."""
    return _encode(write_tree(mutate_tree(rng, json.loads(content), "json"), "json"))


def mutate_toml(rng: random.Random, content: bytes) -> bytes:
    """Return TOML with one hostile place."""
    return _encode(write_tree(mutate_tree(rng, tomllib.loads(content.decode()), "toml"), "toml"))


def mutate_words(rng: random.Random, content: bytes) -> bytes:
    """Return lines with one hostile word, or one line too few, too many or too long."""
    lines = content.decode().splitlines()
    at = rng.randrange(len(lines) + 1)
    if at == len(lines):
        lines.insert(rng.randrange(len(lines) + 1), _word(rng))
        return _encode("\n".join(lines))
    words = re.findall(r"\S+|\s+", lines[at])
    choice = rng.randrange(6)
    if choice == 0:
        del lines[at]
    elif choice == 1:
        lines.insert(at, lines[at])
    elif choice == 2:
        lines[at] = lines[at] * rng.choice((2, 1000))
    elif words:
        words[rng.randrange(len(words))] = _word(rng)
        lines[at] = "".join(words)
    return _encode(rng.choice(("\n", "\n", "\r\n", "\r")).join(lines) + "\n")


def mutate_xml(rng: random.Random, content: bytes) -> bytes:
    """Return XML with one hostile element, another declaration, entities or deep nesting."""
    text = content.decode()
    elements = list(re.finditer(r"<(\w+)>([^<]*)</\1>", text))
    found = rng.choice(elements)
    start, end = found.span()
    choice = rng.randrange(9)
    if choice <= 2:
        start, end = found.span(2)
        return _encode(text[:start] + _word(rng) + text[end:])
    if choice == 3:
        return _encode(text[:start] + text[end:])
    if choice == 4:
        return _encode(text[:end] + text[start:])
    if choice == 5:
        name = rng.choice(ENCODINGS)
        return f'<?xml version="1.0" encoding="{name}"?>'.encode() + content
    if choice == 6:
        entities = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
        head = f'<!DOCTYPE annotation [<!ENTITY e0 "x">{entities}]>'
        return _encode(head + text[: found.start(2)] + "&e9;" + text[found.end(2) :])
    if choice == 7:
        head = '<!DOCTYPE annotation [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
        return _encode(head + text[: found.start(2)] + "&e;" + text[found.end(2) :])
    depth = rng.choice((50, 100_000))
    return _encode(text[:start] + "<part>" * depth + "</part>" * depth + text[end:])


def mutate_png(rng: random.Random, content: bytes) -> bytes:
    """Return a PNG whose chunks have right checksums and wrong content."""
    chunks = _split_png(content)
    at = rng.randrange(len(chunks))
    choice = rng.randrange(6)
    if choice == 0:
        del chunks[at]
    elif choice == 1:
        chunks.insert(at, chunks[rng.randrange(len(chunks))])
    elif choice == 2:
        chunks[0] = (b"IHDR", _change_header(rng, chunks[0][1]))
    elif choice == 3:
        kind, body = chunks[at]
        chunks[at] = (kind, mutate_bytes(rng, body) if body else rng.randbytes(8))
    elif choice == 4:
        name = rng.choice((b"tRNS", b"gAMA", b"iCCP", b"PLTE", b"eXIf", b"zTXt", b"abcd", b"ABCD"))
        chunks.insert(rng.randrange(1, len(chunks) + 1), (name, rng.randbytes(rng.randrange(40))))
    else:
        pixels = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
        changed = bytearray(pixels)
        changed[rng.randrange(len(changed))] = rng.randrange(256)
        wrong = rng.choice((bytes(changed), pixels[:-1], pixels + bytes(5000), pixels * 2, b""))
        chunks = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
        chunks.insert(-1, (b"IDAT", zlib.compress(wrong)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def mutate_jpeg(rng: random.Random, content: bytes) -> bytes:
    """Return a JPEG with damage in its scan, another size, or markers that are gone."""
    scan, size = content.index(b"\xff\xda") + 12, content.index(b"\xff\xc0") + 5
    changed = bytearray(content)
    choice = rng.randrange(4)
    if choice == 0:
        for _ in range(rng.choice((1, 4, 16))):
            changed[rng.randrange(scan, len(changed))] = rng.randrange(256)
    elif choice == 1:
        changed[size : size + 4] = struct.pack(
            ">HH", *(rng.choice((0, 1, 7, 8, 4000, 65_535)) for _ in range(2))
        )
    elif choice == 2:
        del changed[-rng.randrange(1, 60) :]
    else:
        places = [found.start() for found in re.finditer(rb"\xff[\x01-\xfe]", content)]
        changed[rng.choice(places) + 1] = rng.choice((0, 1, 0xC2, 0xD0, 0xD9, 0xDA, 0xE1, 0xFF))
    return bytes(changed)


def mutate_mat(rng: random.Random, content: bytes) -> bytes:
    """Return a file of MATLAB whose struct has another field, type, shape or value."""
    (name, struct_), *_ = (
        (key, value)
        for key, value in scipy.io.loadmat(io.BytesIO(content)).items()
        if not key.startswith("__")
    )
    fields = {field: struct_[field][0, 0] for field in struct_.dtype.names}
    field = rng.choice(list(fields))
    array = fields[field]
    fields[field] = rng.choice(
        (
            array.astype(float) * np.nan,
            array.astype(float) + 0.5,
            array[:0],
            array[0],
            array[..., None].repeat(2, axis=-1),
            array.astype(float) * -1,
            array.astype(np.int64) + 2**40,
            array.astype(complex),
            array.astype(bool),
            np.array(["text"]),
            np.array([[array, array]], dtype=object),
            {"inner": array},
            np.full((3, 3), 255, np.uint8),
            np.full((1, 1), np.inf),
        )
    )
    if rng.random() < 0.2:
        del fields[rng.choice(list(fields))]
    saved = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = (name, name, name, "other", "GTcls", "GTinst")
        scipy.io.savemat(saved, {rng.choice(names): fields or 1}, do_compression=True)
    return saved.getvalue()


def mutate_weights(rng: random.Random, content: bytes) -> bytes:
    """Return weights of torch with an entry that is missing, or of another kind."""
    import torch

    stored = torch.load(io.BytesIO(content), weights_only=True)
    saved = io.BytesIO()
    torch.save(_change_weights(rng, stored), saved)
    return saved.getvalue()


def _change_weights(rng: random.Random, node: Any) -> Any:
    import torch

    if isinstance(node, dict) and node:
        key = rng.choice(list(node))
        if rng.random() < 0.8:
            return {**node, key: _change_weights(rng, node[key])}
        return {k: v for k, v in node.items() if k != key} | rng.choice(({}, {7: 1}, {"x": 1}))
    others: list[Any] = [
        None,
        "text",
        7,
        [],
        {},
        torch.zeros(3),
        torch.zeros(2, 2, dtype=torch.int64),
    ]
    if isinstance(node, torch.Tensor):
        others += [node * float("nan"), node[None], node.to(torch.float64), node.to_sparse(), -node]
    return rng.choice(others)


def _flip_bits(rng: random.Random, content: bytes, count: int) -> bytes:
    changed = bytearray(content)
    for _ in range(count):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _word(rng: random.Random) -> str:
    text = rng.choice((*TEXTS, "nan", "inf", "-inf", "1e400", "9" * 400, "9" * 5000))
    return text if rng.random() < 0.6 else repr(rng.choice(NUMBERS))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _split_png(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return the kind and the content of each chunk."""
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def _change_header(rng: random.Random, header: bytes) -> bytes:
    values = list(struct.unpack(">IIBBBBB", header))
    at = rng.randrange(len(values))
    sizes = (0, 1, 3, 5, 4000, 2**24, 134_000_000, 2**31 - 1, 2**32 - 1)
    values[at] = rng.choice(sizes) if at < 2 else rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return struct.pack(">IIBBBBB", *values)


BY_SUFFIX: dict[str, Mutation] = {
    "json": mutate_json,
    "toml": mutate_toml,
    "txt": mutate_words,
    "yaml": mutate_words,
    "xml": mutate_xml,
    "png": mutate_png,
    "jpg": mutate_jpeg,
    "mat": mutate_mat,
    "pt": mutate_weights,
}
