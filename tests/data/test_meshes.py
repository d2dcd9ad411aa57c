import struct

import numpy as np
import pytest
import torch

from losslab.data.meshes import Meshes, on_surface, read_mesh

# a pyramid on a square: one face of four corners, four of three
VERTICES = [(0, 0, 0), (2, 0, 0), (2, 2, 0), (0, 2, 0), (1, 1, 2)]
FACES = [(0, 1, 2, 3), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)]
TRIANGLES = [[0, 1, 2], [0, 2, 3], [0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]


def rows(items):
    return "\n".join(" ".join(map(str, item)) for item in items) + "\n"


def counted(faces):
    return [(len(face), *face) for face in faces]


def off(head="OFF\n# a comment\n5 5 8\n"):
    return (head + rows(VERTICES) + rows((*face, 255, 0, 0) for face in counted(FACES))).encode()


def obj():
    faces = [[f"{corner + 1}/1/1" for corner in face] for face in FACES]
    return (
        "# a comment\nvn 0 0 1\n"
        + rows(("v", *vertex) for vertex in VERTICES)
        + rows(("f", *face) for face in faces)
    ).encode()


def obj_from_the_end():
    faces = [[corner - 5 for corner in face] for face in FACES]
    return (rows(("v", *v) for v in VERTICES) + rows(("f", *face) for face in faces)).encode()


def ply_head(form, kind="float"):
    return (
        f"ply\nformat {form} 1.0\ncomment x\nelement vertex 5\n"
        f"property {kind} x\nproperty {kind} y\nproperty {kind} z\nproperty uchar red\n"
        "element face 5\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode()


def ply():
    coloured = [(*vertex, 200) for vertex in VERTICES]
    return ply_head("ascii") + (rows(coloured) + rows(counted(FACES))).encode()


def ply_binary(order, form, kind="float", code="f"):
    body = b"".join(struct.pack(f"{order}3{code}B", *vertex, 200) for vertex in VERTICES)
    body += b"".join(struct.pack(f"{order}B{len(f)}i", len(f), *f) for f in FACES)
    return ply_head(form, kind) + body


GOOD = {
    "off": ("x.off", off()),
    "off with counts in its first line": ("x.off", off("OFF5 5 8\n")),
    "off in capitals": ("x.OFF", off()),
    "obj": ("x.obj", obj()),
    "obj counted from the end": ("x.obj", obj_from_the_end()),
    "ply": ("x.ply", ply()),
    "ply, little-endian": ("x.ply", ply_binary("<", "binary_little_endian")),
    "ply, big-endian doubles": ("x.ply", ply_binary(">", "binary_big_endian", "double", "d")),
}


@pytest.mark.parametrize(("name", "content"), GOOD.values(), ids=GOOD)
def test_formats(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    vertices, triangles = read_mesh(file)
    assert vertices.tolist() == [list(map(float, vertex)) for vertex in VERTICES]
    assert triangles.tolist() == TRIANGLES


BROKEN = {
    "empty off": ("x.off", b"", "first word must be OFF"),
    "another file": ("x.off", b"hello 1 2\n", "first word must be OFF, got 'hello'"),
    "bytes": ("x.obj", b"\xff\xfe\x00v", "decode"),
    "cut off": ("x.off", off()[:60], "5 vertices and 5 faces declared"),
    "vertices only": ("x.obj", b"v 0 0 0\nv 1 0 0\n", "no faces"),
    "flat vertex": ("x.obj", b"v 0 0\nv 1 0 0\nf 1 2 1\n", "without three coordinates"),
    "faces of nothing": (
        "x.obj",
        b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
        "0 to 8, but there are 3",
    ),
    "a line": ("x.obj", b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "faces without area"),
    "not a number": ("x.obj", b"v 0 0 nan\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "not finite"),
    "ply without a header": ("x.ply", b"\n", "must begin with 'ply'"),
    "ply of another form": ("x.ply", ply_head("binary_huge"), "names 'binary_huge'"),
    "ply cut": ("x.ply", ply()[:-20], "ends before its last value"),
    "binary ply cut": ("x.ply", ply_binary("<", "binary_little_endian")[:-3], "buffer"),
    "ply without header's end": ("x.ply", ply()[:60], "got"),
}


@pytest.mark.parametrize(("name", "content", "reason"), BROKEN.values(), ids=BROKEN)
def test_broken_files_are_refused_in_one_line(tmp_path, name, content, reason):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ValueError, match="must be a readable mesh, got: ") as caught:
        read_mesh(file)
    assert str(file) in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_points_are_even_by_area_centred_and_scaled():
    # two rectangles in one plane, of areas 1 and 3, and a triangle without area
    vertices = np.array([[0.0, 0, 5], [1, 0, 5], [1, 1, 5], [0, 1, 5], [4, 0, 5], [4, 1, 5]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [1, 4, 5], [1, 5, 2], [0, 0, 0]])
    points = on_surface(vertices, faces, 40_000, torch.Generator().manual_seed(0)).double()
    assert points[:, 2].abs().max() < 1e-6
    half_diagonal = np.hypot(2, 0.5)
    assert points.mean(dim=0).abs().max() < 0.01
    assert points.norm(dim=1).max() <= 1 + 1e-6
    x = points[:, 0] * half_diagonal + 2
    assert (x < 1).double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert x.var().item() == pytest.approx(16 / 12, rel=0.02)  # of an even number from 0 to 4


@pytest.fixture
def folder(tmp_path):
    for kind in ("house", "tent"):
        (tmp_path / kind).mkdir()
        for number in range(3):
            (tmp_path / kind / f"{number}.off").write_bytes(off())
    (tmp_path / "house" / ".hidden.off").write_bytes(b"")
    (tmp_path / "house" / ".backup").mkdir()
    (tmp_path / "house" / ".backup" / "0.off").write_bytes(off())
    (tmp_path / "notes.txt").write_text("not a mesh")
    return tmp_path


def ready(path, **options):
    data = Meshes(str(path), **options)
    data.prepare_data()
    data.setup()
    return data


def test_a_folder_with_classes(folder):
    data = ready(folder, clouds=4, points=32)
    assert data.class_names == ["house", "tent"]
    assert data.input_shape == (32, 3)
    sizes = [split.size for split in (data.train, data.val, data.test)]
    assert sum(sizes) == 24
    assert data.notes == (
        "hidden files left out: 2 (first: .backup/0.off)",
        f"other files left out, *.txt: 1 (first: {folder.name}/notes.txt)",
    )
    assert all(size % 4 == 0 for size in sizes)  # a mesh's clouds stay together


def test_a_folder_without_classes(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.obj").write_bytes(obj())
    data = ready(tmp_path, clouds=2)
    assert data.target_kind == "values"
    assert data.train.size + data.val.size + data.test.size == 8


def test_too_few_meshes_and_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="path must be a folder with meshes, found none at"):
        Meshes(str(tmp_path / "nowhere")).prepare_data()
    (tmp_path / "1.obj").write_bytes(obj())
    with pytest.raises(FileNotFoundError, match=r"at least 3 meshes \(.off, .obj, .ply\), found 1"):
        Meshes(str(tmp_path)).prepare_data()
