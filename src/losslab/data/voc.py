"""Your own images with boxes in the format of Pascal VOC: one XML file per image."""

import math
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Unpack
from xml.etree import ElementTree

from losslab.data import checks
from losslab.data.annotations import Annotated, Box
from losslab.data.files import Changes, files_below, fitting_files
from losslab.data.image_boxes import SPLITS, BoxOptions, ImageBoxes
from losslab.data.images import SUFFIXES
from losslab.data.splits import NAMES

Files = tuple[str, Path, Path]
"""Split, annotations and image."""


class Voc(ImageBoxes):
    """Images and XML files as Pascal VOC has them, and as annotation tools export them.

    ``Annotations/a.xml`` belongs to ``JPEGImages/a.jpg`` (or ``images/a.jpg``, of any image
    format), and ``ImageSets/Main/train.txt``, ``val.txt`` and ``test.txt`` list the images of each
    split; without ``train.txt``, training is ``trainval.txt`` or, without lists, everything. Or
    both files lie in one folder: ``path``, or ``train``, ``valid`` (or ``val``) and ``test`` in it.
    A missing split is drawn from train.

    Pascal VOC counts pixels from 1, and a box includes its last one: ``xmin`` to ``xmax`` becomes
    ``xmin - 1`` to ``xmax`` here, where the pixel in column x is from x to x + 1.

    Args:
        path: path of the folder; also of one that contains ``VOC2007`` or ``VOCdevkit/VOC2007``.
        difficult: whether to keep objects marked ``difficult``. Without them, what they show counts
            as background.
        first_pixel: number of the first pixel, 1 or 0, which is subtracted from ``xmin`` and
            ``ymin``. Tools that write corners as fractions of a pixel, such as CVAT, count from 0.
        options: options of :class:`~losslab.data.image_boxes.ImageBoxes`.

    Raises:
        ValueError: in ``setup``, if a file is not in this format; see
            :class:`~losslab.data.image_boxes.ImageBoxes`.
        FileNotFoundError: in ``prepare_data``, if files are missing.

    Source:
        Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", 2010.
    """

    def __init__(
        self,
        path: str,
        *,
        difficult: bool = False,
        first_pixel: int = 1,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(path, **options)
        checks.require_choice("difficult", difficult, (True, False))
        checks.require_choice("first_pixel", first_pixel, (0, 1))
        self.difficult = difficult
        self.first_pixel = first_pixel

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if there are no annotations, or images are missing."""
        image_files(self.path, Changes())

    def number_of_images(self) -> int:
        """Return the number of images, without reading annotations."""
        return len(image_files(self.path, Changes()))

    def annotated(self, changes: Changes) -> tuple[list[Annotated], Mapping[Hashable, str]]:
        """Return the images with their boxes, and the names of the classes in sorted order."""
        images = [self._annotated(*files, changes) for files in image_files(self.path, changes)]
        names = sorted({str(name) for image in images for name in image.classes})
        return images, {name: name for name in names}

    def _annotated(self, split: str, file: Path, image: Path, changes: Changes) -> Annotated:
        """Read the annotations of one image."""
        try:
            root = ElementTree.parse(file).getroot()
        except ElementTree.ParseError as error:
            raise ValueError(f"{file} must be XML, got: {error}") from error
        boxes, classes = [], []
        for place, item in enumerate(root.findall("object"), 1):
            whose = f"{file}: object {place}"
            if not self.difficult and (item.findtext("difficult") or "0").strip() != "0":
                changes.add("objects marked difficult left out", image)
                continue
            name = (item.findtext("name") or "").strip()
            if not name:
                raise ValueError(f"{whose} must have a name")
            classes.append(name)
            boxes.append(self._box(item, whose, image, changes))
        return Annotated(split, image, file, _size_in(root, file), boxes, classes)

    def _box(self, item: ElementTree.Element, whose: str, image: Path, changes: Changes) -> Box:
        xmin, ymin, xmax, ymax = (
            _number(item, f"bndbox/{corner}", whose) for corner in ("xmin", "ymin", "xmax", "ymax")
        )
        if self.first_pixel == 1 and min(xmin, ymin) == 0:
            changes.add("boxes from pixel 0 (data.first_pixel=0 if the first pixel is 0)", image)
        return xmin - self.first_pixel, ymin - self.first_pixel, xmax, ymax


def _number(item: ElementTree.Element, place: str, whose: str) -> float:
    """Return the number in an element."""
    text = item.findtext(place)
    try:
        value = float(text or "nothing")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{whose} must have a number in {place}, got {text!r}")
    return value


def _size_in(root: ElementTree.Element, file: Path) -> tuple[int, int] | None:
    """Return the size of the image, unless it is not given; some tools write 0."""
    if root.find("size") is None:
        return None
    width, height = (int(_number(root, f"size/{side}", str(file))) for side in ("width", "height"))
    return (width, height) if width and height else None


# --- files ----------------------------------------------------------------------------------------


def image_files(path: Path, changes: Changes) -> list[Files]:
    """Return split, annotations and image of each image.

    Raises:
        FileNotFoundError: if there is none, or annotations have no image.
        ValueError: if an image is in two lists, or ``path`` holds several data sets.
    """
    root = _root(path)
    if root is not None:
        found = _in_root(root, changes)
    else:
        found = [
            (split, *pair)
            for split, folder in _split_folders(path)
            for pair in _pairs(folder, folder, changes).values()
        ]
    if not found:
        raise FileNotFoundError(
            "path must be a folder with Annotations and JPEGImages, or with .xml files beside "
            f"their images, found none at {path.absolute()}"
        )
    return found


def _root(path: Path) -> Path | None:
    """Return the folder that holds ``Annotations``: ``path``, or one below it."""
    for pattern in ("Annotations", "VOC*/Annotations", "VOCdevkit/VOC*/Annotations"):
        found = [each.parent for each in sorted(path.glob(pattern))]
        if len(found) > 1:
            raise ValueError(
                f"{path} must hold one data set, got {found[0]} and {found[1]}: set data.path to "
                f"one of them"
            )
        if found:
            return found[0]
    return None


def _split_folders(path: Path) -> list[tuple[str, Path]]:
    """Return split and folder of each split; without ``train``, ``path`` is that of training."""
    if not (path / "train").is_dir():
        return [("train", path)]
    return [(split, path / name) for name, split in SPLITS.items() if (path / name).is_dir()]


def _in_root(root: Path, changes: Changes) -> list[Files]:
    """Return the files of the images that are listed, or of all if there are no lists."""
    images = root / ("images" if (root / "images").is_dir() else "JPEGImages")
    pairs = _pairs(root / "Annotations", images, changes)
    lists = _lists(root / "ImageSets" / "Main")
    if not lists:
        return [("train", *pair) for pair in pairs.values()]
    found: dict[str, Files] = {}
    for split, file in lists.items():
        for name in _first_words(file):
            if name not in pairs:
                raise FileNotFoundError(f"{file} lists {name}, of which {root} has no annotations")
            if name in found:
                raise ValueError(f"{file} must not list {name}, which is in {found[name][0]}, too")
            found[name] = (split, *pairs[name])
    for name, (_, image) in pairs.items():
        if name not in found:
            changes.add("images that ImageSets/Main does not list left out", image)
    return list(found.values())


def _lists(folder: Path) -> dict[str, Path]:
    """Return the list of each split, with that of training first."""
    files = {split: folder / f"{split}.txt" for split in NAMES}
    if not files["train"].is_file():
        files |= {"train": folder / "trainval.txt", "val": folder / "none"}
    if not files["train"].is_file():
        return {}
    return {split: file for split, file in files.items() if file.is_file()}


def _first_words(file: Path) -> list[str]:
    return [words[0] for words in map(str.split, file.read_text().splitlines()) if words]


def _pairs(annotations: Path, images: Path, changes: Changes) -> dict[str, tuple[Path, Path]]:
    """Return annotations and image by their name without suffix, which both have."""
    described, shown = _by_stem(annotations, (".xml",)), _by_stem(images, SUFFIXES)
    for name, file in described.items():
        if name not in shown:
            raise FileNotFoundError(f"{file} must have an image {name}.* in {images}")
    for name, file in shown.items():
        if name not in described:
            changes.add("images without an XML file left out", file)
    return {name: (file, shown[name]) for name, file in described.items()}


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return the visible files below a folder by their relative names without suffix."""
    files: dict[str, Path] = {}
    names = [name for name in files_below(folder) if name.lower().endswith(suffixes)]
    for name in fitting_files(names, folder, suffixes, Changes()):
        stem = os.path.splitext(name)[0]  # noqa: PTH122 (faster)
        if stem in files:
            raise ValueError(
                f"{folder} must hold one image per name, got {files[stem]} and {folder / name}"
            )
        files[stem] = folder / name
    return files
