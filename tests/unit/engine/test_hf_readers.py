"""TrOCR and Donut, against transformers' own `generate` on the pixels of its image processors."""

import numpy as np
import pytest
import torch
import transformers

from inference_engine import AutoModel, PromptModel, TextOnlyOCRModel
from inference_engine.errors import ParameterInvalid
from inference_engine.families.hf_generative.reading import structured
from inference_engine.sessions import SessionOptions
from tests.fixtures.hf_writers import READERS, write_reader

ONE = SessionOptions(threads=1)
MOST = {"trocr": 23, "donut": 6}
PROCESSORS = {"trocr": "ViTImageProcessorPil", "donut": "DonutImageProcessorPil"}


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(6)
    return [rng.integers(0, 256, (*hw, 3), dtype=np.uint8) for hw in ((20, 90), (64, 64), (90, 31))]


@pytest.fixture(scope="module", params=list(READERS))
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "model"
    return request.param, folder, *write_reader(folder, request.param)


@pytest.fixture(scope="module")
def model(made):
    opened = AutoModel.from_pretrained(str(made[1]), options=ONE)
    yield opened
    opened.close()


def read(name, model, images):
    if name == "trocr":
        return [found.text for found in model(images, input_color_format="rgb")]
    return model.prompt(images, "<s_page>", input_color_format="rgb", max_new_tokens=MOST[name])


def expected(made, image):
    name, _, reference, tokenizer = made
    half = [0.5, 0.5, 0.5]
    processor = getattr(transformers, PROCESSORS[name])(**READERS[name], image_mean=half, image_std=half)
    values = {"pixel_values": torch.from_numpy(np.asarray(processor(image, return_tensors="np")["pixel_values"]))}
    if name == "donut":
        values["decoder_input_ids"] = torch.tensor([[tokenizer.token_to_id("<s_page>")]])
    found = reference.generate(**values, max_new_tokens=MOST[name], do_sample=False)[0, 1:].tolist()
    return tokenizer.decode(found[: found.index(2)] if 2 in found else found)


@pytest.mark.reaches("hf_generative", ("text-only-ocr", "vlm"), "hf", "agrees")
def test_readers_write_transformers_own_greedy_tokens(made, model, images):
    texts = read(made[0], model, images)
    assert texts == [expected(made, image).strip() for image in images]
    assert len(set(texts)) > 1


def test_a_batch_is_read_as_its_pictures_alone(made, model, images):
    several = [*images, images[0]]
    assert read(made[0], model, several) == [read(made[0], model, image)[0] for image in several]


def test_each_reader_behaves_as_its_task_says(made, model):
    behaviour, task = {"trocr": (TextOnlyOCRModel, "text-only-ocr"), "donut": (PromptModel, "vlm")}[made[0]]
    assert isinstance(model, behaviour)
    assert model.task == task


def test_a_reader_of_lines_takes_no_parameter(made, model, images):
    if made[0] == "trocr":
        with pytest.raises(ParameterInvalid, match="takes none"):
            model(images, max_new_tokens=3)
    else:
        with pytest.raises(ParameterInvalid, match="prompt"):
            model(images)


@pytest.mark.parametrize(
    ("answer", "data"),
    [
        ("<s_total><s_price>3.50</s_price></s_total>", {"total": {"price": "3.50"}}),
        ("<s_menu><s_nm>tea</s_nm><sep/><s_nm>cake</s_nm></s_menu>", {"menu": [{"nm": "tea"}, {"nm": "cake"}]}),
        ("<s_nm>a<sep/>b</s_nm><s_no>7</s_no>", {"nm": ["a", "b"], "no": "7"}),
        ("<s_nm>a</s_nm><s_no>7", {"nm": "a"}),
        ("plain words</s>", {"text": "plain words"}),
        ("<s_a><s_b>1<sep/>2</s_b><sep/><s_b>3</s_b></s_a>", {"a": [{"b": ["1", "2"]}, {"b": "3"}]}),
        ("", {"text": ""}),
    ],
    ids=["nested", "list of fields", "list of texts", "cut off", "no field", "lists within lists", "nothing"],
)
def test_marks_of_a_page_become_data(answer, data):
    assert structured(answer) == data
