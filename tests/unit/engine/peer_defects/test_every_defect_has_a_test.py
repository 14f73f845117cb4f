"""Each known defect of the peer library is tested here, or it is said why it cannot be.

The numbers are those of the list of weak points in our notes on the peer library. A test that covers number N is called
`test_peer_defect_N_...`, wherever it stands.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[4]
#: What goes wrong there, by number.
DEFECTS = {
    1: "a damaged shared file is never repaired and harms other models",
    2: "a provider that is down makes packages on disk unusable",
    3: "the error of no package names no packages and lacks some reasons",
    4: "execution providers with options match no package",
    5: "confidence=0 gives no boxes",
    6: "batches, lists, grey pictures, bytes and paths raise foreign errors",
    7: "floats from 0 to 1 are divided by 255 again",
    8: "large files without a hash cannot be fetched even when allowed",
    9: "a status of 500 is not tried again",
    10: "describe_model gives nothing back",
    11: "checkpoints are unpickled, and a bad one raises a foreign error",
    12: "a broken library breaks the description of the machine",
    13: "boxes are rounded to whole pixels",
    14: "packages of unknown kinds break the negotiation of all",
    15: "newer ONNX operator sets are not read",
    16: "packages are not ranked by their rank",
    17: "the largest dynamic batch is ignored by some families",
    18: "a result depends on the other pictures of its batch",
    19: "input_color_format is ignored by some families",
    20: "scores of YOLOv5 lack the objectness",
    21: "a network with suppression inside ignores its parameters without a word",
    22: "letterbox with reflected edges pads plainly; auto-orient is not applied",
    23: "a folder of the working directory stands in for an id, and its code runs",
    24: "hashes of keys are stored",
    25: "precision is lowered without being asked for",
    26: "caches grow without limit, downloads do not resume, pages are cut off",
    27: "importing reads the environment and a .env file",
    28: "a letterboxed side comes out a pixel short",
    29: "thresholds differ with suppression inside, and candidates are not bounded",
    30: "a static crop at the corner changes the size of results",
    31: "thresholds of single classes are ignored",
}
#: Number -> why no test of it can be written here.
CANNOT_APPLY: dict[int, str] = {}
_NAME = re.compile(r"^def test_peer_defect_(\d+)_\w{10,}\(", re.MULTILINE)


def test_each_of_the_31_defects_has_a_test_or_a_reason():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    covered = {int(number) for text in sources for number in _NAME.findall(text)}

    assert sorted(DEFECTS) == list(range(1, 32))
    assert covered | set(CANNOT_APPLY) == set(DEFECTS)
    assert not covered & set(CANNOT_APPLY)
