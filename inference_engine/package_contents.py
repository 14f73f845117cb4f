"""Files of a package folder by name, for a package's own code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from inference_engine.errors import PackageInvalid, ParameterInvalid
from inference_engine.remote_packages import is_file_name


def get_model_package_contents(model_package_dir: str | os.PathLike[str], elements: Sequence[str]) -> dict[str, Path]:
    """Paths of the named files of a package, all of which are there.

    Args:
        elements: names of files, `class_names.txt` or `parts/head.onnx`; none leads out of the folder.

    Raises:
        ParameterInvalid: a name would lead out of the folder.
        PackageInvalid: files are missing; the message names all of them.
    """
    folder = Path(model_package_dir)
    if wrong := [name for name in elements if not is_file_name(name)]:
        raise ParameterInvalid(f"file name {wrong[0]!r}: expected letters, digits and ._+- , inside the package")
    contents = {name: folder / name for name in elements}
    if missing := [name for name, path in contents.items() if not path.is_file()]:
        raise PackageInvalid(f"{folder} lacks {', '.join(missing)}: fetch or export the package again")
    return contents
