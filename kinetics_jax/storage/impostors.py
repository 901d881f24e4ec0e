"""What stands in a file's place when a download or a copy went wrong, told by its first bytes."""

import pathlib

_SIGNS = (
    (
        b"version https://git-lfs.github.com/spec/",
        "is a Git LFS pointer, not the file itself: run `git lfs pull` where it was cloned",
    ),
    (b"<!doctype html", "is a web page, not the file: download it again"),
    (b"<html", "is a web page, not the file: download it again"),
    (b"<?xml", "is an XML answer of a server, not the file: download it again"),
    (b"entry not found", "is an error message of a server, not the file: download it again"),
    (b"repository not found", "is an error message of a server, not the file: download it again"),
    (b"access to model", "is a server's refusal, not the file: ask for access, then download it again"),
    (b"invalid username or password", "is an error message of a server, not the file: download it again"),
    (b"invalid credentials", "is an error message of a server, not the file: download it again"),
    (b"pk\x03\x04", "is a zip archive (or a PyTorch pickle) under another name"),
    (b"\x1f\x8b", "is compressed by gzip: unpack it"),
)
_READ = 64
"""Bytes that tell the signs apart."""


def impostor(path: pathlib.Path) -> str | None:
    """Why ``path`` cannot be the file it is named for, as "is a …: how to fix it"; None where it well may be.

    Ask where reading it has failed, or is about to: the signs are those of no JSON, safetensors or
    GGUF file. A file that cannot be opened is not judged.
    """
    if path.is_symlink() and not path.exists():
        return "is a link to a file that is not there: download it again"
    try:
        with path.open("rb") as stream:
            begins = stream.read(_READ)
    except OSError:
        return None
    if not begins:
        return "is empty (0 bytes): download it again"
    if not begins.strip(b"\0"):
        return "begins with zeros only: its download did not finish"
    plain = begins.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((problem for sign, problem in _SIGNS if plain.startswith(sign)), None)
