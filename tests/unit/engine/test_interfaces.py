"""Interfaces of behaviours: satisfied by having the members, documented, and light to import."""

import inspect
import subprocess
import sys

import pytest

from inference_engine import interfaces


def method(self):
    """Stands for any method: members are asked for, not signatures."""


NAMED, CALLED = {"class_names": ()}, {"__call__": method}
EMBEDS = CALLED | {"embed_images": method}
MEMBERS = {
    "ActionRecognitionModel": NAMED | CALLED,
    "ClassificationModel": NAMED | CALLED,
    "DepthEstimationModel": CALLED,
    "ImageEmbeddingModel": EMBEDS,
    "InstanceSegmentationModel": NAMED | CALLED,
    "KeyPointsDetectionModel": NAMED | CALLED | {"skeletons": ()},
    "MultiLabelClassificationModel": NAMED | CALLED,
    "ObjectDetectionModel": NAMED | CALLED,
    "OpenVocabularyObjectDetectionModel": CALLED,
    "OrientedDetectionModel": NAMED | CALLED,
    "PanopticSegmentationModel": NAMED | CALLED,
    "PromptModel": CALLED | {"prompt": method},
    "PromptableSegmentationModel": {"embed_images": method, "segment_images": method},
    "SemanticSegmentationModel": NAMED | CALLED,
    "StructuredOCRModel": NAMED | CALLED,
    "TextImageEmbeddingModel": EMBEDS | {"embed_text": method, "compare_embeddings": method},
    "TextOnlyOCRModel": CALLED,
    "VideoClassificationModel": NAMED | {"clip_frames": 16, "classify_clips": method},
}


def test_every_interface_is_listed_and_tried_here():
    public = {name for name, found in vars(interfaces).items() if inspect.isclass(found) and name.endswith("Model")}

    assert public == set(interfaces.__all__) == set(MEMBERS)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_class_has_an_interface_by_its_members_alone(name):
    interface = getattr(interfaces, name)

    assert isinstance(type("Own", (), MEMBERS[name])(), interface)
    for missing in MEMBERS[name]:
        members = {member: value for member, value in MEMBERS[name].items() if member != missing}
        assert not isinstance(type("Own", (), members)(), interface), missing


@pytest.mark.parametrize("name", MEMBERS)
def test_an_interface_and_its_methods_say_what_they_give(name):
    interface = getattr(interfaces, name)
    own = [member for key, member in vars(interface).items() if key in MEMBERS[name]]

    assert interface.__doc__
    assert own
    assert all(member.__doc__ for member in own)


def test_interfaces_cost_no_numpy():
    program = "import sys, inference_engine.interfaces; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "False"
