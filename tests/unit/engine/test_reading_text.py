"""Finding and reading text: both heads against definitions written apart, and both together as a pipeline."""

import numpy as np
import pytest
import torch
from torch import nn

from inference_engine import AutoModel
from inference_engine.auto_pipeline import AutoModelPipeline
from inference_engine.errors import OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.families import recipe
from inference_engine.families.text_recognition import best_path
from inference_engine.images import plan_fit
from inference_engine.interfaces import StructuredOCRModel, TextOnlyOCRModel
from inference_engine.packages import read_package
from inference_engine.pipelines.read_text import reading_lines
from inference_engine.sessions import SessionOptions
from tests.fixtures.exported_modules import BACKENDS, write_packages

ONE = SessionOptions(threads=1)
FIND, READ = recipe("text_detection", "object-detection"), recipe("text_recognition", "text-only-ocr")
CHARACTERS = ("R", "G", "B", " ")
SIDE, LINE_HW = 96, (8, 32)


class RedIsText(nn.Module):
    """How far a pixel is from grey: a map at half of the input."""

    def forward(self, images):
        spread = images.amax(1, keepdim=True) - images.amin(1, keepdim=True)
        return nn.functional.avg_pool2d(spread, 2)


class Reader(nn.Module):
    """Logits of each column of 4 pixels: nothing new where it is dark, else the colour that is strongest."""

    def forward(self, images):
        columns = nn.functional.avg_pool2d(images, (LINE_HW[0], 4))[:, :, 0]
        nothing = 0.3 - columns.amax(1, keepdim=True)
        return torch.cat([nothing, columns, torch.full_like(nothing, -9.0)], 1).transpose(1, 2) * 20


def inference(hw, mode):
    size = {"training_input_size": {"height": hw[0], "width": hw[1]}, "resize_mode": mode, "scaling_factor": 255}
    return {"network_input": size, "forward_pass": {"max_dynamic_batch_size": 2}}


@pytest.fixture(scope="module")
def finders(tmp_path_factory):
    config = {"model_architecture": "db-text", "task_type": "object-detection"}
    given = inference((SIDE, SIDE), "letterbox")
    root = tmp_path_factory.mktemp("finder")
    return write_packages(
        root, RedIsText(), torch.rand(2, 3, SIDE, SIDE), config, given, files={"class_names.txt": "text"}
    )


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    config = {"model_architecture": "ctc-text", "task_type": "text-only-ocr"}
    files = {"characters.txt": "\n".join(CHARACTERS) + "\n"}
    root = tmp_path_factory.mktemp("reader")
    return write_packages(
        root, Reader(), torch.rand(2, 3, *LINE_HW), config, inference(LINE_HW, "stretch"), files=files
    )


def opened(folders, backend):
    return AutoModel.from_pretrained(folders[backend], backend=backend, options=ONE, trust=backend == "torch")


def page(hw, words):
    """A black page with words: each letter a column of its colour."""
    image = np.zeros((*hw, 3), np.uint8)
    for left, top, text in words:
        for number, letter in enumerate(text):
            x = left + 8 * number
            image[top : top + 12, x : x + 8, "RGB".index(letter)] = 255
    return image


PAGES = [page((96, 96), [(8, 10, "RGB"), (50, 14, "BG"), (20, 60, "GRRB")]), page((64, 128), [(30, 20, "BR")])]


def line(text):
    """A picture of one line; equal neighbours are parted by a dark column."""
    image = np.zeros((*LINE_HW, 3), np.uint8)
    for number, letter in enumerate(text):
        if letter != "_":
            image[:, 4 * number : 4 * number + 4, "RGB".index(letter)] = 255
    return image


@pytest.mark.reaches("text_detection", "object-detection", "{backend}", "agrees")
@pytest.mark.parametrize("backend", BACKENDS)
def test_boxes_of_words_are_grown_by_their_area_over_their_perimeter(finders, backend):
    model = opened(finders, backend)

    (found,) = model(PAGES[0], input_color_format="rgb")

    # Letters are drawn on pixels of which two make one of the map; the growth is area * 1.5 / perimeter there.
    expected = []
    for left, top, width in ((8, 10, 24), (50, 14, 16), (20, 60, 32)):
        grown = 2 * (width / 2 * 6 * 1.5 / (2 * (width / 2 + 6)))
        expected.append([left - grown, top - grown, left + width + grown, top + 12 + grown])
    np.testing.assert_allclose(np.sort(found.xyxy, 0), np.sort(np.clip(expected, 0, 96), 0), atol=1e-3)
    assert found.confidence.min() > 0.99
    assert set(found.names) == {"text"}
    model.close()


@pytest.mark.reaches("text_recognition", "text-only-ocr", "{backend}", "agrees")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_line_reads_as_its_colours_with_repeats_joined(readers, backend):
    model = opened(readers, backend)

    read = model([line("RRG_GB__"), line("________"), line("BBBBBBBB")], input_color_format="rgb")

    assert isinstance(model, TextOnlyOCRModel)
    assert [one.text for one in read] == ["RGGB", "", "B"]
    assert read[0].confidence > 0.99
    assert read[1].confidence is None
    assert model(line("RRG_GB__"), input_color_format="rgb") == read[:1]
    model.close()


def test_the_best_path_is_that_of_the_papers_definition():
    shares = np.random.default_rng(3).dirichlet(np.ones(5), 40).astype(np.float32)
    previous, letters, sure = 0, [], []
    for row in shares:
        best = int(row.argmax())
        if best not in (0, previous):
            letters.append(CHARACTERS[best - 1])
            sure.append(row[best])
        previous = best

    text, confidence = best_path(shares, CHARACTERS)

    assert text == "".join(letters)
    assert confidence == pytest.approx(np.mean(sure))


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_page_is_read_line_by_line(finders, readers, backend):
    shared = {"backend": backend, "options": ONE}
    both = {"detector": str(finders[backend]), "reader": str(readers[backend])}
    pipeline = AutoModelPipeline.from_pretrained("read-text", both, shared=shared)

    first, second = pipeline(PAGES, input_color_format="rgb")

    assert isinstance(pipeline, StructuredOCRModel)
    assert "read-text" in AutoModelPipeline.list_available_pipelines()
    assert first.text == "RGB BG\nGRB"
    assert first.texts == ("RGB", "BG", "GRB")
    assert second.text == "BR"
    assert first.xyxy[:, 0].argsort().tolist() == [0, 2, 1]
    assert first == pipeline(PAGES[0], input_color_format="rgb")[0]
    assert pipeline(np.zeros((50, 50, 3), np.uint8))[0].text == ""
    with pytest.raises(ParameterInvalid, match="margin must be"):
        pipeline(PAGES, margin=2)
    pipeline.close()


@pytest.mark.parametrize(
    ("boxes", "lines"),
    [
        ([[50, 0, 90, 10], [0, 2, 40, 12]], [[1, 0]]),
        ([[0, 20, 40, 30], [0, 0, 40, 10]], [[1], [0]]),
        ([[60, 1, 90, 9], [0, 14, 20, 22], [0, 0, 50, 10], [30, 13, 60, 21]], [[2, 0], [1, 3]]),
        (np.zeros((0, 4)), []),
    ],
    ids=["one line", "two lines", "a small page", "nothing"],
)
def test_boxes_are_read_from_the_top_and_from_the_left(boxes, lines):
    assert reading_lines(np.asarray(boxes, np.float32)) == lines


def test_a_number_that_is_none_is_that_images_error_only(finders, readers):
    finder, reader = read_package(finders["onnx"]), read_package(readers["onnx"])
    maps, steps = np.zeros((2, 1, 8, 8), np.float32), np.zeros((2, 8, 5), np.float32)
    maps[0, 0, 1, 1], steps[0, 1, 1] = 1.5, np.nan

    for decode, package, outputs in ((FIND, finder, maps), (READ, reader, steps)):
        fit, _ = plan_fit((16, 16), package.config.network_input)
        params = decode.check_params({}, package)
        bad, good = decode.postprocess({"output": outputs}, [fit, fit], package, params)
        assert isinstance(bad, OutputInvalid)
        assert not isinstance(good, Exception)


def test_what_cannot_be_is_refused(finders, readers, tmp_path):
    finder, reader = read_package(finders["onnx"]), read_package(readers["onnx"])
    assert reader.class_names == CHARACTERS
    fit, _ = plan_fit((16, 16), reader.config.network_input)
    with pytest.raises(OutputInvalid, match=r"expected \(1, steps, 5\)"):
        READ.postprocess({"output": np.zeros((1, 8, 4))}, [fit], reader, None)
    with pytest.raises(OutputInvalid, match=r"expected \(1, 1, h, w\) and one class"):
        FIND.postprocess({"output": np.zeros((1, 2, 8, 8))}, [fit], finder, FIND.check_params({}, finder))
    with pytest.raises(ParameterInvalid, match="no box suppresses another"):
        FIND.check_params({"iou_threshold": 0.5}, finder)
    with pytest.raises(ParameterInvalid, match="takes none"):
        READ.check_params({"confidence": 0.5}, reader)
    (readers["openvino"] / "characters.txt").write_text("a\na\n", encoding="utf-8")
    with pytest.raises(PackageInvalid, match="expected different characters"):
        read_package(readers["openvino"])
    (readers["openvino"] / "characters.txt").write_text("\n".join(CHARACTERS) + "\n", encoding="utf-8")
