"""Every head as a package: what each backend finds in pictures is what the network's own numbers say of them.

The numbers are read from the module beside its head (`Detector.candidates`), thresholded, suppressed and moved to the
picture by code of this file, which shares none with the engine.
"""

import json

import numpy as np
import pytest
import torch

from inference_engine import AutoModel
from inference_engine.errors import SessionFailed
from inference_engine.sessions import SessionOptions
from tests.fixtures.detector_heads import CLASSES, HEADS, POINTS, SIDE
from tests.fixtures.detector_modules import QUERIES, ROWS, Detector
from tests.fixtures.exported_modules import BACKENDS, write_packages

THRESHOLD, OVERLAP, GREY = 0.6, 0.4, 114
INPUT = {"training_input_size": {"height": SIDE, "width": SIDE}, "padding_value": GREY, "scaling_factor": 255}
END_TO_END = ("yolov10", "yolo26")  # without a word in their packages


def blocks(rows, columns):
    """A picture of 8 x 8 pixels a colour."""
    colours = np.random.default_rng(rows).integers(0, 256, (rows, columns, 3), np.uint8)
    return colours.repeat(8, 0).repeat(8, 1)


#: Pictures that no way of resizing changes, and how they lie in the network's input: scale, x and y of the padding.
PICTURES = [
    (blocks(8, 8), 1.0, 0, 0),
    (blocks(5, 8), 1.0, 0, 12),
    (np.full((50, 100, 3), (30, 200, 90), np.uint8), 0.64, 0, 16),
]


def pixels(picture, scale, left, top):
    """The picture on grey, as the network sees it `(1, 3, 64, 64)`."""
    height, width = (round(side * scale) for side in picture.shape[:2])
    seen = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    seen[top : top + height, left : left + width] = picture if scale == 1 else picture[0, 0]
    return torch.from_numpy(seen.astype(np.float32) / 255).permute(2, 0, 1)[None]


def iou(one, other):
    sides = [min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def covariance(box):
    """Of a uniform distribution over a turned box."""
    turn = np.array([[np.cos(box[4]), -np.sin(box[4])], [np.sin(box[4]), np.cos(box[4])]])
    return turn @ np.diag([box[2] ** 2, box[3] ** 2]) @ turn.T / 12


def likeness(one, other):
    """One less the Hellinger distance of two Gaussians, by the Bhattacharyya coefficient's definition."""
    first, second = covariance(one), covariance(other)
    middle, apart = (first + second) / 2, np.asarray(one[:2]) - other[:2]
    spread = np.log(np.linalg.det(middle) / np.sqrt(np.linalg.det(first) * np.linalg.det(second))) / 2
    return 1 - np.sqrt(max(1 - np.exp(-(apart @ np.linalg.inv(middle) @ apart / 8 + spread)), 0))


def sides(box):
    return [box[0] - box[2] / 2, box[1] - box[3] / 2, box[0] + box[2] / 2, box[1] + box[3] / 2]


def chosen(head, found):
    """Index, class and score of the candidates of one picture that are reported, the best first."""
    scores = found.scores[0].numpy()
    if head.family == "rf_detr":
        pairs = [(index, class_id, s) for index, row in enumerate(scores) for class_id, s in enumerate(row)]
        # As many pairs count as there are queries; one of them is the sure "no object".
        ranked = sorted(pairs, key=lambda each: -each[2])[: QUERIES - 1]
    else:
        ranked = sorted(((i, int(row.argmax()), row.max()) for i, row in enumerate(scores)), key=lambda each: -each[2])
        ranked = ranked if head.suppresses else ranked[:ROWS]
    ranked = [each for each in ranked if each[2] >= THRESHOLD]
    if not head.suppresses:
        return ranked
    is_turned = head.task == "oriented-object-detection"
    boxes = torch.cat([found.boxes, found.extra], -1)[0].double().numpy()
    kept = []
    for each in ranked:
        rivals = [other for other in (ranked if is_turned else kept) if other[1] == each[1] and other[2] > each[2]]
        same = likeness if is_turned else lambda one, other: iou(sides(one), sides(other))
        if all(same(boxes[each[0]], boxes[other[0]]) <= OVERLAP for other in rivals):
            kept.append(each)
    return kept


def masks_of(head, found, reported, hw, place):
    """The logit of each reported mask at every pixel's centre, `(k, height, width)`."""
    scale, left, top = place
    y, x = (torch.arange(side) + 0.5 for side in hw)
    at = torch.stack(torch.meshgrid((x * scale + left) / SIDE, (y * scale + top) / SIDE, indexing="xy"), -1) * 2 - 1
    planes = found.planes[0]
    if head.family != "rf_detr":
        planes = torch.einsum("ac,chw->ahw", found.extra[0], planes)
    picked = planes[[index for index, _, _ in reported]]
    sampled = torch.nn.functional.grid_sample(picked[None], at[None], padding_mode="border", align_corners=False)
    return sampled[0].numpy()


def check(head, module, prediction, case):
    """Compare one picture's prediction with what the module's candidates say."""
    picture, *place = case
    scale, left, top = place
    (height, width), pad = picture.shape[:2], np.asarray([left, top])
    with torch.inference_mode():
        found = module.candidates(pixels(*case))
    reported = chosen(head, found)
    boxes = found.boxes[0].numpy()
    expected = np.asarray([sides(boxes[index]) for index, _, _ in reported]).reshape(-1, 2, 2)
    clipped = np.clip((expected - pad) / scale, 0, [width, height])

    assert prediction.class_id.tolist() == [class_id for _, class_id, _ in reported]
    np.testing.assert_allclose(prediction.confidence, [score for _, _, score in reported], atol=1e-5)
    if head.task != "oriented-object-detection":
        np.testing.assert_allclose(prediction.xyxy.reshape(-1, 2, 2), clipped, atol=1e-3)
    extra = [found.extra[0, index].numpy() for index, _, _ in reported]
    if head.task == "keypoint-detection":
        points = np.reshape(extra, (-1, len(POINTS), 3))
        inside = np.clip((points[..., :2] - pad) / scale, 0, [width, height])
        np.testing.assert_allclose(prediction.xy, inside, atol=1e-3)
        np.testing.assert_allclose(prediction.key_points_confidence, points[..., 2], atol=1e-5)
    elif head.task == "oriented-object-detection":
        turned = [
            [*((boxes[i, :2] - pad) / scale), *(boxes[i, 2:] / scale), *angle]
            for (i, _, _), angle in zip(reported, extra, strict=True)
        ]
        np.testing.assert_allclose(prediction.xywhr[:, :2], np.asarray(turned).reshape(-1, 5)[:, :2], atol=1e-3)
        for one, other in zip(prediction.xywhr, turned, strict=True):
            np.testing.assert_allclose(covariance(one), covariance(other), atol=1e-2)
    elif head.task == "instance-segmentation":
        logits = masks_of(head, found, reported, (height, width), place)
        y, x = (np.arange(side) + 0.5 for side in (height, width))
        for mask, logit, ((x0, y0), (x1, y1)) in zip(prediction.masks, logits, clipped, strict=True):
            inside = (y0 <= y[:, None]) & (y[:, None] < y1) & (x0 <= x) & (x < x1) | (head.family == "rf_detr")
            # The sampler has steps of 1/32 of a plane's pixel, and a pixel on a border may go either way.
            is_clear = np.abs(logit) > 0.2
            for edge, across in ((x0, x), (x1, x), (y0, y[:, None]), (y1, y[:, None])):
                is_clear = is_clear & ((np.abs(across - edge) > 0.01) | (head.family == "rf_detr"))
            np.testing.assert_array_equal(mask[is_clear], (inside & (logit > 0))[is_clear])
    return len(reported)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function that exports a head's module once; gives the module and its packages by backend."""
    made = {}

    def write(name):
        if name in made:
            return made[name]
        head = HEADS[name]
        post = {"type": "nms", "nms_parameters": {"confidence_threshold": THRESHOLD, "iou_threshold": OVERLAP}}
        if head.is_fused and head.architecture not in END_TO_END:
            post["fused"] = True
        inference = {"network_input": INPUT, "post_processing": post, "forward_pass": {"max_dynamic_batch_size": 8}}
        files = {"class_names.txt": "\n".join(CLASSES)}
        if head.task == "keypoint-detection":
            points = dict(enumerate(POINTS))
            entries = [{"object_class_id": index, "keypoints": points} for index in range(len(CLASSES))]
            files["keypoints_metadata.json"] = json.dumps(entries)
        module, images = Detector(head).eval(), torch.rand(2, 3, SIDE, SIDE)
        made[name] = (
            module,
            write_packages(
                tmp_path_factory.mktemp("head"),
                module,
                (images, torch.full((2, 2), SIDE)) if head.sizes else images,
                {"model_architecture": head.architecture, "task_type": head.task},
                inference,
                inputs=("images", "orig_target_sizes") if head.sizes else ("images",),
                outputs=module.outputs,
                files=files,
            ),
        )
        return made[name]

    return write


def opened(folders, backend):
    trust = {"trust": True} if backend == "torch" else {}
    return AutoModel.from_pretrained(folders[backend], backend=backend, options=SessionOptions(threads=1), **trust)


def rows():
    """Every head on every backend."""
    for name, head in HEADS.items():
        for backend in BACKENDS:
            marks = pytest.mark.reaches(head.family, head.task, backend, "agrees")
            yield pytest.param(name, backend, id=f"{name} on {backend}", marks=marks)


@pytest.mark.parametrize(("name", "backend"), list(rows()))
def test_a_backend_finds_what_the_networks_own_numbers_say(written, name, backend):
    module, folders = written(name)
    model = opened(folders, backend)
    pictures = [picture for picture, *_ in PICTURES]

    together = model(pictures, input_color_format="rgb")
    alone = [model(picture, input_color_format="rgb")[0] for picture in pictures]
    model.close()

    # A picture's results do not depend on its neighbours, nor on the sizes that they have.
    for predictions in (together, alone):
        counts = [check(HEADS[name], module, each, case) for each, case in zip(predictions, PICTURES, strict=True)]
        assert min(counts) >= 1
        assert max(counts) >= 3


def test_a_network_without_the_input_for_sizes_is_refused_with_both_lists(written, tmp_path):
    _, folders = written("yolov8")
    folder = folders["onnx"]
    config = json.loads((folder / "model_config.json").read_text("utf-8")) | {"model_architecture": "rt-detr"}
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model_config.json").write_text(json.dumps(config), encoding="utf-8")
    model = opened({"onnx": tmp_path}, "onnx")

    with pytest.raises(SessionFailed, match="inputs images; family detr_exports makes images, orig_target_sizes"):
        model(PICTURES[0][0])
