"""What systems leave in folders beside the user's files; it never counts."""

from __future__ import annotations

_FOLDERS = {
    "__macosx", "network trash folder", "temporary items",  # macOS
    "$recycle.bin", "recycler", "system volume information", "found.000",  # Windows
    "@eadir", "@tmp", "@sharebin", "@database", "#recycle", "#snapshot",  # Synology
    "@__thumb", "@recycle", "@recently-snapshot",  # QNAP
    "lost+found", "__pycache__", "_gsdata_",
}  # fmt: skip
_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
_PREFIXES = (".", "~$", "synophoto_thumb", "synofile_thumb")


def is_litter_folder(name: str) -> bool:
    """Whether a folder of this name is hidden, or a system's own (thumbnails, waste bins).

    >>> [is_litter_folder(name) for name in (".ipynb_checkpoints", "@eaDir", "thumbnails")]
    [True, True, False]
    """
    return name.startswith(".") or name.casefold() in _FOLDERS


def is_litter_file(name: str) -> bool:
    """Whether a file of this name is hidden, or a system's own.

    >>> [is_litter_file(name) for name in ("._0.png", "Thumbs.db", "0.png")]
    [True, True, False]
    """
    name = name.casefold()
    return name in _FILES or name.startswith(_PREFIXES)


def is_litter(path: str) -> bool:
    """Whether a file, by its path from the top with slashes, is litter or lies in some."""
    *folders, name = path.split("/")
    return is_litter_file(name) or any(map(is_litter_folder, folders))
