"""Archives that others made: what is good comes out whole, what is bad writes nothing."""

import io
import tarfile
import zipfile

import pytest

from inference_engine.archives import ArchiveLimits, unpack
from inference_engine.errors import PackageInvalid

BAD_NAMES = ["../evil", "a/../../evil", "/etc/evil", "a\\b", "C:evil", ".."]


def make_tar(path, names, mode="w:gz", size=3):
    with tarfile.open(path, mode) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(b"x" * size))
    return path


def make_zip(path, names, data=b"xxx", attributes=0):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo("placeholder")
            entry.filename, entry.external_attr, entry.compress_type = name, attributes << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_files_come_out(tmp_path, make):
    unpack(make(tmp_path / "a", ["model.json", "sub/weights"]), tmp_path / "out")

    assert (tmp_path / "out" / "model.json").read_bytes() == b"xxx"
    assert (tmp_path / "out" / "sub" / "weights").read_bytes() == b"xxx"


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_name_that_leads_out_is_refused_and_nothing_is_written(tmp_path, make, name):
    with pytest.raises(PackageInvalid):
        unpack(make(tmp_path / "a", ["good", name]), tmp_path / "deep" / "out")

    assert not (tmp_path / "deep" / "out").exists()
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "deep"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [["a", "a"], ["a", "A"], ["a/b", "./a/b"]])
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_name_that_comes_twice_is_refused(tmp_path, make, names):
    with pytest.raises(PackageInvalid, match="twice"):
        unpack(make(tmp_path / "a", names), tmp_path / "out")


def test_a_nul_in_a_name_is_refused(tmp_path):
    path = make_zip(tmp_path / "a", ["goodXevil"])
    path.write_bytes(path.read_bytes().replace(b"goodXevil", b"good\0evil"))

    with pytest.raises(PackageInvalid):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_of_a_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a", "w") as tar:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "target"
        tar.addfile(info)

    with pytest.raises(PackageInvalid, match="link or a device"):
        unpack(tmp_path / "a", tmp_path / "out")


def test_links_of_a_zip_are_refused(tmp_path):
    with pytest.raises(PackageInvalid, match="link or a device"):
        unpack(make_zip(tmp_path / "a", ["link"], attributes=0o120777), tmp_path / "out")


@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.parametrize(
    ("limits", "said"), [(ArchiveLimits(max_bytes=8), "8 bytes"), (ArchiveLimits(max_files=2), "2 files")]
)
def test_too_much_is_refused(tmp_path, make, limits, said):
    with pytest.raises(PackageInvalid, match=said):
        unpack(make(tmp_path / "a", ["a", "b", "c"]), tmp_path / "out", limits)


def test_a_bomb_is_refused(tmp_path):
    with pytest.raises(PackageInvalid, match="200 times"):
        unpack(make_zip(tmp_path / "a", ["bomb"], data=bytes(4 << 20)), tmp_path / "out")
    with pytest.raises(PackageInvalid, match="200 times"):
        unpack(make_tar(tmp_path / "b", ["bomb"], size=4 << 20, mode="w:bz2"), tmp_path / "out")


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_what_is_no_archive_is_refused(tmp_path, data):
    (tmp_path / "a").write_bytes(data)

    with pytest.raises(PackageInvalid):
        unpack(tmp_path / "a", tmp_path / "out")
