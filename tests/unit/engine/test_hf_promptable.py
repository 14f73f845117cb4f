"""SAM and SAM 2, against transformers' own model and mask processing on the same pixels and prompts."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as nn
import transformers
from transformers.utils import logging

from inference_engine import AutoModel, PromptableSegmentationModel
from inference_engine.errors import InputInvalid, ParameterInvalid
from inference_engine.sessions import SessionOptions
from inference_engine.tasks.promptable_segmentation import MaskPrompt

ONE = SessionOptions(threads=1)
SIDE = 64
PROMPTS = (
    MaskPrompt(((10.0, 8.0),), (1,)),
    MaskPrompt(box=(2.0, 3.0, 25.0, 28.0)),
    MaskPrompt(((20.0, 30.0), (4.0, 5.0)), (1, 0)),
    MaskPrompt(((15.0, 20.0),), (0,)),
    MaskPrompt(((9.0, 9.0),), (1,), (1.0, 1.0, 20.0, 30.0)),
)
_DECODER = {
    "hidden_size": 16,
    "mlp_dim": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 16,
}


def _sam():
    sight = {"hidden_size": 16, "output_channels": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
             "image_size": SIDE, "patch_size": 16, "window_size": 2, "global_attn_indexes": [0], "num_pos_feats": 8,
             "mlp_dim": 16, "initializer_range": 0.02}  # fmt: skip
    shown = {"hidden_size": 16, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 4}
    config = transformers.SamConfig(vision_config=sight, prompt_encoder_config=shown, mask_decoder_config=_DECODER)
    steps = {"size": {"longest_edge": SIDE}, "pad_size": {"height": SIDE, "width": SIDE}}
    return transformers.SamModel(config), steps


def _sam2():
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[SIDE, SIDE], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 2, 2, 2], window_positional_embedding_background_size=[4, 4],
        global_attention_blocks=[3],
    )  # fmt: skip
    sight = transformers.Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=16,
        backbone_feature_sizes=[[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
    )  # fmt: skip
    shown = {"hidden_size": 16, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 4}
    config = transformers.Sam2Config(vision_config=sight, prompt_encoder_config=shown, mask_decoder_config=_DECODER)
    return transformers.Sam2Model(config), {"size": {"height": SIDE, "width": SIDE}}


MAKERS = {"sam": _sam, "sam2": _sam2}


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(8)
    return [rng.integers(0, 256, (*hw, 3), dtype=np.uint8) for hw in ((40, 60), (64, 64), (90, 31))]


@pytest.fixture(scope="module", params=list(MAKERS))
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "model"
    logging.disable_progress_bar()
    torch.manual_seed(4)
    reference, steps = MAKERS[request.param]()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            if parameter.dim() > 1 and "norm" not in name:
                parameter.normal_(std=0.3)
    reference.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(steps), "utf-8")
    return request.param, folder, reference


@pytest.fixture(scope="module")
def model(made):
    opened = AutoModel.from_pretrained(str(made[1]), options=ONE)
    yield opened
    opened.close()


def expected(made, image, prompt):
    """Masks and scores of transformers' own model, asked for one object alone."""
    name, _, reference = made
    height, width = image.shape[:2]
    scale = SIDE / max(height, width) if name == "sam" else None
    hw = (int(height * scale + 0.5), int(width * scale + 0.5)) if scale else (SIDE, SIDE)
    if name == "sam":
        processor = transformers.SamImageProcessorPil(
            size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE}
        )
        pixels = processor(image, return_tensors="pt")["pixel_values"]
    else:
        mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        processor = transformers.ViTImageProcessorPil(
            size={"height": SIDE, "width": SIDE}, image_mean=mean, image_std=std
        )
        pixels = processor(image, return_tensors="pt")["pixel_values"]
    ratio = torch.tensor([hw[1] / width, hw[0] / height])
    asked = {}
    if prompt.points:
        asked["input_points"] = torch.tensor([[prompt.points]]) * ratio
        asked["input_labels"] = torch.tensor([[prompt.labels]])
    if prompt.box:
        asked["input_boxes"] = torch.tensor([[prompt.box]]) * ratio.repeat(2)
    with torch.no_grad():
        found = reference(pixel_values=pixels, **asked)
    masks = found.pred_masks[0]
    if name == "sam":
        masks = nn.interpolate(masks, (SIDE, SIDE), mode="bilinear", align_corners=False)[..., : hw[0], : hw[1]]
    logits = nn.interpolate(masks, (height, width), mode="bilinear", align_corners=False)[0].numpy()
    return logits, found.iou_scores[0, 0].numpy()


def assert_same_masks(found, logits):
    """Equal but where a logit is so near to zero that the order of additions decides."""
    certain = np.abs(logits) > 1e-3
    assert certain.mean() > 0.9
    assert np.array_equal(found[certain], (logits > 0)[certain])


@pytest.mark.reaches("hf_promptable", "interactive-instance-segmentation", "hf", "agrees")
def test_masks_are_transformers_own(made, model, images):
    found = model.segment_images(images, prompts=PROMPTS, input_color_format="rgb", multi_mask_output=True)
    for image, masks in zip(images, found, strict=True):
        dense = masks.masks.to_dense()
        for index, prompt in enumerate(PROMPTS):
            logits, scores = expected(made, image, prompt)
            order = np.argsort(-scores, kind="stable")
            mine = masks.prompt_id == index
            np.testing.assert_allclose(masks.confidence[mine], np.clip(scores[order], 0, 1), atol=1e-4)
            assert_same_masks(dense[mine], logits[order])


def test_the_surest_mask_alone_is_given_unless_more_are_asked_for(model, images):
    many = model.segment_images(images[0], prompts=PROMPTS, multi_mask_output=True)[0]
    one = model.segment_images(images[0], prompts=PROMPTS)[0]
    assert one.prompt_id.tolist() == [0, 1, 2, 3, 4]
    first = np.flatnonzero(np.diff(many.prompt_id, prepend=-1))
    assert np.array_equal(one.confidence, many.confidence[first])


def test_three_pictures_have_the_masks_that_each_has_alone(model, images):
    together = model.segment_images(images, prompts=PROMPTS)
    for image, found in zip(images, together, strict=True):
        alone = model.segment_images(image, prompts=PROMPTS)[0]
        np.testing.assert_allclose(found.confidence, alone.confidence, atol=1e-5)
        assert (found.masks.to_dense() == alone.masks.to_dense()).mean() > 0.999


def test_embeddings_of_a_picture_serve_several_prompts(model, images, monkeypatch):
    embedded = model.embed_images(images)
    looked = []
    encode = model.session._module.get_image_embeddings
    monkeypatch.setattr(model.session._module, "get_image_embeddings", lambda *a: looked.append(1) or encode(*a))
    for prompt in PROMPTS:
        kept = model.segment_images(embedded, prompts=[prompt])
        assert not looked
        fresh = model.segment_images(images, prompts=[prompt])
        looked.clear()
        for one, other in zip(kept, fresh, strict=True):
            np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-5)
            assert (one.masks.to_dense() == other.masks.to_dense()).mean() > 0.999


def test_embeddings_of_another_model_are_refused(model, images):
    (embedded,) = model.embed_images(images[0])
    with pytest.raises(InputInvalid, match="embed_images of this model"):
        model.segment_images([embedded, images[0]], prompts=PROMPTS)


def test_it_is_a_promptable_model_and_asks_for_prompts(model, images):
    assert isinstance(model, PromptableSegmentationModel)
    with pytest.raises(ParameterInvalid, match="prompts"):
        model(images[0])
