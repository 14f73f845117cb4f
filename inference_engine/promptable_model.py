"""A model that cuts out what it is shown: a `VisionModel` that keeps what it made of a picture for further prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inference_engine.errors import InputInvalid
from inference_engine.images import Fit
from inference_engine.mask_prompts import prompt_tensors
from inference_engine.model import VisionModel
from inference_engine.sessions import Tensors
from inference_engine.tasks.promptable_segmentation import MaskPrompt, PromptedMasks


@dataclass(frozen=True, slots=True, eq=False)
class PictureEmbedding:
    """What a model made of one picture; it belongs to that model.

    Attributes:
        package_digest: of the model that made it.
    """

    tensors: Tensors
    fit: Fit
    package_digest: str


class PromptableModel(VisionModel):
    """The steps are those of every model, so that workers run it as any other; a call takes `prompts`."""

    def embed_images(self, images: Any, *, input_color_format: str | None = None) -> list[PictureEmbedding]:
        """What `segment_images` takes instead of images, so that many prompts cost one pass over each.

        Raises:
            InputInvalid, ImageUnreadable, SessionFailed.
        """
        from inference_engine.inputs import as_rgb_images

        found = []
        for image in as_rgb_images(images, input_color_format):
            tensors, fit = self.preprocess(image)
            found.append(PictureEmbedding(self.forward(tensors), fit, self.package.digest))
        return found

    def segment_images(
        self,
        images: Any,
        *,
        prompts: Sequence[MaskPrompt | Mapping[str, Any]],
        input_color_format: str | None = None,
        **params: Any,
    ) -> list[PromptedMasks]:
        """Masks of each image's size.

        Args:
            images: as `VisionModel.__call__` takes them, or what `embed_images` gave.
            prompts: one an object, the same for every image.
            params: as `tasks.promptable_segmentation.PromptedMasksParams`.

        Raises:
            InputInvalid: an embedding is another model's.
            ImageUnreadable, ParameterInvalid, SessionFailed, OutputInvalid.
        """
        plain = [asdict(prompt) if isinstance(prompt, MaskPrompt) else prompt for prompt in prompts]
        given = images if isinstance(images, list | tuple) else [images]
        if not any(isinstance(image, PictureEmbedding) for image in given):
            return self(images, input_color_format=input_color_format, prompts=plain, **params)
        checked = self.check_params({"prompts": plain, **params})
        return [self._from_embedding(image, checked) for image in given]

    def _from_embedding(self, embedding: Any, params: Any) -> PromptedMasks:
        if not isinstance(embedding, PictureEmbedding) or embedding.package_digest != self.package.digest:
            raise InputInvalid(
                f"found {type(embedding).__name__} beside embeddings, or one of another model; pass images alone, or "
                "what embed_images of this model gave"
            )
        outputs = self.forward({**embedding.tensors, **prompt_tensors(params.prompts, embedding.fit)})
        (found,) = self.postprocess(outputs, [embedding.fit], params)
        if isinstance(found, Exception):
            raise found
        masks: PromptedMasks = found
        return masks
