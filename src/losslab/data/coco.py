"""Your own images with boxes in the format of COCO: one JSON file per split."""

import json
import os
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from losslab.data.annotations import Annotated, Box, require_box
from losslab.data.files import Changes, files_below, is_hidden
from losslab.data.image_boxes import SPLITS, ImageBoxes
from losslab.data.images import SUFFIXES
from losslab.data.splits import NAMES

_SPLIT = re.compile(rf"(?<![a-z])({'|'.join(SPLITS)})(?![a-z])")
_PREFIX = "instances_"


class Coco(ImageBoxes):
    """Images and JSON files as COCO has them, and as annotation tools export them.

    The files are ``annotations/instances_<split>.json`` (other ``.json`` files if there are none of
    this name), or the one in each of the folders ``train``, ``valid`` (or ``val``) and ``test``, or
    those in ``path`` itself. A missing split is drawn from train, and all splits are drawn from a
    file that stands alone. Images lie beside their file, in ``<split>``, ``images/<split>`` or
    ``images``, or in ``path``, where ``<split>`` is as in the name of the file.

    Classes are numbered in the order of their ids. Boxes marked ``iscrowd`` or ``ignore`` are left
    out, so that what they show counts as background.

    Args:
        path: path of the folder, or of one file.
        options: options of :class:`~losslab.data.image_boxes.ImageBoxes`.

    Raises:
        ValueError: in ``prepare_data``, if a file is not in this format, an image is listed twice,
            or a category is not listed; see :class:`~losslab.data.image_boxes.ImageBoxes`.
        FileNotFoundError: in ``prepare_data``, if files are missing.

    Source:
        Lin et al., "Microsoft COCO: Common Objects in Context", 2014.
    """

    def annotated(self, changes: Changes) -> tuple[list[Annotated], Mapping[Hashable, str]]:
        """Return the images with their boxes, and the names of the classes in order of ids."""
        images: list[Annotated] = []
        names: dict[Id, str] = {}
        folders = []
        for split, file in annotation_files(self.path, changes).items():
            listed = _listed(file)
            _add_names(names, listed.names, file)
            folders.append(_folder_of_images(file, listed))
            for image in listed.images.values():
                path = folders[-1] / image.name
                images.append(Annotated(split, path, file, image.size, image.boxes, image.classes))
                if image.marked:
                    changes.add("boxes marked iscrowd or ignore left out", path, image.marked)
            if listed.strays:
                changes.add("boxes of images that are not listed left out", file, listed.strays)
        _require_files(images)
        _count_unlisted(images, folders, changes)
        return images, {number: names[number] for number in sorted(names, key=_order)}


Id = int | str
"""Id of an image or a category."""


class ListedImage(NamedTuple):
    """An image of a file, its boxes with their classes, and how many boxes are marked."""

    name: str
    size: tuple[int, int] | None
    boxes: list[Box]
    classes: list[Id]
    marked: int = 0


class Listed(NamedTuple):
    """What a file lists: images and names of categories by id, and boxes of no listed image."""

    images: dict[Id, ListedImage]
    names: dict[Id, str]
    strays: int


# --- files ----------------------------------------------------------------------------------------


def annotation_files(path: Path, changes: Changes) -> dict[str, Path]:
    """Return the file of each split, in order.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if a split has several, or training has none.
    """
    if path.is_file():
        return {"train": path}
    for folders in ([path / "annotations"], [path / name for name in SPLITS], [path]):
        files = [file for folder in folders for file in sorted(folder.glob("[!.]*.json"))]
        named = [file for file in files if file.name.startswith(_PREFIX)]
        for file in set(files) - set(named) if named else ():
            changes.add(f"JSON files beside {_PREFIX}*.json left out", file)
        if files:
            return _by_split(named or files, path, changes)
    raise FileNotFoundError(
        "path must be a folder with annotations/instances_train.json, train/_annotations.coco.json "
        f"or a .json file, or such a file, found none at {path.absolute()}"
    )


def _by_split(files: Iterable[Path], path: Path, changes: Changes) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        split = SPLITS[_split_in(file, path) or "train"]
        if split in found:
            raise ValueError(
                f"{path} must have one file of annotations per split, got {found[split]} and "
                f"{file} for {split}: set data.path to one of them"
            )
        found[split] = file
    if "train" not in found:
        first, *others = found.values()
        if others:
            raise ValueError(
                f"{path} must have annotations of training images, got only {first} and {others[0]}"
            )
        changes.add("files of one split from which all are drawn", first)
        return {"train": first}
    return {split: found[split] for split in NAMES if split in found}


def _split_in(file: Path, path: Path) -> str | None:
    """Return the name of a split in that of a file, or of its folder.

    Example:
        >>> _split_in(Path("x/annotations/instances_val2017.json"), Path("x"))
        'val'
    """
    found = _SPLIT.search(file.stem.lower())
    if found:
        return found[1]
    return file.parent.name if file.parent != path and file.parent.name in SPLITS else None


def _folder_of_images(file: Path, listed: Listed) -> Path:
    """Return the folder that holds the first image of a file."""
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    name = file.stem.removeprefix(_PREFIX)
    folders = [root / name, root / "images" / name, root / "images", root]
    if split := _split_in(file, root):
        folders = [*folders[:2], root / split, root / "images" / split, *folders[2:]]
    first = next(iter(listed.images.values())).name
    for folder in (file.parent, *folders):
        if (folder / first).is_file():
            return folder
    places = ", ".join(map(str, dict.fromkeys((file.parent, *folders))))
    raise FileNotFoundError(f"{file} lists {first}, which must be in one of {places}")


def _require_files(images: Iterable[Annotated]) -> None:
    """Raise unless each image exists and is listed once, in one split."""
    known: dict[str, Path] = {}
    missing = []
    for each in images:
        name = os.path.normpath(each.image)
        if name in known:
            raise ValueError(
                f"{each.image} must be listed once, got it in {known[name]}"
                + (" twice" if known[name] == each.source else f" and {each.source}")
            )
        known[name] = each.source
        if not os.path.isfile(name):  # noqa: PTH113 (faster)
            missing.append(each)
    if missing:
        first = missing[0]
        raise FileNotFoundError(
            f"{first.source} must list images that exist, got {len(missing)} that do not, the "
            f"first of them {first.image}"
        )


def _count_unlisted(images: Iterable[Annotated], folders: Iterable[Path], changes: Changes) -> None:
    """Count the images in the folders that no file lists."""
    known = {os.path.normpath(each.image) for each in images}
    for folder in dict.fromkeys(folders):
        for name in sorted(files_below(folder)):
            path = os.path.normpath(folder / name)
            if name.lower().endswith(SUFFIXES) and not is_hidden(name) and path not in known:
                known.add(path)
                changes.add("images that are not listed left out", Path(path))


# --- their content --------------------------------------------------------------------------------


def _listed(file: Path) -> Listed:
    state = file.stat()
    return _read(file, (state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=3)  # for all jobs of a sweep
def _read(file: Path, state: tuple[int, int]) -> Listed:
    """Read a file in this state.

    Raises:
        ValueError: if it is not in the format of COCO.
    """
    try:
        content = json.loads(file.read_bytes(), object_hook=_without_outline)
    except ValueError as error:
        raise ValueError(f"{file} must be JSON, got: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold images, annotations and categories, got a list")
    names: dict[Id, str] = {}
    for entry in _entries(content, "categories", ("id", "name"), file):
        _add_names(names, {entry["id"]: str(entry["name"])}, file)
    images: dict[Id, ListedImage] = {}
    for entry in _entries(content, "images", ("id", "file_name"), file):
        if entry["id"] in images:
            raise ValueError(f"{file} must have one image per id, got two with {entry['id']!r}")
        images[entry["id"]] = ListedImage(
            str(entry["file_name"]).replace("\\", "/"), _size_of(entry), [], []
        )
    if not images:
        raise ValueError(f"{file} must list images, got none")
    return Listed(images, names, _add_boxes(images, names, content, file))


def _without_outline(entry: dict[str, Any]) -> dict[str, Any]:
    """Forget outlines, which are most of the memory."""
    entry.pop("segmentation", None)
    return entry


def _add_boxes(
    images: dict[Id, ListedImage], names: Mapping[Id, str], content: Mapping[str, Any], file: Path
) -> int:
    """Add the boxes of a file to its images, and return the number of those of other images."""
    strays = 0
    keys = ("image_id", "category_id", "bbox")
    for place, entry in enumerate(_entries(content, "annotations", keys, file)):
        image = images.get(entry["image_id"])
        if image is None:
            strays += 1
        elif entry.get("iscrowd") or entry.get("ignore"):
            images[entry["image_id"]] = image._replace(marked=image.marked + 1)
        elif entry["category_id"] not in names:
            raise ValueError(
                f"{file}: annotation {entry.get('id', place)} must have a category that is listed, "
                f"got the id {entry['category_id']!r}"
            )
        else:
            require_box(entry["bbox"], f"{file}: bbox of annotation {entry.get('id', place)}")
            x, y, width, height = entry["bbox"]
            image.boxes.append((x, y, x + width, y + height))
            image.classes.append(entry["category_id"])
    return strays


def _entries(
    content: Mapping[str, Any], what: str, keys: tuple[str, ...], file: Path
) -> Iterator[dict[str, Any]]:
    """Iterate over the entries of a list, each of which must have these keys."""
    entries = content.get(what)
    if not isinstance(entries, list):
        raise ValueError(f"{file} must hold a list of {what}, as instances_*.json of COCO does")
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or any(key not in entry for key in keys):
            raise ValueError(
                f"{file}: entry {place} of {what} must have {', '.join(keys)}, got "
                + (", ".join(entry) if isinstance(entry, dict) else repr(entry))
            )
        yield entry


def _add_names(names: dict[Id, str], others: Mapping[Id, str], file: Path) -> None:
    """Add names of categories, and refuse two for one id."""
    for number, name in others.items():
        if names.setdefault(number, name) != name:
            raise ValueError(
                f"{file} must have one category per id, in all files, got {names[number]!r} and "
                f"{name!r} with {number!r}"
            )


def _size_of(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the size of an image, unless it is not given; some tools write 0."""
    width, height = entry.get("width"), entry.get("height")
    return (int(width), int(height)) if width and height else None


def _order(number: Id) -> tuple[bool, Id]:
    return isinstance(number, str), number
