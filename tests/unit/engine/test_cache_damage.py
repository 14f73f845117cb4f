"""F40: what may befall a fetched package on disk. It heals or is refused; wrong bytes never reach a runtime."""

import os
import shutil

import numpy as np
import pytest

from inference_engine import AutoModel
from inference_engine.cache.packages import PackageCache
from inference_engine.errors import EngineError

IMAGE = np.zeros((8, 8, 3), np.uint8)
NAME = "weights.onnx"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap(link):
    """Another model's file in its place, by a link."""

    def run(path):
        other = path.parents[3] / "other.onnx"
        shutil.copy(path, other)
        flip(other)
        path.unlink()
        link(other, path)

    return run


def folder_instead(path):
    path.unlink()
    path.mkdir()


DAMAGE = {
    "a bit": flip,
    "its end is missing": lambda path: os.truncate(path, path.stat().st_size // 2),
    "it is empty": lambda path: path.write_bytes(b""),
    "it is longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "a symbolic link to another": swap(os.symlink),
    "a hard link to another": swap(os.link),
    "a folder": folder_instead,
    "it is gone": lambda path: path.unlink(),
    "the whole folder is gone": lambda path: shutil.rmtree(path.parent),
}


@pytest.fixture
def cache(tmp_path):
    return PackageCache(tmp_path / "cache")


@pytest.fixture
def loaded(serve_model, remote, cache):
    """A package that was fetched; gives its weights, and its answer as it should be."""
    serve_model()
    answer = AutoModel.from_pretrained("rf://pets/1", provider_options=remote())(IMAGE)
    (key,) = cache.stored_keys()
    return cache.folder_of(key) / NAME, answer


def damage_in_secret(path, damage):
    """Keep the time of change where the file is one, so that size and bytes alone can tell."""
    before = path.stat()
    damage(path)
    if path.is_file() and not path.is_symlink():
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_fetched_once_more_and_the_answer_is_right(server, remote, cache, loaded, damage):
    path, answer = loaded
    whole = path.read_bytes()
    damage_in_secret(path, damage)
    server.requests.clear()

    again = AutoModel.from_pretrained("rf://pets/1", provider_options=remote())(IMAGE)

    assert np.array_equal(again[0].xyxy, answer[0].xyxy)
    assert len(server.asked(f"/abc/{NAME}")) == 1
    assert path.read_bytes() == whole
    assert not path.is_symlink()
    assert path.stat().st_nlink == 1
    assert cache.damaged(path.parent.name) == ()


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_where_nobody_can_be_asked(remote, loaded, damage):
    path, _ = loaded
    damage_in_secret(path, damage)

    with pytest.raises(EngineError):
        AutoModel.from_pretrained("rf://pets/1", provider_options=remote(offline=True))


def test_what_was_put_beside_the_files_of_a_package_is_set_aside_and_no_part_of_it(remote, cache, loaded):
    path, answer = loaded
    before = AutoModel.from_pretrained("rf://pets/1", provider_options=remote()).package.digest
    (path.parent / "stranger.txt").write_text("hello", encoding="utf-8")

    model = AutoModel.from_pretrained("rf://pets/1", provider_options=remote())

    assert model.package.digest == before
    assert (cache.root / "quarantine" / path.parent.name / "stranger.txt").is_file()
    assert np.array_equal(model(IMAGE)[0].xyxy, answer[0].xyxy)


def test_a_stale_part_of_other_bytes_does_not_become_part_of_the_file(server, remote, cache, loaded):
    path, answer = loaded
    key, whole = path.parent.name, path.read_bytes()
    shutil.rmtree(path.parent)
    (cache.root / "records" / f"{key}.json").unlink()
    partial = cache.root / "partial" / key
    partial.mkdir(parents=True)
    (partial / f"{NAME}.part").write_bytes(bytes(len(whole) // 2))

    again = AutoModel.from_pretrained("rf://pets/1", provider_options=remote())(IMAGE)

    assert np.array_equal(again[0].xyxy, answer[0].xyxy)
    assert path.read_bytes() == whole
