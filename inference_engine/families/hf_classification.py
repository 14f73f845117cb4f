"""Every classifier of images in Hugging Face format: `logits (n, classes)`, the head of `families.classification`."""

from __future__ import annotations

from dataclasses import replace

from inference_engine.families import classification
from inference_engine.hf_inputs import prepared

RECIPES = {task: replace(recipe, preprocess=prepared) for task, recipe in classification.RECIPES.items()}
