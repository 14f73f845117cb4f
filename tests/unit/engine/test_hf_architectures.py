"""Every Hugging Face architecture that runs here, against transformers itself on the same pixels."""

import numpy as np
import pytest
import torch
import transformers

from inference_engine import AutoModel
from inference_engine.errors import OutputInvalid, ParameterInvalid
from inference_engine.families import recipe
from inference_engine.hf_architectures import ROWS
from inference_engine.hf_processors import PROCESSORS
from inference_engine.images import Fit
from inference_engine.sessions import SessionOptions
from inference_engine.tasks.depth import DepthUnit
from tests.fixtures import hf_zoo, hf_zoo_maps
from tests.fixtures.hf_zoo import processor_of, write_zoo_model

GROUPS = {
    "detector": hf_zoo.DETECTORS,
    "classifier": hf_zoo.CLASSIFIERS,
    "semantic": hf_zoo_maps.SEMANTIC,
    "depth": hf_zoo_maps.DEPTH,
    "universal": hf_zoo_maps.UNIVERSAL,
    "embedder": hf_zoo.EMBEDDERS,
    "zero-shot": hf_zoo.ZERO_SHOT,
}
#: Names in the caller's words; the second is two words of the tokenizer.
WANTED = ["cat", "red car"]
PARAMS = {
    "detector": {"confidence": 0.0},
    "classifier": {"confidence": 0.0, "max_classes": 3},
    "universal": {"confidence": 0.0},
    "zero-shot": {"confidence": 0.0, "classes": WANTED},
}
ONE = SessionOptions(threads=1)
#: OneFormer's instances have no pixel in common: they are tested with segments.
OVERLAPPING = [("universal", name) for name in GROUPS["universal"] if name != "oneformer"]


class Made:
    """One architecture: its folder opened here, transformers' own model and, where it works, image processor."""

    def __init__(self, group, name, folder):
        self.group, self.name, self.folder = group, name, folder
        self.theirs, self.steps = write_zoo_model(folder, GROUPS[group][name], name)
        self.ours = AutoModel.from_pretrained(str(folder), options=ONE)

    @property
    def canvas(self):
        """What pads their picture as ours is padded."""
        height, width = self.ours.package.config.network_input.hw
        is_masked = len(self.ours.session.inputs) > 1 and self.ours.session.inputs[1].name == "pixel_mask"
        return {"pad_size": {"height": height, "width": width}} if is_masked else {}

    @property
    def processor(self):
        return processor_of(self.name, {**self.steps, **self.canvas})

    def outputs(self, image, **more):
        """Their model's outputs for the pixels that ours sees."""
        tensors, _ = self.ours.preprocess(image)
        given = {name: torch.from_numpy(value) for name, value in tensors.items() if name != "texts"}
        if self.name == "oneformer":
            more["task_inputs"] = self.task_inputs(self.ours.task.removesuffix("-segmentation"))
        with torch.inference_mode():
            return self.theirs(**given, **more)

    def task_inputs(self, word):
        """Their numbers of a task in words, written from OneFormerProcessor's source."""
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder)
        found = tokenizer(f"the task is {word}", padding="max_length", max_length=16, return_tensors="pt")
        return found["input_ids"] * found["attention_mask"]

    def answer(self, image):
        (found,) = self.ours([image], input_color_format="rgb", **PARAMS.get(self.group, {}))
        return found


def each(*groups):
    names = [(group, name) for group in groups for name in GROUPS[group]]
    return pytest.mark.parametrize("made", names, ids=[f"{name}-{group}" for group, name in names], indirect=True)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    kept = {}

    def make(group, name):
        if (group, name) not in kept:
            kept[group, name] = Made(group, name, tmp_path_factory.mktemp("zoo") / f"{group}-{name}")
        return kept[group, name]

    yield make
    for one in kept.values():
        one.ours.close()


@pytest.fixture
def made(request, made_once):
    return made_once(*request.param)


@pytest.fixture(scope="module")
def images():
    """Three pictures of different sizes, smooth as photographs are."""
    rng = np.random.default_rng(3)
    small = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((6, 9), (12, 5), (8, 8))]
    return [image.repeat(14, 0).repeat(14, 1) for image in small]


def same(one, other):
    """Predictions alike but for the last bits of a sum that a batch may take in another order."""
    for name in ("class_id", "segmentation_map"):
        if hasattr(one, name):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name, atol in (("xyxy", 1e-2), ("confidence", 1e-4), ("depth", 1e-4), ("vector", 1e-4)):
        if getattr(one, name, None) is not None:
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=atol, rtol=1e-4)


@each(*GROUPS)
def test_a_batch_of_mixed_sizes_is_what_its_pictures_are_alone(made, images):
    together = made.ours(images, input_color_format="rgb", **PARAMS.get(made.group, {}))

    for one, image in zip(together, images, strict=True):
        same(one, made.answer(image))


@each(*GROUPS)
def test_pixels_are_those_of_transformers(made, images):
    if made.name == "rf_detr":
        return check_rf_detr_pixels(made, images)
    for image in images:
        tensors, _ = made.ours.preprocess(image)
        more = {"task_inputs": ["panoptic"]} if made.name == "oneformer" else {}
        found = made.processor(images=image, return_tensors="pt", **more)
        # Half a grey level of 255 over the smallest deviation: OWLv2's filter is written otherwise here.
        np.testing.assert_allclose(tensors["pixel_values"], found["pixel_values"].numpy(), atol=1e-4)
        for name in {"pixel_mask", "pixel_attention_mask", "spatial_shapes"} & set(tensors):
            np.testing.assert_array_equal(tensors[name], found[name].numpy())
    return None


def check_rf_detr_pixels(made, images):
    """Their processor needs torchvision; by its source it rescales, resizes without smoothing, normalises."""
    mean, std = (torch.tensor(value)[:, None, None] for value in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    for image in images:
        planes = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
        resized = torch.nn.functional.interpolate(planes, size=(64, 64), mode="bilinear", align_corners=False)
        tensors, _ = made.ours.preprocess(image)
        np.testing.assert_allclose(tensors["pixel_values"], ((resized - mean) / std).numpy(), atol=1e-4)


def decoded(made, outputs, hw):
    """Boxes by the library's own decoding; RF-DETR's, whose class needs torchvision, from its definition."""
    if made.name != "rf_detr":
        (found,) = made.processor.post_process_object_detection(outputs, threshold=-1.0, target_sizes=[hw])
        return (found[name].numpy() for name in ("scores", "labels", "boxes"))
    scores, best = torch.topk(outputs.logits.sigmoid().flatten(), outputs.logits.shape[1])
    centre, size = outputs.pred_boxes[0, best // 3].split(2, dim=-1)
    boxes = torch.cat([centre - size / 2, centre + size / 2], dim=-1) * torch.tensor([hw[1], hw[0]] * 2)
    return scores.numpy(), (best % 3).numpy(), boxes.numpy()


@pytest.mark.reaches("hf_detection", "object-detection", "hf", "agrees")
@each("detector")
def test_boxes_are_those_of_transformers(made, images):
    for image in images:
        height, width = image.shape[:2]
        scores, labels, boxes = decoded(made, made.outputs(image), (height, width))
        found = made.answer(image)
        order = np.argsort(-scores, kind="stable")

        assert len(found) == len(order) > 0
        np.testing.assert_allclose(found.confidence, scores[order], atol=1e-4)
        np.testing.assert_array_equal(found.class_id, labels[order])
        np.testing.assert_allclose(found.xyxy, np.clip(boxes[order], 0, (width, height) * 2), atol=1e-2)
        assert ((found.xyxy[:, :2] <= found.xyxy[:, 2:]) & np.isfinite(found.xyxy[:, 2:])).all()


@pytest.mark.reaches("hf_classification", ("classification", "multi-label-classification"), "hf", "agrees")
@each("classifier")
def test_classes_are_those_of_transformers(made, images):
    for image in images:
        logits = made.outputs(image).logits[0]
        is_multi = made.theirs.config.problem_type == "multi_label_classification"
        scores = (logits.sigmoid() if is_multi else logits.softmax(-1)).numpy()
        found = made.answer(image)

        np.testing.assert_array_equal(found.class_id, np.argsort(-scores, kind="stable"))
        np.testing.assert_allclose(found.confidence, -np.sort(-scores), atol=1e-4)
        assert found.task == ("multi-label-classification" if is_multi else "classification")


@pytest.mark.reaches("hf_semantic", "semantic-segmentation", "hf", "agrees")
@each("semantic")
def test_maps_are_those_of_transformers(made, images):
    for image in images:
        outputs = made.outputs(image)
        (expected,) = made.processor.post_process_semantic_segmentation(outputs, target_sizes=[image.shape[:2]])
        found = made.answer(image)

        # Two classes may be alike to the last bits on the line between them.
        assert (found.segmentation_map == expected.numpy()).mean() > 0.999
        assert len(np.unique(expected)) > 1


@each("semantic")
def test_unsure_pixels_become_background(made, images):
    (found,) = made.ours([images[0]], confidence=0.999, with_confidence=True)
    is_background = found.segmentation_map == found.class_names.index("background")

    assert is_background.any()
    np.testing.assert_array_equal(is_background[found.confidence < 0.99], True)


@pytest.mark.reaches("hf_depth", "depth-estimation", "hf", "agrees")
@each("depth")
def test_depth_is_that_of_transformers(made, images):
    for image in images:
        outputs = made.outputs(image)
        expected = decoded_depth(made, outputs, image.shape[:2])
        found = made.answer(image)

        np.testing.assert_allclose(found.depth, expected, atol=1e-4, rtol=1e-4)
        assert found.unit == (DepthUnit.RELATIVE_INVERSE if made.name == "dpt" else DepthUnit.METRES)


def decoded_depth(made, outputs, hw):
    """Their depth at the picture's size; ZoeDepth's decoding needs torchvision, so it is written from its source."""
    if made.name != "zoedepth":
        (found,) = made.processor.post_process_depth_estimation(outputs, target_sizes=[hw])
        return found["predicted_depth"].numpy()
    rows, columns = (int(np.sqrt(side / 2) * 3) for side in hw)
    size = (hw[0] + 2 * rows, hw[1] + 2 * columns)
    whole = torch.nn.functional.interpolate(outputs.predicted_depth[None], size, mode="bicubic", align_corners=False)
    return whole[0, 0, rows:-rows, columns:-columns].numpy()


@pytest.mark.reaches("hf_embedding", "embedding", "hf", "agrees")
@each("embedder")
def test_vectors_are_those_of_transformers(made, images):
    for image in images:
        given = {name: torch.from_numpy(value) for name, value in made.ours.preprocess(image)[0].items()}
        with torch.inference_mode():
            whole = getattr(made.theirs, "get_image_features", made.theirs)(**given)

        np.testing.assert_allclose(made.answer(image).vector, whole.pooler_output[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ["clip", "siglip", "siglip2"])
def test_texts_are_vectors_of_the_same_space(made_once, images, name):
    made = made_once("embedder", name)
    tokens = transformers.AutoTokenizer.from_pretrained(made.folder)(
        WANTED, padding="max_length", max_length=16, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = made.theirs.get_text_features(tokens["input_ids"], tokens["attention_mask"]).pooler_output.numpy()

    texts, pictures = made.ours.embed_text(WANTED), made.ours.embed_images(images)

    np.testing.assert_allclose(texts, expected, atol=1e-4)
    assert made.ours.compare_embeddings(pictures, texts).shape == (3, 2)
    with pytest.raises(ParameterInvalid):
        made.ours.embed_text([])


@pytest.mark.reaches("hf_segmentation", "instance-segmentation", "hf", "agrees")
@pytest.mark.parametrize("made", OVERLAPPING, ids=[name for _, name in OVERLAPPING], indirect=True)
def test_instances_are_those_of_transformers(made, images):
    for image in images:
        hw = image.shape[:2]
        more = {} if made.name == "eomt" else {"return_binary_maps": True}
        (expected,) = made.processor.post_process_instance_segmentation(
            made.outputs(image), threshold=0.0, target_sizes=[hw], **more
        )
        found = made.answer(image)
        segments = expected["segments_info"]
        scores = np.asarray([segment["score"] for segment in segments])
        order = np.argsort(-scores, kind="stable")

        assert len(found) == len(segments) > 0
        np.testing.assert_allclose(found.confidence, scores[order], atol=1e-4)
        assert sorted(found.class_id) == sorted(segment["label_id"] for segment in segments)
        if made.name != "eomt":
            areas = sorted(int(mask.sum()) for mask in expected["segmentation"])
            np.testing.assert_allclose(sorted(found.masks.areas()), areas, atol=2)


@pytest.mark.reaches("hf_segmentation", "semantic-segmentation", "hf", "agrees")
def test_a_mask_classifier_labels_pixels_where_its_package_says_so(made_once, images, tmp_path):
    made = made_once("universal", "mask2former")
    package = made.ours.package
    done = recipe(package.family, "semantic-segmentation")
    for image in images:
        tensors, fit = made.ours.preprocess(image)
        params = done.check_params({}, package)
        (found,) = done.postprocess(made.ours.forward(tensors), [fit], package, params)
        (expected,) = made.processor.post_process_semantic_segmentation(
            made.outputs(image), target_sizes=[image.shape[:2]]
        )
        assert (found.segmentation_map == expected.numpy()).mean() > 0.999


def their_zero_shot(made, image):
    """Scores `(queries, names)` and boxes as shares, by the library's own tokens and model."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(made.folder)
    if made.name == "omdet-turbo":
        to = {"padding": "max_length", "max_length": 77, "return_tensors": "pt"}
        names, task = tokenizer(WANTED, **to), tokenizer([f"Detect {', '.join(WANTED)}."], **to)
        outputs = made.outputs(
            image, classes_input_ids=names["input_ids"], classes_attention_mask=names["attention_mask"],
            tasks_input_ids=task["input_ids"], tasks_attention_mask=task["attention_mask"],
            classes_structure=torch.tensor([2]),
        )  # fmt: skip
        return outputs.decoder_class_logits[0].sigmoid().numpy(), outputs.decoder_coord_logits[0].numpy()
    if made.name == "grounding-dino":
        outputs = made.outputs(image, **tokenizer("cat. red car.", return_tensors="pt"))
        # [CLS] cat . red car . [SEP]
        probabilities = outputs.logits[0].sigmoid()
        scores = torch.stack([probabilities[:, 1], probabilities[:, 3:5].amax(dim=1)], dim=1)
        return scores.numpy(), outputs.pred_boxes[0].numpy()
    tokens = tokenizer(WANTED, padding="max_length", max_length=16, return_tensors="pt")
    outputs = made.outputs(image, input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    return outputs.logits[0].sigmoid().numpy(), outputs.pred_boxes[0].numpy()


@pytest.mark.reaches("hf_zero_shot", "open-vocabulary-object-detection", "hf", "agrees")
@each("zero-shot")
def test_what_a_call_names_is_found_as_transformers_finds_it(made, images):
    for image in images:
        height, width = image.shape[:2]
        scores, boxes = their_zero_shot(made, image)
        side = max(height, width)
        scale = (side, side) if made.name == "owlv2" else (width, height)
        corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1) * (
            *scale,
            *scale,
        )
        (found,) = made.ours(
            [image],
            input_color_format="rgb",
            **PARAMS["zero-shot"],
            **({"iou_threshold": 1.0} if made.name == "omdet-turbo" else {}),
        )

        if made.name == "omdet-turbo":
            best = np.argsort(-scores.reshape(-1), kind="stable")[: len(scores)]
            query, label, expected = best // 2, best % 2, scores.reshape(-1)[best]
        else:
            query, label, expected = np.argsort(-scores.max(1), kind="stable"), scores.argmax(1), np.sort(scores.max(1))
            label, expected = label[query], expected[::-1]
        np.testing.assert_allclose(found.confidence, expected, atol=1e-4)
        np.testing.assert_array_equal(found.class_id, label)
        np.testing.assert_allclose(found.xyxy, np.clip(corners[query], 0, (width, height) * 2), atol=1e-2)
        assert (found.class_names, found.task) == (tuple(WANTED), "open-vocabulary-object-detection")


def test_an_open_vocabulary_must_be_told_what_to_look_for(made_once, images):
    with pytest.raises(ParameterInvalid, match="what to look for"):
        made_once("zero-shot", "owlvit").ours(images)


def test_more_names_than_the_model_reads_are_refused(made_once, images):
    names = [f"cat {number}" for number in range(20)]

    with pytest.raises(ParameterInvalid, match="this model reads 24"):
        made_once("zero-shot", "grounding-dino").ours(images, classes=names)


@each("semantic", "depth", "universal", "embedder", "zero-shot")
def test_numbers_that_are_not_finite_are_this_images_own_error(made, images):
    tensors, fit = made.ours.preprocess(images[0])
    params = made.ours.check_params(PARAMS.get(made.group, {}))
    if "texts" in tensors:
        tensors = {**tensors, "texts": np.asarray([WANTED])}
    one = made.ours.forward(tensors)
    two = {name: np.concatenate([value, np.full_like(value, np.nan)]) for name, value in one.items()}

    good, bad = made.ours.postprocess(two, [fit, Fit((1, 1), (0, 0), (10, 10))], params)

    assert not isinstance(good, Exception)
    assert isinstance(bad, OutputInvalid)


def test_every_row_is_tested():
    tested = {name for group in GROUPS.values() for name in group}

    assert {model_type for model_type, _ in ROWS} <= tested


@pytest.mark.parametrize("name", sorted(set(PROCESSORS) - {"RfDetr"}))
def test_what_a_file_leaves_out_is_what_transformers_takes(name):
    theirs = getattr(transformers, f"{name}ImageProcessorPil")
    for key, value in PROCESSORS[name].items():
        said = getattr(theirs, key, None)
        said = tuple(said) if isinstance(said, list) else said
        assert said == value or (said is None and not value), key
