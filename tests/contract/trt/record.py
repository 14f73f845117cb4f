"""Print, as JSON, the names and arities of the TensorRT bindings that are importable. Run in a child process.

Nothing is called but `dir` and docstrings: without a driver, TensorRT ends the process.
"""

import json
import re
import sys

import tensorrt_bindings as trt

CLASSES = (
    "ILogger", "Runtime", "ICudaEngine", "IExecutionContext", "Builder", "IBuilderConfig", "INetworkDefinition",
    "ITensor", "IOptimizationProfile", "OnnxParser", "ParserError", "IHostMemory",
)  # fmt: skip
ENUMS = (
    "DataType", "TensorIOMode", "ExecutionContextAllocationStrategy", "BuilderFlag", "MemoryPoolType",
    "NetworkDefinitionCreationFlag", "HardwareCompatibilityLevel",
)  # fmt: skip


def arities(function, name):
    """Least and most arguments, self left out, of each overload."""
    found = re.findall(rf"^(?:\d+\. )?{re.escape(name)}\((self.*?)\) -> ", function.__doc__ or "", re.MULTILINE)
    return [count(signature) for signature in found]


def count(signature):
    # A default such as `<Severity.WARNING: 2>` or a type such as `list[a, b]` holds commas and brackets of its own.
    plain = re.sub(r"<[^<>]*>", "x", signature)
    while re.search(r"[\[(][^\[\]()]*[\])]", plain):
        plain = re.sub(r"[\[(][^\[\]()]*[\])]", "", plain)
    parameters = plain.split(",")[1:]
    return [sum("=" not in parameter for parameter in parameters), len(parameters)]


def describe(cls):
    members = {name: getattr(cls, name) for name in dir(cls) if name == "__init__" or not name.startswith("_")}
    return {
        "methods": {
            name: found for name, value in members.items() if (found := callable(value) and arities(value, name))
        },
        "properties": sorted(name for name, value in members.items() if isinstance(value, property)),
    }


sys.stdout.write(
    json.dumps(
        {
            "version": trt.__version__,
            "classes": {name: describe(getattr(trt, name)) for name in CLASSES},
            "enums": {name: sorted(getattr(trt, name).__members__) for name in ENUMS},
        }
    )
)
