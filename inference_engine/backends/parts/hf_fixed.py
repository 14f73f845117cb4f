"""What a transformers model takes beside a picture and that is the same for every picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inference_engine.hf_architectures import TASK_WORDS

if TYPE_CHECKING:
    from inference_engine.backends.parts.hf_texts import TextSide
    from inference_engine.packages import ModelPackage


def fixed_tensors(package: ModelPackage, texts: TextSide | None, config: Any, device: Any) -> dict[str, Any]:
    """Tensors `(1, ...)` by the model's own names; most models have none.

    Args:
        texts: the package's tokenizer, where its architecture takes words.
        config: of the loaded model.
    """
    import torch

    if package.architecture == "oneformer" and texts is not None:
        encoded = texts.encode(np.asarray([[TASK_WORDS[package.task]]]))
        return {name: value.to(device) for name, value in encoded.tensors.items()}
    # ViTPose+ has an expert for each of its data sets, of which COCO's is the first (transformers 5, vitpose.md).
    if package.architecture == "vitpose" and config.backbone_config.num_experts > 1:
        return {"dataset_index": torch.zeros(1, dtype=torch.int64, device=device)}
    return {}
