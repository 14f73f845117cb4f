"""Which provider a reference goes to, and what a provider of one's own can do."""

import hashlib
from importlib.metadata import EntryPoint

import pytest

import inference_engine.providers as registry
from inference_engine import AutoModel, explain
from inference_engine.errors import AnswerInvalid, ModelNotFound, ParameterInvalid
from inference_engine.providers import FoundModel, ProviderOptions, provider, register_model_provider, split_reference
from inference_engine.remote_packages import FileHash, RemoteFile, RemotePackage


@pytest.mark.parametrize(
    ("reference", "named", "expected"),
    [
        ("rf://pets/1", None, ("roboflow", "pets/1")),
        ("hf://org/name@v1", None, ("huggingface", "org/name@v1")),
        ("s3://bucket/a/manifest.json", None, ("manifest", "s3://bucket/a/manifest.json")),
        ("https://host/manifest.json", "roboflow", ("manifest", "https://host/manifest.json")),
        ("https://host/model.onnx", None, ("manifest", "https://host/model.onnx")),
        ("shelf://pets", None, ("shelf", "pets")),
        ("pets/1", "roboflow", ("roboflow", "pets/1")),
        ("pets/1", None, ("local", "pets/1")),
        ("./pets/1", "roboflow", ("local", "./pets/1")),
        ("/pets/1", "roboflow", ("local", "/pets/1")),
        ("~/pets", "roboflow", ("local", "~/pets")),
    ],
)
def test_a_reference_says_whose_it_is(reference, named, expected):
    assert split_reference(reference, named) == expected


class Shelf:
    """A provider of one package that hands out the bytes itself."""

    def __init__(self, folder):
        self.folder, self.fetched = folder, []

    def find(self, model_id, options):
        if model_id != "pets":
            raise ModelNotFound(model_id)
        assert options.api_keys["shelf"] == "key"
        files = [
            RemoteFile(p.name, p.name, FileHash("sha256", hashlib.sha256(p.read_bytes()).hexdigest()))
            for p in sorted(self.folder.iterdir())
        ]
        package = RemotePackage("p", "pets", "shelf", "onnx", "yolov8", "object-detection", "fp32", tuple(files))
        return FoundModel("pets", (package,))

    def fetch(self, package, file, options):
        self.fetched.append(file.name)
        return iter([(self.folder / file.source).read_bytes()])


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


@pytest.mark.usefixtures("registered")
def test_a_registered_provider_supplies_the_bytes_itself(write_package, remote):
    shelf = Shelf(write_package())
    register_model_provider("shelf", shelf)
    options = remote(api_keys={"shelf": "key"})

    model = AutoModel.from_pretrained("shelf://pets", provider_options=options)
    again = AutoModel.from_pretrained(
        "pets", provider_options=remote(api_keys={"shelf": "key"}, weights_provider="shelf")
    )

    assert model.package.class_names == ("cat", "dog")
    assert again.package.digest == model.package.digest
    assert len(shelf.fetched) == 4


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("name", ["local", "roboflow", "hf", "https", "a b", "", "a/b"])
def test_a_provider_cannot_take_a_name_of_ours(name):
    with pytest.raises(ParameterInvalid, match="cannot be called"):
        register_model_provider(name, Shelf(None))


def test_a_provider_comes_in_by_an_entry_point(monkeypatch):
    point = EntryPoint("corner", f"{__name__}:Corner", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda _: Shelf)
    monkeypatch.setattr(registry, "entry_points", lambda **_: (point,))
    monkeypatch.setattr(registry, "_made", lambda found: found("folder"))

    assert provider("corner").folder == "folder"


def test_an_unknown_provider_is_named_with_those_there_are(tmp_path):
    with pytest.raises(ParameterInvalid, match="huggingface, manifest, roboflow"):
        explain("nobody://x", provider_options=ProviderOptions(cache_dir=tmp_path))


def test_the_table_of_providers_is_the_folder():
    assert registry.provider_names() == ["huggingface", "manifest", "roboflow"]


@pytest.mark.parametrize("value", ["short", "g" * 32, "A" * 32, "../" + "a" * 29])
def test_a_hash_is_hexadecimal_of_its_length(value):
    with pytest.raises(AnswerInvalid):
        FileHash("md5", value)


def test_a_package_survives_its_record_but_for_its_addresses():
    file = RemoteFile("w.onnx", "https://h/w?signature=secret", FileHash("md5", "0" * 32), 5)
    package = RemotePackage("p", "m", "x", "onnx", "yolov8", "object-detection", "fp32", (file,), warnings=("w",))

    record = package.to_record()

    assert RemotePackage.from_record(record) == package
    assert RemotePackage.from_record(record).key == package.key
    assert "secret" not in repr(record) + repr(package)


@pytest.mark.parametrize("names", [(), ("a", "a")], ids=["none", "twice"])
def test_a_package_has_files_of_different_names(names):
    with pytest.raises(AnswerInvalid, match="files"):
        RemotePackage("p", "m", "x", "onnx", "y", "t", "fp32", tuple(RemoteFile(name) for name in names))
