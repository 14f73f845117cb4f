"""For those who write packages, providers, families and pipelines: everything that they may build upon.

Names beyond this module and `inference_engine` may change without a word. `docs/developer_tools.md` says what each is
for, and which of them stands for which name of the peer library. Nothing is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference_engine.lazy import lazy_names

if TYPE_CHECKING:
    from inference_engine.artifacts import open_artifact
    from inference_engine.backends.parts.chunks import (
        generate_batch_chunks,
        run_in_batches,
        run_onnx_session_with_batch_size_limit,
    )
    from inference_engine.boxes import (
        centre_to_corners,
        overlaps,
        suppress,
        top_k,
    )
    from inference_engine.describing import describe_runtime
    from inference_engine.downloads import Download
    from inference_engine.enums import Quantization
    from inference_engine.families import known_families, recipe, register_family
    from inference_engine.file_downloads import download_files_to_directory
    from inference_engine.finding import get_model_from_provider
    from inference_engine.images import (
        Boxes,
        Fit,
        Image,
        to_network,
        to_original,
    )
    from inference_engine.inference_config import InferenceConfig, NmsDefaults, parse_inference_config
    from inference_engine.inputs import as_rgb_images
    from inference_engine.machine import Gpu, Machine, probe_machine
    from inference_engine.model import Recipe, VisionModel, join_tensors
    from inference_engine.network_input import NetworkInput, ResizeMode
    from inference_engine.package_contents import get_model_package_contents
    from inference_engine.package_writer import NewPackage, add_package, hash_report
    from inference_engine.packages import ModelPackage, read_package
    from inference_engine.pipelines import PipelineModule, known_pipelines
    from inference_engine.providers import (
        FoundModel,
        Provider,
        ProviderOptions,
        provider_names,
        register_model_provider,
    )
    from inference_engine.remote_packages import FileHash, RemoteFile, RemotePackage
    from inference_engine.requirements import Requirements
    from inference_engine.roles import Role
    from inference_engine.runtime_xray import (
        RuntimeXRay,
        get_selected_onnx_execution_providers,
        x_ray_runtime_environment,
    )
    from inference_engine.sessions import (
        Array,
        Session,
        SessionOptions,
        Tensors,
        TensorSpec,
    )
    from inference_engine.tasks.action_recognition import action_recognition_params
    from inference_engine.tasks.classification import classification_params
    from inference_engine.tasks.detection import detection_params
    from inference_engine.tasks.embedding import embedding_params
    from inference_engine.tasks.keypoints import key_points_params
    from inference_engine.tasks.multi_label import multi_label_params
    from inference_engine.tasks.open_vocabulary import open_vocabulary_params
    from inference_engine.tasks.panoptic_segmentation import panoptic_segmentation_params
    from inference_engine.tasks.promptable_segmentation import prompted_masks_params
    from inference_engine.tasks.prompting import prompt_params
    from inference_engine.tasks.semantic_segmentation import semantic_segmentation_params
    from inference_engine.tasks.structured_ocr import structured_ocr_params
    from inference_engine.testing import ScriptedSession
    from inference_engine.testing_server import ModelServer
    from inference_engine.transport import Limits

_HOMES = {
    "artifacts": ("open_artifact",),
    "backends.parts.chunks": ("generate_batch_chunks", "run_in_batches", "run_onnx_session_with_batch_size_limit"),
    "boxes": ("centre_to_corners", "overlaps", "suppress", "top_k"),
    "describing": ("describe_runtime",),
    "downloads": ("Download",),
    "enums": ("Quantization",),
    "families": ("known_families", "recipe", "register_family"),
    "file_downloads": ("download_files_to_directory",),
    "finding": ("get_model_from_provider",),
    "images": ("Boxes", "Fit", "Image", "to_network", "to_original"),
    "inference_config": ("InferenceConfig", "NmsDefaults", "parse_inference_config"),
    "inputs": ("as_rgb_images",),
    "machine": ("Gpu", "Machine", "probe_machine"),
    "model": ("Recipe", "VisionModel", "join_tensors"),
    "network_input": ("NetworkInput", "ResizeMode"),
    "package_contents": ("get_model_package_contents",),
    "package_writer": ("NewPackage", "add_package", "hash_report"),
    "packages": ("ModelPackage", "read_package"),
    "pipelines": ("PipelineModule", "known_pipelines"),
    "providers": ("FoundModel", "Provider", "ProviderOptions", "provider_names", "register_model_provider"),
    "remote_packages": ("FileHash", "RemoteFile", "RemotePackage"),
    "requirements": ("Requirements",),
    "roles": ("Role",),
    "runtime_xray": ("RuntimeXRay", "get_selected_onnx_execution_providers", "x_ray_runtime_environment"),
    "sessions": ("Array", "Session", "SessionOptions", "TensorSpec", "Tensors"),
    "tasks.action_recognition": ("action_recognition_params",),
    "tasks.classification": ("classification_params",),
    "tasks.detection": ("detection_params",),
    "tasks.embedding": ("embedding_params",),
    "tasks.keypoints": ("key_points_params",),
    "tasks.multi_label": ("multi_label_params",),
    "tasks.open_vocabulary": ("open_vocabulary_params",),
    "tasks.panoptic_segmentation": ("panoptic_segmentation_params",),
    "tasks.promptable_segmentation": ("prompted_masks_params",),
    "tasks.prompting": ("prompt_params",),
    "tasks.semantic_segmentation": ("semantic_segmentation_params",),
    "tasks.structured_ocr": ("structured_ocr_params",),
    "testing": ("ScriptedSession",),
    "testing_server": ("ModelServer",),
    "transport": ("Limits",),
}

__all__ = [
    "Array",
    "Boxes",
    "Download",
    "FileHash",
    "Fit",
    "FoundModel",
    "Gpu",
    "Image",
    "InferenceConfig",
    "Limits",
    "Machine",
    "ModelPackage",
    "ModelServer",
    "NetworkInput",
    "NewPackage",
    "NmsDefaults",
    "PipelineModule",
    "Provider",
    "ProviderOptions",
    "Quantization",
    "Recipe",
    "RemoteFile",
    "RemotePackage",
    "Requirements",
    "ResizeMode",
    "Role",
    "RuntimeXRay",
    "ScriptedSession",
    "Session",
    "SessionOptions",
    "TensorSpec",
    "Tensors",
    "VisionModel",
    "action_recognition_params",
    "add_package",
    "as_rgb_images",
    "centre_to_corners",
    "classification_params",
    "describe_runtime",
    "detection_params",
    "download_files_to_directory",
    "embedding_params",
    "generate_batch_chunks",
    "get_model_from_provider",
    "get_model_package_contents",
    "get_selected_onnx_execution_providers",
    "hash_report",
    "join_tensors",
    "key_points_params",
    "known_families",
    "known_pipelines",
    "multi_label_params",
    "open_artifact",
    "open_vocabulary_params",
    "overlaps",
    "panoptic_segmentation_params",
    "parse_inference_config",
    "probe_machine",
    "prompt_params",
    "prompted_masks_params",
    "provider_names",
    "read_package",
    "recipe",
    "register_family",
    "register_model_provider",
    "run_in_batches",
    "run_onnx_session_with_batch_size_limit",
    "semantic_segmentation_params",
    "structured_ocr_params",
    "suppress",
    "to_network",
    "to_original",
    "top_k",
    "x_ray_runtime_environment",
]

_find = lazy_names(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    return _find(name)


def __dir__() -> list[str]:
    return __all__
