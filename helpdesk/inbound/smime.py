"""S/MIME: the mail inside of an opaque signature (RFC 8551 section 3.5.2), and words for what nobody here can read.

The signature itself proves nothing here: whose certificate to believe is not ours to say.
"""

from __future__ import annotations

TYPES = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_SIGNED = bytes.fromhex("2a864886f70d010702")
_ENVELOPED = bytes.fromhex("2a864886f70d010703")
_AUTHENTICATED = bytes.fromhex("2a864886f70d0109100117")
_MAX_DEPTH, _MAX_ITEMS = 10, 200_000


def content(data: bytes) -> bytes | None:
    """The signed mail, None where the bytes are no signed data (RFC 5652 section 5.1; BER with open lengths, too)."""
    try:
        outer = _items(data, 0, len(data), 0)
        oid, wrapped = _items(data, *_inside(data, outer[0]), 1)[:2]
        if _bytes(data, oid) != _SIGNED:
            return None
        (signed,) = _items(data, *_inside(data, wrapped), 2)[:1]
        encapsulated = next(one for one in _items(data, *_inside(data, signed), 3) if one[0] == 0x30)
        explicit = _items(data, *_inside(data, encapsulated), 4)[1]
        (octets,) = _items(data, *_inside(data, explicit), 5)[:1]
        return _octets(data, octets, 6)
    except (IndexError, ValueError, StopIteration):
        return None


def is_encrypted(data: bytes) -> bool:
    """True where the bytes are enveloped data, which only who holds the key can open."""
    return _ENVELOPED in data[:64] or _AUTHENTICATED in data[:64]


_Item = tuple[int, int, int]


def _items(data: bytes, begin: int, end: int, depth: int) -> list[_Item]:
    """Tag, begin and end of the content of each item between two places; an open length ends at its mark."""
    found: list[_Item] = []
    while begin < end and len(found) < _MAX_ITEMS:
        item, begin = _item(data, begin, end, depth)
        if item is None:
            break
        found.append(item)
    return found


def _item(data: bytes, begin: int, end: int, depth: int) -> tuple[_Item | None, int]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    tag, length = data[begin], data[begin + 1]
    begin += 2
    if tag == 0 and length == 0:
        return None, begin
    if length == 0x80:
        position = begin
        while True:
            item, position = _item(data, position, end, depth + 1)
            if item is None:
                return (tag, begin, position - 2), position
            if position >= end:
                raise ValueError("an open length without an end")
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[begin : begin + size], "big")
        begin += size
    if begin + length > end:
        raise ValueError("longer than what it is in")
    return (tag, begin, begin + length), begin + length


def _inside(data: bytes, item: _Item) -> tuple[int, int]:
    return item[1], item[2]


def _bytes(data: bytes, item: _Item) -> bytes:
    return data[item[1] : item[2]]


def _octets(data: bytes, item: _Item, depth: int) -> bytes:
    """An octet string, whole or in pieces."""
    if not item[0] & 0x20:
        return _bytes(data, item)
    return b"".join(_octets(data, one, depth + 1) for one in _items(data, *_inside(data, item), depth))
