"""Segments of pictures that are divided among masks, against transformers' own decoding on the same pixels."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from transformers.models.maskformer import image_processing_pil_maskformer as maskformer

from inference_engine import AutoModel, PanopticSegmentationModel
from inference_engine.errors import OutputInvalid, ParameterInvalid
from inference_engine.families.hf_segmentation import stuff_of
from inference_engine.sessions import SessionOptions
from tests.fixtures.hf_zoo import processor_of, write_zoo_model
from tests.fixtures.hf_zoo_maps import UNIVERSAL

ONE = SessionOptions(threads=1)
#: Low ones, so that the tiny models' masks are kept; the mask threshold is reached by some pixels of some masks.
LOW = {"confidence": 0.3, "mask_threshold": 0.4, "overlap_threshold": 0.1}


class Made:
    """One architecture as a package of one task, and transformers' own model and processor."""

    def __init__(self, name, task, folder):
        self.name, self.folder = name, folder
        self.theirs, self.steps = write_zoo_model(folder, UNIVERSAL[name], name)
        declared = {"model_architecture": name, "task_type": task, "backend_type": "hf"}
        (folder / "model_config.json").write_text(json.dumps({**declared, "weights": "model.safetensors"}), "utf-8")
        self.ours = AutoModel.from_pretrained(str(folder), options=ONE)
        self.processor = processor_of(name, self.steps)

    def theirs_for(self, image):
        given = {name: torch.from_numpy(value) for name, value in self.ours.preprocess(image)[0].items()}
        if self.name == "oneformer":
            word = self.ours.task.removesuffix("-segmentation")
            tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder)
            found = tokenizer(f"the task is {word}", padding="max_length", max_length=16, return_tensors="pt")
            given["task_inputs"] = found["input_ids"] * found["attention_mask"]
        with torch.inference_mode():
            return self.theirs(**given)

    def segments(self, outputs, hw, stuff):
        """Their map of segments and what it says of each, by the same thresholds as `LOW`."""
        if self.name == "oneformer":
            return divided(outputs, hw, stuff)
        fused = {"stuff_classes": sorted(stuff)} if self.name == "eomt" else {"label_ids_to_fuse": set(stuff)}
        (found,) = self.processor.post_process_panoptic_segmentation(
            outputs, threshold=0.3, mask_threshold=0.4, overlap_mask_area_threshold=0.1, target_sizes=[hw], **fused
        )  # fmt: skip
        return found["segmentation"].numpy(), found["segments_info"]


def divided(outputs, hw, stuff):
    """OneFormer's, whose decoding calls torchvision for its resize: all but that is MaskFormer's, which it copied."""
    scores, labels = outputs.class_queries_logits[0].softmax(-1).max(-1)
    kept = maskformer.remove_low_and_no_objects(outputs.masks_queries_logits[0].sigmoid(), scores, labels, 0.3, 3)
    found = maskformer.compute_segments(*kept, 0.4, 0.1, set(stuff), hw)
    return found[0].numpy(), found[1]


def outputs_of(seed):
    """Classes and masks of 10 queries as a trained model gives them: each has a part of the picture and some more."""
    rng = np.random.default_rng(seed)
    masks = rng.normal(-3, 1, (1, 10, 12, 18)).astype(np.float32)
    for query in range(10):
        top, left = query // 5 * 6, query % 5 * 4
        masks[0, query, top : top + 7, left : left + 5] += 6
    logits = rng.normal(0, 2, (1, 10, 4)).astype(np.float32)
    return {"class_queries_logits": logits, "masks_queries_logits": masks}


def as_theirs(outputs):
    return SimpleNamespace(**{name: torch.from_numpy(value.copy()) for name, value in outputs.items()})


@pytest.fixture(scope="module", params=list(UNIVERSAL))
def made(request, tmp_path_factory):
    one = Made(request.param, "panoptic-segmentation", tmp_path_factory.mktemp(request.param) / "model")
    yield one
    one.ours.close()


@pytest.fixture(scope="module")
def images():
    """Three pictures of different sizes, smooth as photographs are."""
    rng = np.random.default_rng(3)
    small = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((6, 9), (12, 5), (8, 8))]
    return [image.repeat(14, 0).repeat(14, 1) for image in small]


def described(segments):
    """Each segment's class, score and pixels, in an order of its own."""
    areas = segments.masks.areas().tolist()
    return sorted(zip(segments.class_id.tolist(), areas, segments.confidence.tolist(), strict=True))


@pytest.mark.reaches("hf_segmentation", "panoptic-segmentation", "hf", "agrees")
@pytest.mark.parametrize("stuff", [(), (0, 1, 2)], ids=["things", "stuff"])
def test_segments_are_those_of_transformers(made, images, stuff):
    names = [made.ours.class_names[index] for index in stuff]
    params = made.ours.check_params({"stuff_classes": names, **LOW})
    seen = 0
    for seed, image in enumerate(images):
        outputs = outputs_of(seed)
        labels, infos = made.segments(as_theirs(outputs), image.shape[:2], stuff)
        (found,) = made.ours.postprocess(outputs, [made.ours.preprocess(image)[1]], params)
        expected = {}
        for info in infos:
            score = max(info["score"], expected.get(info["id"], (0, 0, 0))[2])
            expected[info["id"]] = (info["label_id"], int((labels == info["id"]).sum()), score)
        expected = sorted(expected.values())

        assert [each[0] for each in described(found)] == [each[0] for each in expected]
        # Two masks may be alike to the last bits on the line between them.
        np.testing.assert_allclose([each[1] for each in described(found)], [each[1] for each in expected], atol=2)
        if made.name != "eomt" or not stuff:  # of stuff, EoMT's own says the score of the first part, not of the surest
            np.testing.assert_allclose(
                [each[2] for each in described(found)], [each[2] for each in expected], atol=1e-4
            )
        assert found.is_thing.tolist() == [index not in stuff for index in found.class_id]
        seen += len(found)
    assert seen > 3


@pytest.mark.reaches("hf_segmentation", "panoptic-segmentation", "hf", "agrees")
def test_what_the_network_gives_is_what_transformers_gives(made, images):
    for image in images:
        expected, found = made.theirs_for(image), made.ours.forward(made.ours.preprocess(image)[0])

        for name, value in found.items():
            theirs = getattr(expected, name).numpy()
            # OneFormer's random masks reach 13,000, of which this is the share of a float32's steps.
            np.testing.assert_allclose(value, theirs, atol=max(1e-4, 1e-6 * np.abs(theirs).max()), rtol=1e-4)


def test_no_two_segments_have_a_pixel_in_common_and_the_surest_comes_first(made, images):
    for image in images:
        (found,) = made.ours([image], stuff_classes=[], **LOW)

        assert found.masks.to_dense().sum(axis=0).max(initial=0) <= 1
        assert found.confidence.tolist() == sorted(found.confidence.tolist(), reverse=True)
        assert found.image_hw == image.shape[:2]


def test_a_batch_of_mixed_sizes_is_what_its_pictures_are_alone(made, images):
    together = made.ours(images, **LOW)

    for one, image in zip(together, images, strict=True):
        (alone,) = made.ours([image], **LOW)
        np.testing.assert_array_equal(one.class_id, alone.class_id)
        np.testing.assert_allclose(one.confidence, alone.confidence, atol=1e-4)
        np.testing.assert_allclose(one.masks.areas(), alone.masks.areas(), atol=4)


def test_numbers_that_are_not_finite_are_this_images_own_error(made, images):
    tensors, fit = made.ours.preprocess(images[0])
    one = made.ours.forward(tensors)
    two = {name: np.concatenate([value, np.full_like(value, np.nan)]) for name, value in one.items()}

    good, bad = made.ours.postprocess(two, [fit, fit], made.ours.check_params({}))

    assert not isinstance(good, Exception)
    assert isinstance(bad, OutputInvalid)


def test_classes_that_are_not_wanted_keep_their_pixels_and_are_left_out(made, images):
    (every,) = made.ours([images[0]], stuff_classes=[], **LOW)
    (some,) = made.ours([images[0]], stuff_classes=[], classes=["dog"], **LOW)

    assert described(some) == [each for each in described(every) if each[0] == 1]


def test_a_model_of_segments_has_their_interface_and_refuses_what_it_does_not_take(made, images):
    assert isinstance(made.ours, PanopticSegmentationModel)
    with pytest.raises(ParameterInvalid, match="iou_threshold"):
        made.ours(images, iou_threshold=0.5)


def test_what_is_stuff_is_read_from_the_folder_or_known_of_coco(made):
    package = made.ours.package
    names = (*(f"thing {number}" for number in range(80)), "banner", *(f"stuff {n}" for n in range(52)))

    assert stuff_of(package) == (("cow",) if made.name == "oneformer" else ())
    if made.name != "oneformer":
        assert stuff_of(replace(package, class_names=names)) == names[80:]


@pytest.mark.reaches("hf_segmentation", "instance-segmentation", "hf", "agrees")
def test_oneformers_instances_are_those_of_transformers(images, tmp_path):
    """Written from its source: the best query-class pairs, divided by the masks' logits as MaskFormer's are."""
    made = Made("oneformer", "instance-segmentation", tmp_path / "model")
    seen = 0
    params = made.ours.check_params({"confidence": 0.1})
    for seed, image in enumerate(images):
        given = outputs_of(seed)
        outputs = as_theirs(given)
        shares = outputs.class_queries_logits[0].softmax(-1)[:, :-1]
        scores, best = shares.flatten().topk(len(shares))
        kept, masks = scores > 0.1, outputs.masks_queries_logits[0][best // 3]
        labels, infos = maskformer.compute_segments(
            masks[kept], scores[kept], (best % 3)[kept], label_ids_to_fuse=set(), target_size=image.shape[:2]
        )
        (found,) = made.ours.postprocess(given, [made.ours.preprocess(image)[1]], params)
        infos = sorted(infos, key=lambda info: -info["score"])

        np.testing.assert_allclose(found.confidence, [info["score"] for info in infos], atol=1e-4)
        assert sorted(found.class_id) == sorted(info["label_id"] for info in infos)
        areas = sorted(int((labels == info["id"]).sum()) for info in infos)
        np.testing.assert_allclose(sorted(found.masks.areas()), areas, atol=2)
        seen += len(found)
    assert seen > 0
    made.ours.close()


def test_the_task_is_told_to_a_model_that_wants_to_hear_it(images, tmp_path):
    outputs = []
    for task in ("panoptic-segmentation", "semantic-segmentation"):
        made = Made("oneformer", task, tmp_path / task)
        outputs.append(made.ours.forward(made.ours.preprocess(images[0])[0])["class_queries_logits"])
        made.ours.close()

    assert np.abs(outputs[0] - outputs[1]).max() > 0
