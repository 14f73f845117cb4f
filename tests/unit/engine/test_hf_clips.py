"""Classifiers of clips against transformers itself on the same frames."""

import json

import numpy as np
import pytest
import torch
import transformers

from inference_engine import AutoModel, VideoClassificationModel
from inference_engine.errors import InputInvalid, OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.hf_folder import package_from_hf
from inference_engine.hf_inputs import clip_frames
from inference_engine.sessions import SessionOptions
from tests.fixtures.hf_zoo import write_zoo_model
from tests.fixtures.hf_zoo_moves import CLIPS

ONE = SessionOptions(threads=1)
FRAMES = 4


@pytest.fixture(scope="module")
def clips():
    """Three clips of different sizes, smooth as photographs are."""
    rng = np.random.default_rng(3)
    small = [rng.integers(0, 256, (FRAMES, h, w, 3), np.uint8) for h, w in ((6, 9), (12, 6), (8, 8))]
    return [list(clip.repeat(14, 1).repeat(14, 2)) for clip in small]


@pytest.fixture(scope="module", params=list(CLIPS))
def made(request, tmp_path_factory):
    """Model type, the model opened here, and transformers' own."""
    folder = tmp_path_factory.mktemp(request.param) / "model"
    theirs, _ = write_zoo_model(folder, CLIPS[request.param], request.param)
    ours = AutoModel.from_pretrained(str(folder), options=ONE)
    yield request.param, ours, theirs
    ours.close()


def pixels_of(name, clip):
    """`(1, frames, 3, 32, 32)`: V-JEPA 2's processor needs torchvision, so it is written from its source."""
    if name == "videomae":
        steps = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
        return transformers.VideoMAEImageProcessorPil(**steps)(clip, return_tensors="pt")["pixel_values"]
    height, width = clip[0].shape[:2]
    edge = int(32 * 256 / 224)
    size = (edge, int(edge * width / height)) if height <= width else (int(edge * height / width), edge)
    planes = torch.from_numpy(np.stack(clip)).permute(0, 3, 1, 2).float()
    whole = torch.nn.functional.interpolate(planes, size, mode="bilinear", antialias=True).round().clamp(0, 255)
    top, left = (size[0] - 32) // 2, (size[1] - 32) // 2
    mean, std = (torch.tensor(value)[:, None, None] for value in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return ((whole[:, :, top : top + 32, left : left + 32] / 255 - mean) / std)[None]


@pytest.mark.reaches("hf_video_classification", "video-classification", "hf", "agrees")
def test_classes_of_clips_are_those_of_transformers(made, clips):
    name, ours, theirs = made
    for clip in clips:
        with torch.inference_mode():
            scores = theirs(pixels_of(name, clip)).logits[0].softmax(-1).numpy()
        (found,) = ours.classify_clips([clip], input_color_format="rgb", max_classes=3)

        # Pillow rounds after each of its two passes, which is one grey level of 255 here and there.
        np.testing.assert_allclose(found.confidence, -np.sort(-scores), atol=1e-4 if name == "videomae" else 1e-2)
        if name == "videomae":
            np.testing.assert_array_equal(found.class_id, np.argsort(-scores, kind="stable"))
        assert found.task == "video-classification"


def test_the_network_gives_what_transformers_gives_for_the_same_pixels(made, clips):
    _, ours, theirs = made
    name = ours.session.inputs[0].name
    pixels = np.random.default_rng(0).normal(size=(2, FRAMES, 3, 32, 32)).astype(np.float32)
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(pixels)).logits.numpy()

    np.testing.assert_allclose(ours.forward({name: pixels})["logits"], expected, atol=1e-4, rtol=1e-4)


def test_a_batch_of_clips_is_what_each_is_alone(made, clips):
    together = made[1].classify_clips(clips, max_classes=3)

    for one, clip in zip(together, clips, strict=True):
        (alone,) = made[1].classify_clips([clip], max_classes=3)
        np.testing.assert_array_equal(one.class_id, alone.class_id)
        np.testing.assert_allclose(one.confidence, alone.confidence, atol=1e-4)
        assert one.image_hw == clip[0].shape[:2]


def test_a_clip_depends_on_the_order_of_its_frames(made, clips):
    (one,), (other,) = (made[1].classify_clips([clip], max_classes=3) for clip in (clips[0], clips[0][::-1]))

    assert not np.allclose(np.sort(one.confidence), np.sort(other.confidence), atol=1e-7)


def test_a_picture_alone_is_a_clip_that_stands_still(made, clips):
    image = clips[0][0]
    (still,) = made[1]([image], max_classes=3)
    (clip,) = made[1].classify_clips([[image] * FRAMES], max_classes=3)

    np.testing.assert_allclose(still.confidence, clip.confidence, atol=1e-5)
    assert made[1].clip_frames == FRAMES
    assert isinstance(made[1], VideoClassificationModel)


@pytest.mark.parametrize("change", [lambda clip: clip[:-1], lambda clip: [*clip[1:], clip[0][:-1]]], ids=["few", "odd"])
def test_a_clip_of_other_frames_is_refused(made, clips, change):
    with pytest.raises(InputInvalid, match="this model takes 4 of one size"):
        made[1].classify_clips([change(clips[0])])


def test_numbers_that_are_not_finite_are_this_clips_own_error(made, clips):
    ours = made[1]
    _, fit = ours.preprocess(clips[0][0])
    logits = np.zeros((2, 3), np.float32)
    logits[1, 1] = np.nan

    good, bad = ours.postprocess({"logits": logits}, [fit, fit], ours.check_params({}))

    assert not isinstance(good, Exception)
    assert isinstance(bad, OutputInvalid)
    with pytest.raises(ParameterInvalid, match="iou_threshold"):
        ours.classify_clips(clips, iou_threshold=0.5)


def test_a_folder_must_say_how_many_frames_a_clip_has(tmp_path):
    write_zoo_model(tmp_path / "model", CLIPS["videomae"], "videomae")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"num_frames": 0}), "utf-8")

    with pytest.raises(PackageInvalid, match="num_frames or frames_per_clip"):
        clip_frames(package_from_hf(tmp_path / "model"))


@pytest.mark.parametrize("name", ["video_preprocessor_config.json", "processor_config.json"])
def test_steps_stand_in_any_of_the_files_that_transformers_writes(tmp_path, name):
    write_zoo_model(tmp_path / "model", CLIPS["vjepa2"], "vjepa2")
    old = tmp_path / "model" / "preprocessor_config.json"
    steps = {"video_processor_type": "VJEPA2VideoProcessor", "crop_size": {"height": 32, "width": 32}}
    old.unlink()
    said = {"video_processor": steps} if name == "processor_config.json" else steps
    (tmp_path / "model" / name).write_text(json.dumps(said), "utf-8")

    package = package_from_hf(tmp_path / "model")

    assert package.config.network_input.hw == (32, 32)
    assert name in package.files
