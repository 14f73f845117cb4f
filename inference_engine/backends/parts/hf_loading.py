"""A transformers model from a folder: safetensors only, no code of the folder's own, every weight there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference_engine.errors import PackageInvalid

if TYPE_CHECKING:
    from inference_engine.packages import ModelPackage


def load_model(auto: str, package: ModelPackage, dtype: Any) -> Any:
    """The model in evaluation mode, on the CPU.

    Args:
        auto: name of transformers' class that chooses the architecture.

    Raises:
        PackageInvalid: transformers does not read the folder, or weights are missing.
    """
    import transformers
    from transformers.utils import logging

    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]
    try:
        model, told = getattr(transformers, auto).from_pretrained(
            package.weights.parent,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:
        raise PackageInvalid(f"{package.weights.parent} is not read by transformers: {error}") from error
    finally:
        if was_shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]
    # Where weights are missing, transformers draws random ones and only writes a line to its log.
    if missing := sorted(told["missing_keys"]):
        raise PackageInvalid(f"{package.weights} lacks {len(missing)} weights, {', '.join(missing[:3])} ...")
    return model.eval()
