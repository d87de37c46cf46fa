# SPDX-License-Identifier: Apache-2.0
"""Guests of one sector: each does one thing that a broken image does.

They are written in machine code, with what each byte does beside it.
"""

import pathlib
import struct

_START = 0x7C00
_SIZE = 1 << 20
# where the partitions stand in a master boot record
_TABLE = 446

#: Stop, and never come back.
HALT = (
    b"\xfa"  # cli
    b"\xf4"  # hlt
    b"\xeb\xfd"  # jmp to the hlt
)

#: Reset the computer, by way of the keyboard's controller.
RESET = (
    b"\xb0\xfe"  # mov al, 0xfe
    b"\xe6\x64"  # out 0x64, al
)

#: Power off, as QEMU's "pc" machine does it.
POWER_OFF = (
    b"\xba\x04\x06"  # mov dx, 0x604
    b"\xb8\x00\x20"  # mov ax, 0x2000
    b"\xef"  # out dx, ax
)


def printing(text: str, then: bytes = HALT) -> bytes:
    """Return code that prints a text on the serial line."""
    code = (
        b"\x31\xc0"  # xor ax, ax
        b"\x8e\xd8"  # mov ds, ax
        b"\xfc"  # cld
        b"\xbe@@"  # mov si, where the text is
        b"\xac"  # lodsb
        b"\x84\xc0"  # test al, al
        b"\x74\x06"  # jz behind the loop
        b"\xba\xf8\x03"  # mov dx, 0x3f8
        b"\xee"  # out dx, al
        b"\xeb\xf5"  # jmp to the lodsb
    )
    where = (_START + len(code) + len(then)).to_bytes(2, "little")
    return code.replace(b"@@", where) + then + text.encode() + b"\0"


def write(code: bytes, image: pathlib.Path) -> pathlib.Path:
    """Write a raw disk that boots into some code, and has a partition."""
    assert len(code) <= _TABLE
    # of Linux, one sector long, behind this one
    partition = struct.pack("<4xB3xII", 0x83, 1, 1)
    sector = code.ljust(_TABLE, b"\0") + partition + bytes(48) + b"\x55\xaa"
    image.write_bytes(sector.ljust(_SIZE, b"\0"))
    return image
