"""Families of third parties: registered, or by an entry point; nobody can take a name that is taken."""

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest

import inference_engine.families as registry
from inference_engine import AutoModel, architectures
from inference_engine.errors import PackageInvalid, ParameterInvalid
from inference_engine.families import known_families, recipe, register_family
from inference_engine.families.yolo import RECIPES
from inference_engine.images import to_network
from inference_engine.model import Recipe


def _preprocess(image, package):
    pixels, fit = to_network(image, package.config.network_input)
    return {"images": pixels}, fit


def _postprocess(outputs, fits, package, params):
    return [float(each.max()) for each in next(iter(outputs.values()))]


def _check_params(given, package):
    return dict(given)


#: Answers every picture with the greatest number of its output.
GREATEST = {"greatest": Recipe(_preprocess, _postprocess, _check_params)}


@pytest.fixture(autouse=True)
def _forgets(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(architectures, "_registered", {})


@pytest.fixture
def installed(monkeypatch):
    """A function that pretends that a distribution with an entry point is installed."""

    def install(name, module):
        point = EntryPoint(name, f"{name}_family", architectures.ENTRY_POINT_GROUP)

        def load(_):
            if isinstance(module, Exception):
                raise module
            return module

        monkeypatch.setattr(EntryPoint, "load", load)
        monkeypatch.setattr(architectures, "entry_points", lambda **_: (point,))

    return install


def test_a_package_of_a_registered_architecture_runs_through_its_family(write_package):
    register_family("maximum", GREATEST, architectures=("maxnet",))

    model = AutoModel.from_pretrained(
        write_package(model_architecture="maxnet", task_type="greatest", head=np.full((6, 4), 0.75))
    )

    assert model.package.family == "maximum"
    assert model(np.zeros((8, 8, 3), np.uint8)) == [0.75]


def test_a_package_may_name_a_registered_family_itself(write_package):
    folder = write_package(model_architecture="anything", family="maximum", task_type="greatest")
    register_family("maximum", GREATEST)

    assert AutoModel.from_pretrained(folder)(np.zeros((8, 8, 3), np.uint8)) == [0.0]


def test_an_installed_family_is_found_by_its_entry_point(installed, write_package):
    installed("maximum", SimpleNamespace(RECIPES=GREATEST, ARCHITECTURES=("maxnet",)))

    model = AutoModel.from_pretrained(write_package(model_architecture="maxnet", task_type="greatest"))

    assert "maximum" in known_families()
    assert model(np.zeros((8, 8, 3), np.uint8)) == [0.0]


def test_an_installed_family_that_does_not_load_keeps_nobody_else_from_loading(installed, write_package):
    installed("broken", ImportError("no such library"))

    assert AutoModel.from_pretrained(write_package()).package.family == "yolo"
    with pytest.raises(PackageInvalid, match="'alien' is not one of yolov8"):
        AutoModel.from_pretrained(write_package("alien", model_architecture="alien"))


@pytest.mark.parametrize("name", ["yolo", "hf_detection", "mine", "plugin", "", "a b", "a/b", "../yolo"])
def test_a_family_cannot_take_a_name_that_is_taken_or_no_name(name, installed):
    installed("plugin", SimpleNamespace(RECIPES=RECIPES))
    register_family("mine", RECIPES)

    with pytest.raises(ParameterInvalid, match="cannot be called"):
        register_family(name, RECIPES)


@pytest.mark.parametrize("taken", ["yolov8", "mynet", "theirs"], ids=["ours", "registered", "installed"])
def test_an_architecture_that_is_decoded_already_is_refused_and_nothing_is_registered(taken, installed):
    installed("plugin", SimpleNamespace(RECIPES=RECIPES, ARCHITECTURES=("theirs",)))
    register_family("mine", RECIPES, architectures=("mynet",))

    with pytest.raises(ParameterInvalid, match=f"'{taken}' is decoded by family"):
        register_family("other", RECIPES, architectures=("new", taken))

    assert "other" not in known_families()
    assert architectures.family_of("new") is None


@pytest.mark.parametrize("recipes", [{}, {"object-detection": print}], ids=["none", "no recipe"])
def test_a_family_without_recipes_is_refused(recipes):
    with pytest.raises(ParameterInvalid, match="expected a Recipe"):
        register_family("mine", recipes)


def test_a_task_that_a_family_does_not_do_is_refused():
    register_family("maximum", GREATEST)

    with pytest.raises(PackageInvalid, match="maximum does greatest, not 'object-detection'"):
        recipe("maximum", "object-detection")
