"""Classification of clips: of which class some frames in a row are; the prediction is that of classification."""

from __future__ import annotations

from inference_engine.tasks.classification import ClassificationPrediction

TASK = "video-classification"


PREDICTION = ClassificationPrediction
