# SPDX-License-Identifier: Apache-2.0
"""Packs constant data for src/base/unpack.c, which has the format. Slow and thorough: it runs at build."""
import collections

LITERALS_MAX, LENGTH_MIN, LENGTH_SHORT, LENGTH_MAX = 128, 3, 8, 258
OFFSET_NEAR, OFFSET_MAX = 4096, 1 << 20


def matches(data):
    """For each place: (length, offset) of what stood before, each longer than the one nearer to it."""
    places, found = collections.defaultdict(list), [()] * len(data)
    for i in range(len(data) - LENGTH_MIN + 1):
        key, longest = data[i:i + LENGTH_MIN], LENGTH_MIN - 1
        for j in reversed(places[key]):
            if i - j > OFFSET_MAX or longest == LENGTH_MAX:
                break
            n = LENGTH_MIN
            while n < LENGTH_MAX and i + n < len(data) and data[j + n] == data[i + n]:
                n += 1
            if n > longest:
                found[i] += ((n, i - j),)
                longest = n
        places[key].append(i)
    return found


def cost(n, offset):
    """Bytes that a copy takes."""
    return 4 if offset > OFFSET_NEAR else 2 if n <= LENGTH_SHORT else 3


def pack(data):
    """data as the shortest row of literals and copies."""
    found = matches(data)
    best = [None] * len(data) + [(0, 0, 0)]  # cost of all that follows, length of the next step, its offset
    for i in range(len(data) - 1, -1, -1):
        steps = [(1 + n + best[i + n][0], n, 0) for n in range(1, min(LITERALS_MAX, len(data) - i) + 1)]
        for longest, offset in found[i]:
            steps += [(cost(n, offset) + best[i + n][0], n, offset) for n in range(LENGTH_MIN, longest + 1)]
        best[i] = min(steps)
    out, i = bytearray(), 0
    while i < len(data):
        _, n, offset = best[i]
        if offset:
            far = offset > OFFSET_NEAR
            code, size = (6, 3) if far else (7, 2) if n > LENGTH_SHORT else (n - LENGTH_MIN, 2)
            out += ((8 | code) << 8 * size - 4 | offset - 1).to_bytes(size, "big")
            if code >= 6:
                out.append(n - LENGTH_MIN)
        else:
            out.append(n - 1)
            out += data[i:i + n]
        i += n
    return bytes(out)


def c_array(name, data, size=None):
    """The bytes and their number (size, or name_n) as C; a string literal this long is beyond what C promises."""
    size = size or name + "_n"
    rows = "".join("\t" + "".join(f"{byte}," for byte in data[at:at + 24]) + "\n" for at in range(0, len(data), 24))
    rows = rows or "\t0,\n"  # C has no empty arrays
    return f"const unsigned char {name}[] = {{\n{rows}}};\nconst size_t {size} = {len(data)};\n"
