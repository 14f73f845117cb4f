"""Reasons against a candidate: stable codes, and for each the words of its docs page.

Codes are stored in SQL and matched by programs, so one is never renamed; `docs/reasons/<code>.md` is made from here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against a candidate: a code of `REASON_CODES`, words, and what would help."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """What a reader of one code needs.

    Attributes:
        meaning: what the code says, in half a sentence.
        example: a message as it is shown.
        remedy: what to do, in a sentence or two.
    """

    meaning: str
    example: str
    remedy: str


#: Every code that a reason can have, in the order in which a candidate is judged.
REASONS = {
    "package_invalid": Explained(
        "the package's files, or what its provider says of it, are wrong",
        "models/pets/onnx/model.onnx: sha256 is 1f0c..., expected 9ab3...",
        "The message names the file and the field. `nightshift models verify` re-checks hashes; fetch or export the "
        "package again, or correct the field.",
    ),
    "unknown_kind": Explained(
        "no backend of this version opens such a package",
        "no backend opens packages of kind 'coreml', only hf, onnx, torch, trt",
        "Export the model to a kind that the message lists, or install a package that brings a backend for this one.",
    ),
    "package_not_wanted": Explained(
        "the caller asked for another package",
        "asked for package 'pets-trt-fp16'",
        "Leave `package_id` out to let every package take part.",
    ),
    "not_installed": Explained(
        "the runtime is not installed",
        "torch is not installed",
        "Install it with the command in the hint. `nightshift doctor` lists what is there.",
    ),
    "broken_runtime": Explained(
        "the runtime is installed but does not work, or is of a version that is not known here",
        "tensorrt: libnvinfer.so.11 is missing",
        "Install it again, in the version that the hint names; the message says what is in the way.",
    ),
    "device_missing": Explained(
        "the wished device is not there, or this backend cannot use it",
        "openvino has cpu here, not cuda",
        'Ask for a device that the message lists, or leave it to the negotiation with `device="auto"`. Where a GPU is '
        "there and a backend does not list it, its CPU build is installed.",
    ),
    "needs_gpu": Explained(
        "the package runs on a GPU only",
        "the package runs on cuda only, and this machine has no GPU: no NVIDIA driver",
        "Run it on a machine with an NVIDIA GPU and its driver, or export the model to a kind that runs on a CPU.",
    ),
    "device_not_fitting": Explained(
        "the package was made for another kind of device",
        "the package runs on cpu only, not on cuda",
        "Ask for a device that the message lists, or trace the model again for this one.",
    ),
    "jetson_mismatch": Explained(
        "the package was built for a Jetson and this is none, or the other way round",
        "built for a Jetson (L4T 36.4), this machine is none",
        "Build the plan where it runs: `nightshift compile MODEL --to trt`.",
    ),
    "l4t_mismatch": Explained(
        "the package was built under another release of Jetson Linux (L4T)",
        "built under L4T 35.4.1, here is 36.4.3; major and minor have to be the same",
        "Build the plan on this Jetson, or install the JetPack that the package was built under.",
    ),
    "compute_capability_mismatch": Explained(
        "the package was compiled for GPUs of another compute capability",
        "built for compute capability 8.6 (same_compute_capability), cuda:0 (Tesla T4) has 7.5",
        "Choose a GPU that fits by `device=`, or build the plan on this one: `nightshift compile MODEL --to trt`.",
    ),
    "gpu_name_mismatch": Explained(
        "the package was compiled for another model of GPU",
        "built for NVIDIA A10G, cuda:0 is NVIDIA L4",
        "Build the plan on this GPU, or with hardware compatibility, which costs some speed.",
    ),
    "driver_too_old": Explained(
        "the NVIDIA driver is older than the package needs",
        "needs NVIDIA driver 570 or newer, here is 535.104.05",
        "Update the driver, or use a package that was built under an older one.",
    ),
    "cuda_too_old": Explained(
        "the NVIDIA driver does not know the CUDA major version that the package was built with",
        "built with CUDA 13.0, the driver here supports up to CUDA 12.4",
        "Update the driver: it runs its own CUDA major version and every older one.",
    ),
    "tensorrt_version_mismatch": Explained(
        "the plan was built by another TensorRT, and this one does not read it",
        "the plan runs on TensorRT 10.3.0 only, here is 10.16.1",
        "Build the plan with the TensorRT that is here: `nightshift compile MODEL --to trt`. Plans built with "
        "`--version-compatible` are read by newer versions of the same and the next major.",
    ),
    "lean_runtime_excluded": Explained(
        "the plan would be read by a newer TensorRT, but it was built without the lean runtime that does so",
        "the plan of TensorRT 10.3.0 was built without its lean runtime, which 10.16.1 needs to read it",
        "Build the plan without EXCLUDE_LEAN_RUNTIME, or with the TensorRT that is here.",
    ),
    "host_code_refused": Explained(
        "the plan holds code for the host, and the caller does not allow such plans",
        "the plan holds code that runs on the host when it is loaded",
        "Pass `allows_host_code=True` if you know where the plan comes from, or use one without such code.",
    ),
    "torch_too_old": Explained(
        "the archive was written by a newer PyTorch",
        "written by PyTorch 2.8.0, here is 2.6.0",
        "Update PyTorch, or export the model with the version that is here.",
    ),
    "opset_too_new": Explained(
        "the runtime does not read this ONNX operator set",
        "the file has operator set 23, onnx 1.20.1 reads up to 21",
        "Install a newer runtime, or export with an older operator set. Runtimes newer than our table are not limited.",
    ),
    "execution_provider_absent": Explained(
        "none of the wished execution providers of ONNX Runtime serves this device here",
        "asked for CUDAExecutionProvider; onnx has CPUExecutionProvider on cpu",
        "Install onnxruntime-gpu for CUDA, and TensorRT beside it for its provider, or ask for one that is listed.",
    ),
    "execution_provider_incompatible": Explained(
        "the package does not run with the execution provider that it would be opened with",
        "the package does not run with TensorrtExecutionProvider",
        "Leave that provider out of `execution_providers`, or use another package.",
    ),
    "not_enough_memory": Explained(
        "the package needs more memory than the device has free",
        "peaks at 30.0 GiB for a batch of 16, cuda:0 has 21.5 GiB free",
        "Ask for a smaller batch, free the device, or choose a package of a lower precision. Without a measured peak, "
        "only weights that are larger than what is free are refused.",
    ),
    "backend_not_wanted": Explained(
        "the caller asked for another backend",
        "backend is onnx, asked for torch",
        "Leave `backend` out, or name this one too.",
    ),
    "precision_not_wanted": Explained(
        "the caller asked for another precision",
        "precision is int8, asked for fp32",
        "Leave `quantization` out, or name this one too.",
    ),
    "batch_not_fitting": Explained(
        "the package's batch is not the one that the caller asked for",
        "takes exactly 4 images a run, asked for 8",
        "Ask for the batch that the message names, or leave `batch_size` out: sessions fill up and divide batches.",
    ),
    "nms_fusion_not_wanted": Explained(
        "the package's fused suppression of boxes is not what the caller asked for",
        "fused NMS has iou_threshold 0.7, asked for 0.45 to 0.6",
        "Widen `nms_fusion`, or leave it out: then packages with and without fused NMS take part.",
    ),
    "untrusted": Explained(
        "the package can run code, and the caller has not said that it may",
        "a TensorRT plan is machine code; it is opened only when trusted",
        "If you know where it comes from, pass the hash in the hint as `trust=`.",
    ),
    "open_failed": Explained(
        "the runtime refused to open the package",
        "SessionFailed: onnxruntime cannot open model.onnx: NoSuchOperator is not a registered function/op",
        "The message holds the runtime's own words; the next candidate was tried.",
    ),
    "lower_precision": Explained(
        "runs, but changes results; taken when asked for or when nothing else runs",
        "int8 changes results against fp32",
        'Ask for it by `quantization=`, or let `strategy="measured"` say whether its predictions agree.',
    ),
    "lower_in_order": Explained(
        "runs, but comes later in the order",
        "torch fp32 on cpu comes first (pets-torch)",
        'Nothing is wrong. Ask for it by `backend=` or `package_id=`, or use `strategy="measured"`.',
    ),
    "slower": Explained(
        "runs and agrees, but another candidate was measured to be faster",
        "41.2 images/s, the chosen one 87.9",
        "Nothing is wrong. `nightshift models bench MODEL` prints all figures.",
    ),
    "outputs_disagree": Explained(
        "its predictions differ from the reference candidate's by more than the tolerance",
        "92.1% of 318 boxes, IoU 0.941, off by 0.0310",
        "Use the reference's precision, or measure with pictures of your own if these are unlike them.",
    ),
    "outputs_not_compared": Explained(
        "the samples gave no predictions that a lower precision could be judged by",
        "the pictures gave 0 boxes to compare",
        "Measure with pictures that show what the model looks for.",
    ),
    "run_failed": Explained(
        "the runtime opened the package and could not run it",
        "onnxruntime, batch of 1: Non-zero status code returned while running Conv node",
        "The message holds the runtime's own words. An input shape that the file does not take is the usual cause.",
    ),
    "not_measured": Explained(
        "the time to measure was over before its turn",
        "the time to measure was over before its turn",
        "Give a larger budget.",
    ),
}

#: Code -> what it means.
REASON_CODES = {code: words.meaning for code, words in REASONS.items()}
