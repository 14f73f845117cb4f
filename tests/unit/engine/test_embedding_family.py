"""Vectors of exported networks, of pictures and of texts, against the modules themselves."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

from inference_engine import AutoModel
from inference_engine.embedders import text_inputs
from inference_engine.errors import NoRunnableBackend, OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.families import recipe
from inference_engine.images import plan_fit
from inference_engine.interfaces import ImageEmbeddingModel, TextImageEmbeddingModel
from inference_engine.package_files import read_parts
from inference_engine.package_sections import kind_of
from inference_engine.packages import read_package
from inference_engine.sessions import SessionOptions
from tests.fixtures.exported_modules import BACKENDS, export_onnx, save_script, write_packages

SIDE, WIDTH, TOKENS = 24, 10, 6
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # openai/CLIP, clip/clip.py
WORDS = {"<pad>": 0, "<s>": 1, "</s>": 2, "a": 3, "red": 4, "blue": 5, "cat": 6, "<unk>": 7}
DECODE = recipe("embedding", "embedding")
ONE = SessionOptions(threads=1)


def inference(mode="center-crop"):
    size = {"training_input_size": {"height": SIDE, "width": SIDE}, "resize_mode": mode, "scaling_factor": 255}
    return {"network_input": size | {"normalization": [MEAN, STD]}, "forward_pass": {"max_dynamic_batch_size": 2}}


class Visual(nn.Module):
    """A vector a token, and the first one's projected: what a vision transformer ends with."""

    def __init__(self, *, is_pooled=True):
        super().__init__()
        torch.manual_seed(1)
        self.patches, self.head, self.is_pooled = nn.Conv2d(3, 12, 8, 8), nn.Linear(12, WIDTH), is_pooled

    def forward(self, images):
        tokens = torch.tanh(self.patches(images)).flatten(2).transpose(1, 2)
        return self.head(tokens.mean(1)) if self.is_pooled else tokens


class Textual(nn.Module):
    """Tokens that are no padding, summed and projected."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.table, self.head = nn.Embedding(len(WORDS), 12), nn.Linear(12, WIDTH)

    def forward(self, ids):
        return self.head((self.table(ids) * (ids != 0)[..., None]).sum(1))


def write_tokenizer(path):
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))  # noqa: S106 (a token of a text)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("<s>", 1), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    tokenizer.save(str(path))


def config_of(folder):
    return json.loads((folder / "model_config.json").read_text(encoding="utf-8"))


def change(folder, **more):
    (folder / "model_config.json").write_text(json.dumps(config_of(folder) | more), encoding="utf-8")


def write(root, architecture="clip", mode="center-crop", **more):
    module = Visual(**more).eval()
    config = {"model_architecture": architecture, "task_type": "embedding"}
    return module, write_packages(root, module, torch.rand(2, 3, SIDE, SIDE), config, inference(mode))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Both modules, and the packages of both by backend."""
    visual, folders = write(tmp_path_factory.mktemp("clip"))
    textual = Textual().eval()
    example = torch.ones(2, TOKENS, dtype=torch.int64)
    for backend, folder in folders.items():
        write_tokenizer(folder / "tokenizer.json")
        name = "textual.pt" if backend == "torch" else "textual.onnx"
        if backend == "torch":
            save_script(textual, example, folder / name)
        else:
            export_onnx(textual, example, folder / name, ("input_ids",), ("text_embeds",))
        change(folder, parts={"text": name}, text={"tokenizer": "tokenizer.json", "max_tokens": TOKENS})
    return visual, textual, folders


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(6)
    small = [rng.integers(0, 256, (*hw, 3), np.uint8) for hw in ((4, 7), (9, 4), (6, 6))]
    return [image.repeat(8, 0).repeat(8, 1) for image in small]


def opened(folders, backend):
    return AutoModel.from_pretrained(folders[backend], backend=backend, options=ONE, trust=backend == "torch")


def clip_pixels(image):
    """CLIP's own steps: the shorter side by Pillow's bicubic filter, the middle, mean and deviation."""
    height, width = image.shape[:2]
    short = min(height, width)
    sized = Image.fromarray(image).resize((width * SIDE // short, height * SIDE // short), Image.Resampling.BICUBIC)
    left, top = (sized.width - SIDE) // 2, (sized.height - SIDE) // 2
    cut = np.asarray(sized.crop((left, top, left + SIDE, top + SIDE)), np.float32) / 255
    return torch.from_numpy((cut - np.float32(MEAN)) / np.float32(STD)).permute(2, 0, 1)[None]


@pytest.mark.reaches("embedding", "embedding", "{backend}", "agrees")
@pytest.mark.parametrize("backend", BACKENDS)
def test_vectors_of_pictures_are_the_modules_own(made, images, backend):
    visual, _, folders = made
    model = opened(folders, backend)

    found = model.embed_images(images, input_color_format="rgb")

    with torch.inference_mode():
        expected = np.concatenate([visual(clip_pixels(image)).numpy() for image in images])
    assert isinstance(model, ImageEmbeddingModel)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert [len(one) for one in model(images)] == [WIDTH] * 3
    model.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_vectors_of_texts_are_the_modules_own_padded_and_cut(made, images, backend):
    _, textual, folders = made
    model = opened(folders, backend)
    ids = [[1, 3, 4, 6, 2, 0], [1, 5, 2, 0, 0, 0], [1, 3, 5, 5, 4, 2]]

    found = model.embed_text(["a red cat", "blue", "a blue blue red red red"])

    with torch.inference_mode():
        expected = textual(torch.tensor(ids)).numpy()
    assert isinstance(model, TextImageEmbeddingModel)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(model.embed_text("blue"), expected[1:2], atol=1e-5)
    similarity = model.compare_embeddings(model.embed_images(images), found)
    assert similarity.shape == (3, 3)
    assert np.abs(similarity).max() <= 1
    model.close()


def test_a_batch_of_mixed_sizes_is_what_its_pictures_are_alone(made, images):
    model = opened(made[2], "onnx")

    np.testing.assert_allclose(
        model.embed_images(images), np.concatenate([model.embed_images(image) for image in images]), atol=1e-5
    )
    model.close()


@pytest.mark.parametrize(("pooling", "picked"), [("cls", lambda tokens: tokens[:, 0]), ("mean", lambda t: t.mean(1))])
def test_of_a_vector_a_token_the_package_says_which_counts(tmp_path, images, pooling, picked):
    module, folders = write(tmp_path, "dinov2", "stretch", is_pooled=False)
    change(folders["onnx"], pooling=pooling)
    model = opened(folders, "onnx")

    (found,) = model.embed_images(images[2], input_color_format="rgb")

    with torch.inference_mode():
        tensors, _ = model.preprocess(images[2])
        expected = picked(module(torch.from_numpy(tensors["images"])))[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert not model.package.warnings
    model.close()


def decode(package, outputs, images=1, **params):
    fit, _ = plan_fit((8, 8), package.config.network_input)
    return DECODE.postprocess(outputs, [fit] * images, package, DECODE.check_params(params, package))


@pytest.mark.parametrize(
    "outputs",
    [
        {"last_hidden_state": np.zeros((1, 5, 4), np.float32), "pooler_output": np.ones((1, 4), np.float32)},
        {"features": np.ones((1, 4, 1, 1), np.float32)},
        {"logits": np.zeros((1, 9), np.float32), "image_embeds": np.ones((1, 4), np.float32)},
    ],
    ids=["of a transformer", "of a pooling layer", "beside logits"],
)
def test_the_pooled_output_is_the_vector(made, outputs):
    (found,) = decode(read_package(made[2]["onnx"]), outputs)

    assert found.vector.tolist() == [1, 1, 1, 1]


def test_half_precision_is_kept_and_numbers_beyond_it_are_that_images_error_only(made):
    outputs = {"embedding": np.array([[1.5, 2], [1e6, 1], [np.nan, 1]], np.float32)}

    good, large, odd = decode(read_package(made[2]["onnx"]), outputs, images=3, dtype="float16")

    assert good.vector.dtype == np.float16
    assert isinstance(large, OutputInvalid)
    assert isinstance(odd, OutputInvalid)


def test_what_cannot_be_is_refused(made, tmp_path):
    package = read_package(made[2]["onnx"])
    with pytest.raises(
        OutputInvalid, match=r"`pooling` in model_config\.json says which counts: cls or mean, found None"
    ):
        decode(package, {"tokens": np.zeros((1, 5, 4), np.float32)})
    with pytest.raises(OutputInvalid, match="expected one vector an image"):
        decode(package, {"one": np.zeros((1, 5)), "other": np.zeros((1, 5))})
    with pytest.raises(ParameterInvalid, match="unknown parameter"):
        DECODE.check_params({"confidence": 1}, package)
    folder = write(tmp_path / "a")[1]["onnx"]
    for changes, words in (({}, "part text is"), ({"backend_type": "trt"}, "torch-script, torch-export, not trt")):
        change(folder, parts={"text": "../other.onnx"}, **changes)
        with pytest.raises(PackageInvalid, match=words):
            read_parts(folder, kind_of(config_of(folder), "here"), config_of(folder), "here")
    with pytest.raises(PackageInvalid, match=r"inputs must be one of \['input_ids'\]"):
        text_inputs(replace(package, settings={"text": {"max_tokens": 4, "inputs": ["words"]}}), "text")
    with pytest.raises(PackageInvalid, match="part 'sound' is none"):
        text_inputs(package, "sound")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ({"tokenizer": "tokenizer.json"}, "max_tokens must be a positive whole number"),
        ({"max_tokens": 4}, "tokenizer must be a text"),
        ({"tokenizer": "model_config.json", "max_tokens": 4}, "not read as a tokenizer"),
        (
            {"tokenizer": "tokenizer.json", "max_tokens": 4, "padding_id": -1},
            "padding_id must be the number of a token",
        ),
        ({"tokenizer": "tokenizer.json", "max_tokens": 4, "vocabulary": 3}, "unknown key 'vocabulary'"),
    ],
    ids=["no length", "no tokenizer", "another file", "padding", "a key nobody reads"],
)
def test_texts_that_could_not_be_read_are_refused_when_the_model_opens(tmp_path, text, words):
    folder = write(tmp_path)[1]["onnx"]
    write_tokenizer(folder / "tokenizer.json")
    export_onnx(Textual().eval(), torch.ones(2, 4, dtype=torch.int64), folder / "text.onnx", ("ids",), ("embeds",))
    change(folder, parts={"text": "text.onnx"}, text=text)

    with pytest.raises(NoRunnableBackend) as caught:
        AutoModel.from_pretrained(folder, backend="onnx")

    assert words in " ".join(str(caught.value).split())


def test_an_empty_text_is_refused(made):
    model = opened(made[2], "onnx")
    with pytest.raises(ParameterInvalid, match="texts must be a text or a list of different texts"):
        model.embed_text("")
    model.close()
