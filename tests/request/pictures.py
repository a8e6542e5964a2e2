"""Small complete images of each kind, and other binary data, as bytes and as base64."""

import base64
import struct
import zlib


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(number: int = 0, size: int = 0) -> bytes:
    """One pixel; each number gives another image, ``size`` adds that many bytes."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    comment = b"Comment\0" + str(number).encode() + b"x" * size
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"tEXt", comment)
        + chunk(b"IDAT", zlib.compress(b"\0" + bytes(3)))
        + chunk(b"IEND", b"")
    )


GIF = base64.b64decode("R0lGODlhAQABAIAAAAUEBAAAACwAAAAAAQABAAACAkQBADs=")
WEBP = base64.b64decode("UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA")
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    b"\xff\xe1\x00\x06\xff\xd9ab"  # a thumbnail's end is not the image's end
    b"\xff\xda\x00\x08\x01\x01\x00\x00?\x00data of the scan\xff\x00more\xff\xd9"
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"><rect width="1" height="1"/></svg>'
HTML = b"<!DOCTYPE html><html><body>404 Not Found, and some more text to make it long</body></html>"
WAV = b"RIFF" + struct.pack("<I", 1036) + b"WAVEfmt " + bytes(1024)
PDF = b"%PDF-1.7\n" + b"%" * 100
HEIC = b"\0\0\0\x18ftypheic" + bytes(100)
UNKNOWN = bytes(range(256))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
