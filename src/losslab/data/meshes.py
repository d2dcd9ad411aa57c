"""Your own meshes, as point clouds on their surfaces."""

import struct
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.data import checks
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.files import Changes, files_below, fitting_files
from losslab.data.pointcloud import CANDIDATES, Rotation, require_sampling, sample_clouds
from losslab.rng import Purpose, generator

Vertices = NDArray[np.float64]
Triangles = NDArray[np.int64]
Polygons = list[list[int]]

PLY_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
PLY_TYPES = {
    **{"char": "b", "int8": "b", "uchar": "B", "uint8": "B", "short": "h", "int16": "h"},
    **{"ushort": "H", "uint16": "H", "int": "i", "int32": "i", "uint": "I", "uint32": "I"},
    **{"float": "f", "float32": "f", "double": "d", "float64": "d"},
}


class Meshes(InMemoryData):
    """Point clouds on the surfaces of the ``.off``, ``.obj`` and ``.ply`` meshes below a folder.

    Each mesh is centred at the mean of its surface and scaled so that its farthest point is at
    distance 1. Points are sampled uniformly by area. If there are two or more folders directly
    below ``path``, the folder of a mesh is its class. The clouds of a mesh stay in the same split.
    Hidden files, files in hidden folders and other files are left out.

    Args:
        path: path of the folder.
        clouds: number of clouds per mesh.
        points: number of points per cloud.
        noise: standard deviation of the normal noise on each coordinate.
        rotation: ``"any"``, ``"upright"`` (about the third axis) or ``"none"``.
        uneven: see :class:`~losslab.data.pointcloud.PointCloud`.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range or, in ``setup``, if a mesh cannot be read.
        FileNotFoundError: in ``prepare_data``, if there are fewer than 3 meshes.
    """

    def __init__(
        self,
        path: str,
        *,
        clouds: int = 8,
        points: int = 128,
        noise: float = 0.01,
        rotation: Rotation = "upright",
        uneven: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_whole("clouds", clouds, 1)
        require_sampling(points, noise, rotation, uneven)
        self.path = Path(path).expanduser()
        self.clouds = clouds
        self.points = points
        self.noise = noise
        self.rotation = rotation
        self.uneven = uneven

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if there are not enough meshes for three splits."""
        self._files(Changes())

    def setup(self, stage: str | None = None) -> None:
        """Sample the clouds and divide them by mesh; a second call does nothing."""
        if self._ready:
            return
        super().setup(stage)
        if self.test_split_seed is not None:
            files = self._files(Changes())
            clouds = self._sampled_clouds(files, self.test_split_seed)
            self.test = self.test._replace(inputs=clouds[self.test_index])

    def load(self) -> Raw:
        """Sample clouds ``(meshes * clouds, points, 3)``, with the classes of their meshes."""
        changes = Changes()
        files = self._files(changes)
        names = sorted({_class_of(file, self.path) for file in files} - {""})
        clouds = self._sampled_clouds(files, self.data_seed)
        mesh = torch.arange(len(files)).repeat_interleave(self.clouds)
        if len(names) < 2 or any(not _class_of(file, self.path) for file in files):
            none = torch.zeros(len(mesh), 1)
            return Raw(clouds, none, target_kind="values", groups=mesh, notes=changes.notes())
        labels = torch.tensor([names.index(_class_of(file, self.path)) for file in files])
        return Raw(clouds, labels[mesh], class_names=names, groups=mesh, notes=changes.notes())

    def _sampled_clouds(self, files: list[Path], seed: int) -> Tensor:
        rng = generator(seed, Purpose.SURFACES)
        candidates = CANDIDATES * self.points
        surfaces = [
            on_surface(*read_mesh(file), self.clouds * candidates, rng).reshape(-1, candidates, 3)
            for file in files
        ]
        return sample_clouds(
            torch.cat(surfaces),
            points=self.points,
            noise=self.noise,
            rotation=self.rotation,
            uneven=self.uneven,
            seed=seed,
        )

    def _files(self, changes: Changes) -> list[Path]:
        """Return the mesh files, in sorted order."""
        if not self.path.is_dir():
            raise FileNotFoundError(
                f"path must be a folder with meshes, found none at {self.path.absolute()}"
            )
        names = fitting_files(files_below(self.path), self.path, READERS, changes)
        if len(names) < 3:
            raise FileNotFoundError(
                f"path must hold at least 3 meshes ({', '.join(READERS)}), found {len(names)} in "
                f"{self.path.absolute()}"
            )
        return [self.path / name for name in names]


def on_surface(
    vertices: Vertices, triangles: Triangles, points: int, rng: torch.Generator
) -> Tensor:
    """Sample points ``(points, 3)`` uniformly by area, centred and scaled as in :class:`Meshes`.

    Example:
        >>> flat = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
        >>> rng = torch.Generator().manual_seed(0)
        >>> drawn = on_surface(flat, np.array([[0, 1, 2]]), 100, rng)
        >>> bool((drawn[:, 2] == 0).all())
        True
    """
    corners = torch.from_numpy(vertices[triangles])
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas = torch.linalg.cross(first, second).norm(dim=1)
    middle = (areas.unsqueeze(1) * corners.mean(dim=1)).sum(dim=0) / areas.sum()
    size = (corners - middle).norm(dim=2).max()
    # not by torch.multinomial, which takes at most 2^24 triangles
    ends = areas.cumsum(0)
    drawn = torch.rand(points, generator=rng, dtype=torch.float64) * ends[-1]
    face = torch.searchsorted(ends, drawn, right=True).clamp(max=len(ends) - 1)
    u, v = torch.rand(2, points, 1, generator=rng, dtype=torch.float64)
    beyond = u + v > 1  # fold the other half of the parallelogram back
    u, v = torch.where(beyond, 1 - u, u), torch.where(beyond, 1 - v, v)
    placed = corners[face, 0] + u * first[face] + v * second[face]
    cloud: Tensor = (placed - middle) / size
    return cloud.float()


def read_mesh(file: Path) -> tuple[Vertices, Triangles]:
    """Read vertices ``(V, 3)`` and triangles ``(T, 3)`` of a mesh; polygons are triangulated.

    Raises:
        ValueError: if the file is invalid or has no surface; the message names the file.
    """
    try:
        vertices, polygons = READERS[file.suffix.lower()](file.read_bytes())
        triangles = _triangles(polygons)
        _require_surface(vertices, triangles)
    except (ValueError, IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file} must be a readable mesh, got: {reason}") from error
    return vertices, triangles


def _triangles(polygons: Polygons) -> Triangles:
    """Triangulate each polygon as a fan around its first corner."""
    fans = [
        (corners[0], corners[place], corners[place + 1])
        for corners in polygons
        for place in range(1, len(corners) - 1)
    ]
    return np.array(fans, dtype=np.int64).reshape(-1, 3)


def _require_surface(vertices: Vertices, triangles: Triangles) -> None:
    if not len(triangles):
        raise ValueError("no faces")
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise ValueError(
            f"faces of vertices {triangles.min()} to {triangles.max()}, but there are "
            f"{len(vertices)} vertices"
        )
    corners = vertices[triangles]
    if not np.isfinite(corners).all():
        raise ValueError("vertices that are not finite")
    sides = corners[:, 1:] - corners[:, :1]
    if not np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum() > 0:
        raise ValueError("faces without area")


def _read_off(content: bytes) -> tuple[Vertices, Polygons]:
    head, *lines = [
        words for line in content.decode().splitlines() if (words := line.split("#")[0].split())
    ] or [[""]]
    if not head[0].startswith("OFF"):
        raise ValueError(f"the first word must be OFF, got {head[0][:20]!r}")
    # the counts may be on the first line, in some files without a space: OFF8 6 12
    counts = [word for word in [head[0].removeprefix("OFF"), *head[1:]] if word]
    if not counts:
        counts, *lines = lines
    vertex_count, face_count = int(counts[0]), int(counts[1])
    if len(lines) < vertex_count + face_count:
        raise ValueError(
            f"{vertex_count} vertices and {face_count} faces declared, but {len(lines)} lines"
        )
    vertices = [[float(word) for word in words[:3]] for words in lines[:vertex_count]]
    faces = lines[vertex_count : vertex_count + face_count]
    # a colour may follow the corners
    polygons = [[int(word) for word in words[1 : 1 + int(words[0])]] for words in faces]
    return _points(vertices), polygons


def _read_obj(content: bytes) -> tuple[Vertices, Polygons]:
    vertices: list[list[float]] = []
    polygons: Polygons = []
    for line in content.decode().splitlines():
        kind, *words = line.split("#")[0].split() or [""]
        if kind == "v":
            vertices.append([float(word) for word in words[:3]])
        elif kind == "f":
            corners = [int(word.split("/")[0]) for word in words]
            # indices start at 1; negative ones are relative to the last vertex so far
            polygons.append([c - 1 if c > 0 else len(vertices) + c for c in corners])
    return _points(vertices), polygons


def _points(rows: list[list[float]]) -> Vertices:
    if any(len(row) != 3 for row in rows):
        raise ValueError("a vertex without three coordinates")
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


class _Property(NamedTuple):
    """Property of a PLY element; ``length`` is the type of the length of a list."""

    name: str
    kind: str
    length: str | None


class _Element(NamedTuple):
    name: str
    size: int
    properties: list[_Property]


def _read_ply(content: bytes) -> tuple[Vertices, Polygons]:
    head, _, body = content.partition(b"end_header")
    file_format, elements = _ply_header(head.decode("ascii"))
    body = body[body.index(b"\n") + 1 :]  # the rest of the header's last line
    if file_format == "ascii":
        read = _ascii_values(body)
    else:
        read = _binary_values(body, PLY_ORDERS[file_format])
    vertices: list[list[float]] = []
    polygons: Polygons = []
    for element in elements:
        for _ in range(element.size):
            row = {field.name: _ply_value(field, read) for field in element.properties}
            if element.name == "vertex":
                vertices.append([row[axis][0] for axis in "xyz"])
            elif element.name == "face":
                corners = row["vertex_indices" if "vertex_indices" in row else "vertex_index"]
                polygons.append([int(corner) for corner in corners])
    return _points(vertices), polygons


def _ply_header(head: str) -> tuple[str, list[_Element]]:
    """Parse the format and the declared elements."""
    first, *lines = head.splitlines() or [""]
    file_format = ""
    elements: list[_Element] = []
    for line in lines:
        match line.split():
            case ["format", file_format, _]:
                pass
            case ["element", name, size]:
                elements.append(_Element(name, int(size), []))
            case ["property", "list", count, kind, name]:
                elements[-1].properties.append(_Property(name, PLY_TYPES[kind], PLY_TYPES[count]))
            case ["property", kind, name]:
                elements[-1].properties.append(_Property(name, PLY_TYPES[kind], None))
    if first.strip() != "ply" or file_format not in ("ascii", *PLY_ORDERS):
        raise ValueError(
            "the header must begin with 'ply' and name a format out of ascii, "
            f"{', '.join(PLY_ORDERS)}; it begins with {head[:20]!r} and names {file_format!r}"
        )
    return file_format, elements


Values = Callable[[str, int], Sequence[float]]
"""Reads the next values, given their type and number."""


def _ply_value(field: _Property, read: Values) -> Sequence[float]:
    return read(field.kind, int(read(field.length, 1)[0]) if field.length else 1)


def _ascii_values(body: bytes) -> Values:
    words = iter(body.split())

    def read(kind: str, count: int) -> Sequence[float]:
        values = [float(word) for word in islice(words, count)]
        if len(values) < count:
            raise ValueError("the file ends before its last value")
        return values

    return read


def _binary_values(body: bytes, order: str) -> Values:
    place = 0

    def read(kind: str, count: int) -> Sequence[float]:
        nonlocal place
        values = struct.unpack_from(f"{order}{count}{kind}", body, place)
        place += struct.calcsize(f"{order}{count}{kind}")
        return values

    return read


def _class_of(file: Path, root: Path) -> str:
    """Return the name of the file's folder directly below the root; empty for the root itself."""
    parts = file.relative_to(root).parts
    return parts[0] if len(parts) > 1 else ""


READERS = {".off": _read_off, ".obj": _read_obj, ".ply": _read_ply}
