# SPDX-License-Identifier: Apache-2.0
"""Packs constant data for src/base/unpack.c, which has the format. Such data is in .packed, which cmake/constants.ld
leaves alone."""
import zlib


def pack(*parts):
    """Each part with codes of its own: noise beside text costs both."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    packed = b"".join(packer.compress(part) + packer.flush(zlib.Z_BLOCK) for part in parts[:-1])
    return sum(map(len, parts)).to_bytes(3, "big") + packed + packer.compress(parts[-1]) + packer.flush()


def c_array(name, data, size=None):
    """The bytes and their number (size, or name_n) as C; a string literal this long is beyond what C promises."""
    size = size or name + "_n"
    rows = "".join("\t" + "".join(f"{byte}," for byte in data[at:at + 24]) + "\n" for at in range(0, len(data), 24))
    rows = rows or "\t0,\n"  # C has no empty arrays
    return (f'__attribute__((section(".packed"))) const unsigned char {name}[] = {{\n{rows}}};\n'
            f"const size_t {size} = {len(data)};\n")
