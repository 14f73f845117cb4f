"""All pictures with what was found drawn on them: `annotated/`, JPEG and PNG files, and an MP4 file a video.

A video holds the frames that were labelled, each as long as in the original.
"""

from __future__ import annotations

from itertools import chain, groupby, islice
from typing import TYPE_CHECKING

import msgspec

from producer.exports.atomic import atomic_folder
from producer.exports.picture_files import PictureFiles
from producer.exports.pictures import PictureFailed, checked, drawn, encode, open_frames, read_picture
from producer.exports.records import EVERY_KIND
from producer.exports.summary import ExportSummary, contents, count_objects
from producer.exports.video_file import open_video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture

TAKES = EVERY_KIND
_MAIN = "index.jsonl"
_QUALITY = 92
#: Frames that are asked of a decoder at once; their records are in memory meanwhile.
_BLOCK_FRAMES = 256


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/annotated`, pictures in their full size, and `index.jsonl`, which file shows what.

    What cannot be read again is told in `problems` and is not in the index; it does not end the export.
    """
    path, items, objects = dest / "annotated", 0, 0
    with atomic_folder(path, _MAIN) as folder:
        files = PictureFiles(folder)
        with (folder / _MAIN).open("wb") as index:
            for file, picture in _write_all(dataset, files, folder):
                found = count_objects(picture.record)
                line = {"file": file.relative_to(folder).as_posix(), "name": picture.name, "objects": found}
                index.write(msgspec.json.encode(line) + b"\n")
                items, objects = items + 1, objects + found
        written = contents(folder, path, _MAIN)
    return ExportSummary("annotated", path, items, objects, written, files.problems)


def _write_all(dataset: Dataset, files: PictureFiles, folder: Path) -> Iterator[tuple[Path, Picture]]:
    """Each picture with the file that shows it; frames that follow one another in a video go into one file."""
    for (uri, is_frame), pictures in groupby(dataset.pictures(), lambda each: (each.row.uri, each.row.frame > 0)):
        if is_frame:
            name = dataset.survey.root.relative(uri)
            file = folder / (name if name.lower().endswith(".mp4") else f"{name}.mp4")
            for shown in _write_video(file, uri, pictures, files):
                yield file, shown
        else:
            for picture in pictures:
                if written := _write_picture(picture, files):
                    yield written, picture


def _write_picture(picture: Picture, files: PictureFiles) -> Path | None:
    suffix = ".png" if picture.name.lower().endswith(".png") else ".jpg"
    try:
        data = encode(drawn(read_picture(picture.row), picture.record, picture.row.blob), suffix, _QUALITY)
    except PictureFailed as error:
        files.note(f"{picture.row.uri}: {error}")
        return None
    return files.write(picture.name, suffix, data)


def _write_video(file: Path, uri: str, pictures: Iterator[Picture], files: PictureFiles) -> Iterator[Picture]:
    """Give the frames that are in the file; a frame of another size than the first one's is left out."""
    file.parent.mkdir(parents=True, exist_ok=True)
    first = next(pictures)
    begin = first.row.timestamp_s or 0.0
    is_empty = True
    try:
        with open_frames(uri) as read_frames, open_video(file, first.wh) as add:
            rest = chain([first], pictures)
            while block := list(islice(rest, _BLOCK_FRAMES)):
                by_index = {picture.row.frame - 1: picture for picture in block if picture.wh == first.wh}
                for frame in read_frames(sorted(by_index)):
                    picture = by_index[frame.index]
                    add(
                        frame.timestamp_s - begin,
                        drawn(checked(frame.image, picture.row), picture.record, picture.row.blob),
                    )
                    is_empty = False
                    yield picture
    except PictureFailed as error:
        files.note(f"{uri}: {error}")
    if is_empty:
        file.unlink(missing_ok=True)
