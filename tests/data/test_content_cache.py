"""The first pass over files, kept for later commands."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from losslab.data import content_cache, scan
from losslab.data.files import PathList
from losslab.data.image_folder import ImageFiles, ImageFolder
from losslab.data.image_masks import ImageMasks


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder for the cache, and a count of the passes over files."""
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scan, "_KNOWN", type(scan._KNOWN)())
    passes, again = [], scan.scan_again
    monkeypatch.setattr(
        scan, "scan_again", lambda *a, **options: passes.append(1) or again(*a, **options)
    )
    return tmp_path / "cache", passes


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "data"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 3, (8, 8), dtype=np.uint8)
        mask = Image.fromarray(pixels)
        mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        mask.save(folder / "masks" / f"{number}.png")
        Image.fromarray(pixels * 100).save(folder / "images" / f"{number}.png")
    return folder


def ready(kind, images):
    scan._KNOWN.clear()  # another command
    data = kind(str(images), image_size=6, in_memory=False, num_workers=0)
    data.setup()
    return data


@pytest.mark.parametrize("kind", [ImageFolder, ImageMasks])
def test_a_second_command_finds_the_same_without_reading(kind, cache, images):
    (file, passes) = cache
    first, second = ready(kind, images), ready(kind, images)
    assert len(passes) == 1
    assert first.fingerprint() == second.fingerprint()
    assert first.notes == second.notes
    assert torch.equal(first.train.targets, second.train.targets)
    for one, other in zip(first.train.inputs.scaling, second.train.inputs.scaling, strict=True):
        assert torch.equal(one, other)
    assert [each.suffix for each in file.iterdir()] == [".npz"]


def change_size(folder, options):
    Image.new("L", (9, 9)).save(folder / "images" / "0.png")


def change_time(folder, options):
    os.utime(folder / "images" / "0.png", ns=(1, 1))


def add(folder, options):
    Image.new("L", (8, 8)).save(folder / "images" / "new.png")


def other_option(folder, options):
    options["grayscale"] = True


def other_version(folder, options):
    content_cache.VERSION += 1


@pytest.mark.parametrize("change", [change_size, change_time, add, other_option, other_version])
def test_a_change_makes_it_read_again(change, cache, images, monkeypatch):
    monkeypatch.setattr(content_cache, "VERSION", 1)
    options = {"image_size": 6, "in_memory": False, "num_workers": 0}
    ImageFolder(str(images), **options).setup()
    change(images, options)
    scan._KNOWN.clear()
    ImageFolder(str(images), **options).setup()
    assert len(cache[1]) == 2


def test_what_was_found_in_files_that_changed_meanwhile_is_not_kept(cache, images, monkeypatch):
    again = scan.scan_again

    def changing(*arguments, **options):
        found = again(*arguments, **options)
        change_time(images, options)
        return found

    monkeypatch.setattr(scan, "scan_again", changing)
    ready(ImageFolder, images)
    assert not cache[0].exists()


def test_relative_paths_of_two_folders_differ(images, monkeypatch):
    keys = []
    for folder in (images, images / "images"):
        (folder / "a").mkdir()
        (folder / "a" / "1.png").write_bytes(b"")
        os.utime(folder / "a" / "1.png", ns=(1, 1))
        monkeypatch.chdir(folder)
        keys.append(ImageFiles(PathList(["a/1.png"]), 6, grayscale=False).key())
    assert keys[0] != keys[1]


def truncated(file):
    file.write_bytes(file.read_bytes()[:-40])


def flipped(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def empty(file):
    file.write_bytes(b"")


def pickled(file):
    with file.open("wb") as opened:
        np.save(opened, np.array([{}]), allow_pickle=True)


def fewer(file):
    arrays = dict(np.load(file))
    np.savez(file, **{name: each[:3] if name != "text" else each for name, each in arrays.items()})


def other_text(file):
    arrays = dict(np.load(file))
    arrays["text"] = np.frombuffer(json.dumps([1]).encode(), dtype=np.uint8)
    np.savez(file, **arrays)


@pytest.mark.parametrize("damage", [truncated, flipped, empty, pickled, fewer, other_text])
def test_a_damaged_file_is_replaced(damage, cache, images):
    folder, passes = cache
    before = ready(ImageFolder, images).fingerprint()
    (file,) = folder.iterdir()
    damage(file)
    assert ready(ImageFolder, images).fingerprint() == before
    assert ready(ImageFolder, images).fingerprint() == before
    assert len(passes) == 2


@pytest.mark.parametrize("place", ["", "file", "/proc/none"])
def test_without_a_folder_files_are_read_each_time(place, cache, images, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LOSSLAB_CACHE", place and str(tmp_path / place))
    before = ready(ImageFolder, images).fingerprint()
    assert ready(ImageFolder, images).fingerprint() == before
    assert len(cache[1]) == 2


def test_data_that_fail_a_check_fail_it_again(cache, images):
    mask = Image.open(images / "masks" / "3.png")
    mask.putpalette([9, 9, 9, 255, 0, 0, 0, 255, 0])
    mask.save(images / "masks" / "3.png")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"index 0 has the colour \(9, 9, 9\) there"):
            ready(ImageMasks, images)


def test_the_files_used_last_are_kept(cache, images, monkeypatch):
    monkeypatch.setattr(content_cache, "MOST_FILES", 2)
    folder, passes = cache
    for size in (4, 5, 6, 5, 7):
        scan._KNOWN.clear()
        ImageFolder(str(images), image_size=size, in_memory=False, num_workers=0).setup()
    assert len(passes) == 4
    assert len(list(folder.iterdir())) == 2


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.delenv("LOSSLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert content_cache.folder() == tmp_path / "losslab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert content_cache.folder() == tmp_path / ".cache" / "losslab"
