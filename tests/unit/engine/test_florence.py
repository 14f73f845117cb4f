"""Florence-2's tasks: golden answers, against transformers' own reading of the same text."""

import numpy as np
import pytest
from transformers.models.florence2.processing_florence2 import Florence2PostProcessor

from inference_engine import florence
from inference_engine.errors import ParameterInvalid
from inference_engine.families.hf_generative.florence import places, polygons, region, worded
from inference_engine.tasks.prompting import PromptAnswer

HW = (480, 1000)  # along x a place is one pixel wide, along y 0.48


class Scripted:
    """Gives one answer to everything, and keeps what it was asked."""

    def __init__(self, text):
        self.text, self.asked = text, []

    def prompt(self, images, prompt, **params):
        return [self.text]

    def __call__(self, images, *, prompt, **params):
        self.asked.append((prompt, params))
        return [PromptAnswer(self.text, prompt, HW)]


class NoTokens:
    all_special_tokens = ()


def reading(text, task):
    own = Florence2PostProcessor({task: {}}, NoTokens())
    return own(text=text, image_size=HW[::-1], parse_tasks=task)[task]


ANSWERS = [
    "</s><s>car<loc_0><loc_100><loc_200><loc_300>dog<loc_500><loc_1><loc_999><loc_999></s>",
    "car<loc_1><loc_2><loc_3><loc_4><loc_10><loc_20><loc_30><loc_40>",
    "red car<loc_1><loc_2><loc_3><loc_4><loc_10>",
    "nothing here",
]


@pytest.mark.parametrize("text", ANSWERS, ids=["two classes", "two of a class", "a place left over", "none"])
def test_boxes_are_read_as_transformers_reads_them(text):
    found = places(text, HW)
    own = reading(text, "description_with_bboxes")
    assert list(found.labels) == [each["cat_name"] for each in own]
    assert found.xyxy.astype(int).tolist() == [each["bbox"] for each in own]


def test_a_detection_has_the_golden_boxes_and_names():
    (found,) = florence.detect(Scripted(ANSWERS[0]), "image")
    expected = [[0.5, 100.5 * 0.48, 200.5, 300.5 * 0.48], [500.5, 1.5 * 0.48, 999.5, 999.5 * 0.48]]
    np.testing.assert_allclose(found.xyxy, expected, rtol=1e-6)
    assert (found.class_names, found.class_id.tolist()) == (("car", "dog"), [0, 1])
    assert found.confidence.tolist() == [1.0, 1.0]


def test_a_box_whose_corners_are_swapped_comes_out_ordered():
    assert places("a<loc_20><loc_30><loc_10><loc_5>", HW).xyxy[0, ::2].tolist() == [10.5, 20.5]


def test_lines_of_text_have_the_box_around_their_four_corners():
    text = "hello you<loc_10><loc_10><loc_50><loc_12><loc_50><loc_20><loc_10><loc_18>bye" + "<loc_1>" * 8
    (found,) = florence.read_lines(Scripted(text), "image")
    own = reading(text, "ocr")
    assert list(found.texts) == [each["text"] for each in own] == ["hello you", "bye"]
    quads = [np.reshape(each["quad_box"], (4, 2)) for each in own]
    boxes = [[*quad.min(axis=0), *quad.max(axis=0)] for quad in quads]
    assert found.xyxy.astype(int).tolist() == np.asarray(boxes).tolist()
    assert found.text == "hello you\nbye"


def test_outlines_are_read_as_transformers_reads_them():
    text = "<poly><loc_1><loc_2><loc_3><loc_4><loc_5><loc_6><sep><loc_7><loc_8><loc_9><loc_10><loc_11><loc_12></poly>"
    own = [outline for each in reading(text, "polygons") for outline in each["polygons"]]
    assert [outline.astype(int).ravel().tolist() for outline in polygons(text, HW)] == own


@pytest.mark.parametrize(
    ("ask", "prompt"),
    [
        (lambda m: florence.caption(m, "i"), "<CAPTION>"),
        (lambda m: florence.caption(m, "i", detail="paragraph"), "<MORE_DETAILED_CAPTION>"),
        (lambda m: florence.detect(m, "i"), "<OD>"),
        (lambda m: florence.detect(m, "i", text="a dog"), "<OPEN_VOCABULARY_DETECTION>a dog"),
        (lambda m: florence.describe_regions(m, "i"), "<DENSE_REGION_CAPTION>"),
        (lambda m: florence.ground(m, "i", "a red car"), "<CAPTION_TO_PHRASE_GROUNDING>a red car"),
        (lambda m: florence.read_text(m, "i"), "<OCR>"),
        (lambda m: florence.read_lines(m, "i"), "<OCR_WITH_REGION>"),
        (
            lambda m: florence.about_region(m, "i", (100, 48, 2000, 480), HW, asked="text"),
            "<REGION_TO_OCR><loc_100><loc_100><loc_999><loc_999>",
        ),
    ],
    ids=["caption", "paragraph", "objects", "named objects", "regions", "phrases", "text", "lines", "one region"],
)
def test_each_task_asks_in_florence_s_own_words(ask, prompt):
    model = Scripted("<s>fine</s>")
    ask(model)
    assert model.asked == [(prompt, {"skip_special_tokens": False})]


def test_a_task_is_worded_as_the_model_was_trained():
    assert worded("<CAPTION>") == "What does the image describe?"
    assert worded("<CAPTION_TO_PHRASE_GROUNDING>a red car") == "Locate the phrases in the caption: a red car"
    assert worded("what is this?") == "what is this?"


@pytest.mark.parametrize("prompt", ["<CAPTION>a car", "<REGION_TO_OCR>"], ids=["too much", "too little"])
def test_a_task_with_the_wrong_company_is_refused(prompt):
    with pytest.raises(ParameterInvalid):
        worded(prompt)


def test_an_unknown_detail_says_which_there_are():
    with pytest.raises(ParameterInvalid, match="short, detailed, paragraph"):
        florence.caption(Scripted(""), "i", detail="long")


def test_a_region_comes_back_as_the_box_that_it_was_made_of():
    (box,) = places("a" + region((100.5, 48.24, 200.5, 96.24), HW), HW).xyxy
    np.testing.assert_allclose(box, (100.5, 48.24, 200.5, 96.24), atol=0.5)
