"""Which names may become directory entries: the one gate between archives and a mounted tree.

Two questions with two answers. `check_name` is asked for a name that somebody wants to create here;
it is strict, so that what we write means the same on every system and to every other program.
`is_visible` is asked for a component that an archive already holds; it refuses only what cannot be
a directory entry at all, or would lead out of the directory. Nothing is normalised: composed and
decomposed forms are two names, as in hyperdrive.
"""

from __future__ import annotations

from typing import Final

from datfs.errors import InvalidPath, NameNotUtf8, NameTooLong

MAX_COMPONENT_BYTE_LENGTH: Final = 255
"""NAME_MAX of Linux."""

_DOTS: Final = frozenset({"", ".", ".."})


def check_name(name: bytes) -> str:
    """Return a new name (one component) as text.

    Raises:
        NameTooLong: It has more than 255 bytes.
        NameNotUtf8: It is not UTF-8, which the archive's format requires.
        InvalidPath: It is empty, `.` or `..`, or holds a slash, a backslash (hyperdrive makes a
            slash of it) or a control byte.
    """
    if len(name) > MAX_COMPONENT_BYTE_LENGTH:
        raise NameTooLong(f"a name of {len(name)} bytes is too long, 255 are allowed")
    try:
        text = name.decode()
    except UnicodeDecodeError as error:
        raise NameNotUtf8(f"the name {name!r} is not UTF-8") from error
    if text in _DOTS:
        raise InvalidPath(f"{text!r} is not a name")
    for character in text:
        if character in "/\\" or ord(character) < 0x20 or character == "\x7f":
            raise InvalidPath(f"the name {text!r} holds {character!r}")
    return text


def is_visible(component: str) -> bool:
    """Tell whether a component from an archive can appear as a directory entry."""
    return (
        component not in _DOTS
        and "\0" not in component
        and "/" not in component
        and (
            len(component) * 4 <= MAX_COMPONENT_BYTE_LENGTH
            or len(component.encode("utf-8", "surrogatepass")) <= MAX_COMPONENT_BYTE_LENGTH
        )
    )


def split_path(path: str) -> tuple[str, ...]:
    """Return the components of an absolute path such as "/a/b"; none for the root "/".

    Raises:
        InvalidPath: It does not begin with a slash, or a component is not visible.
    """
    if not path.startswith("/"):
        raise InvalidPath(f"the path {path!r} is not absolute")
    if path == "/":
        return ()
    components = tuple(path[1:].split("/"))
    if not all(map(is_visible, components)):
        raise InvalidPath(f"the path {path!r} has a component that is no name")
    return components
