"""How a set of images lies in its folders: wrappers, splits, classes."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from zoo.data.source.files import METADATA, Files, composed, say_once

TRAIN, TEST, VALIDATION = "train", "test", "validation"
_WORDS = {
    word: role
    for role, words in (
        (TRAIN, "train training"),
        (VALIDATION, "val valid validation dev eval evaluation"),
        (TEST, "test testing holdout heldout held_out held-out"),
    )
    for word in words.split()
}
_WORD = "|".join(sorted(_WORDS, key=len, reverse=True))
_FIRST = re.compile(rf"(?i:({_WORD}))(?![a-z])(.*)")  # train2017, trainA, test_images
_LAST = re.compile(rf"(.*(?<![A-Za-z]))(?i:({_WORD}))")  # church_train
_NOISE = re.compile(r"\d+x\d+|[\d\W_]+|images?|imgs?|data|set|split", re.IGNORECASE)


class Split(NamedTuple):
    """What a folder's name says of a split.

    Attributes:
        role: "train", "validation" or "test".
        rest: what is left of the name, the same for folders that belong together.
    """

    role: str
    rest: str


def split_of(name: str) -> Split | None:
    """The split that a folder's name means, or None.

    >>> [split_of(name) for name in ("Valid", "train2017", "train station", "trained")]
    [Split(role='validation', rest=''), Split(role='train', rest=''), \
Split(role='train', rest='station'), None]
    """
    if first := _FIRST.fullmatch(name):
        word, rest = first.groups()
    elif last := _LAST.fullmatch(name):
        rest, word = last.groups()
    else:
        return None
    return Split(_WORDS[word.lower()], _NOISE.sub("", rest).casefold())


def metadata_of(files: Files) -> str | None:
    """The name of the metadata file at the top, or None.

    Raises:
        ValueError: there are several.
    """
    names = [name for name in files.names if name.lower() in METADATA]
    if len(names) > 1:
        raise ValueError(f"{files.place} has {' and '.join(names)}: keep the one that is right")
    return names[0] if names else None


def unwrapped(files: Files) -> Files:
    """The files below folders that wrap the whole set: one folder alone is no class."""
    while "" not in files.folders and metadata_of(files) is None:
        if len(files.tree[""]) != 1:
            break
        files = files.below(files.tree[""][0])
    return files


def splits_of(files: Files) -> dict[str, str]:
    """The folders of the splits at the top by their role; empty where the set is not split.

    Folders are splits where one is for training and another, named alike, is held out: train/ and
    val/, train2017/ and test2017/, church_train/ and church_test/.

    Raises:
        ValueError: it cannot be told which folders are splits, so held-out images might be
            trained on.
    """
    for folder, names in files.tree.items():
        group = _pairs(names)
        if group and folder:
            raise ValueError(
                f"{files.where(folder)} holds the splits {_slashed(group)}: name that folder, or "
                "put splits above classes"
            )
    roles: dict[str, str] = {}
    for name in _pairs(files.tree[""]):
        split = split_of(name)
        assert split is not None
        if split.role in roles:
            raise ValueError(
                f"{files.place}: {roles[split.role]}/ and {name}/ are both for {split.role}; "
                "put each set into a folder of its own"
            )
        roles[split.role] = name
    if not roles:
        _refuse_lone(files)
    return {role: roles[role] for role in (TRAIN, TEST, VALIDATION) if role in roles}


def _pairs(names: Sequence[str]) -> list[str]:
    """The folders that are splits because one for training and one held out are named alike."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in names:
        if split := split_of(name):
            groups[split.rest].append((split.role, name))
    pairs: list[str] = []
    for group in groups.values():
        roles = {role for role, _ in group}
        if TRAIN in roles and len(roles) > 1:
            pairs += [name for _, name in group]
    return pairs


def _refuse_lone(files: Files) -> None:
    """A folder with the name of a split, among folders that have none, may be held out."""
    names = files.tree[""]
    for name in names:
        role = _WORDS.get(name.lower())
        nested = bool(files.tree[name])
        if role and (role != TRAIN or nested) and (len(names) > 1 or "" in files.folders):
            raise ValueError(
                f"{files.place}: {name}/ is named like a split, but there is no "
                f"{'held-out one' if role == TRAIN else 'train/'} beside it; make both, or rename "
                "it if it is a class"
            )


def chosen_splits(files: Files, splits: dict[str, str], test_split: str | None) -> tuple[str, str]:
    """The folders to train on and to hold out; says what is left out.

    Args:
        files: of the whole set.
        splits: its folders by role.
        test_split: "test" or "validation"; None takes test where there is one.

    Raises:
        ValueError: there is no such split.
    """
    role = test_split or (TEST if TEST in splits else VALIDATION)
    if role not in splits:
        others = ", ".join(name for name in splits if name != TRAIN)
        raise ValueError(
            f"test_split={test_split}: {files.place} has no such folder; beside train it has "
            f"{others or 'nothing to hold out'}"
        )
    train, test = splits[TRAIN], splits[role]
    counts = Counter(name.rpartition("/")[0].partition("/")[0] for name in files.images)
    del counts[train], counts[test]
    if counts:
        rest = ", ".join(f"{name or '.'}/ ({count} images)" for name, count in counts.items())
        say_once(f"{files.place}: left out {rest}; used {train}/ and {test}/")
    return train, test


def class_names(sets: Sequence[Files]) -> list[list[str]] | list[None]:
    """The class of each image of each set: the first folder that not all images share.

    None for each where all images lie in one folder: one folder alone is no class.

    Raises:
        ValueError: some images are in a class and others are in none.
    """
    folders = {folder for files in sets for folder in files.folders}
    shared = posixpath.commonpath(folders) if folders else ""
    if folders <= {shared}:
        return [None for _ in sets]
    for files in sets:
        stray = [name for name in files.images if name.rpartition("/")[0] == shared]
        if stray:
            top = files.where(shared) if shared else files.place
            name = stray[0].rpartition("/")[2]
            raise ValueError(f"sub-folders of {top} name the classes, but {name} is in none")
    start = len(f"{shared}/") if shared else 0
    label = {folder: composed(folder[start:].partition("/")[0]) for folder in folders}
    return [[label[name.rpartition("/")[0]] for name in files.images] for files in sets]


def _slashed(names: Sequence[str]) -> str:
    return " and ".join(f"{name}/" for name in names)
