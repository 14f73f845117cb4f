"""YOLOv8-style networks and later ones: a head `(n, rows, anchors)`, or `(n, boxes, columns)` with NMS fused in.

`decoding` reads the head, which all tasks share; each task is a module of its own. Tasks without boxes are decoded as
those of other networks are (`package_sections`).
"""

from __future__ import annotations

from inference_engine.candidates import check_params
from inference_engine.families.yolo.detection import postprocess
from inference_engine.families.yolo.oriented import postprocess as find_turned_boxes
from inference_engine.families.yolo.pose import check_params as check_pose_params
from inference_engine.families.yolo.pose import postprocess as find_key_points
from inference_engine.families.yolo.segmentation import postprocess as segment
from inference_engine.model import Recipe, fitted
from inference_engine.tasks import detection, instance_segmentation, keypoints, oriented

RECIPES = {
    detection.TASK: Recipe(fitted, postprocess, check_params),
    instance_segmentation.TASK: Recipe(fitted, segment, check_params),
    keypoints.TASK: Recipe(fitted, find_key_points, check_pose_params),
    oriented.TASK: Recipe(fitted, find_turned_boxes, check_params),
}
