import pytest
import torch

from inference_engine.backends.modules import build_module, module_names
from inference_engine.backends.modules.tinydet import boxes, cells
from inference_engine.errors import PackageInvalid


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return build_module("tinydet", {"num_classes": 10}).eval()


def images(count, height=320, width=320):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_the_folder_lists_its_networks():
    assert module_names() == ("tinydet",)


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(PackageInvalid, match=r"'resnet'.*known here are tinydet"):
        build_module("resnet", {})


@pytest.mark.parametrize(
    "args",
    [{}, {"num_classes": 0}, {"num_classes": 10, "hidden": 3}, {"num_classes": "ten"}],
    ids=["none", "no class", "unknown", "a word"],
)
def test_arguments_that_the_network_does_not_take_are_a_wrong_package(args):
    with pytest.raises(PackageInvalid, match="does not take the arguments"):
        build_module("tinydet", args)


def test_it_has_fewer_than_four_hundred_thousand_parameters(detector):
    assert 150_000 < sum(p.numel() for p in detector.parameters()) < 400_000


@pytest.mark.parametrize(("height", "width", "anchors"), [(320, 320, 2000), (256, 320, 1600), (64, 32, 40)])
def test_there_is_one_column_for_each_cell_of_both_grids(detector, height, width, anchors):
    with torch.inference_mode():
        output = detector(images(2, height, width))

    assert output.shape == (2, 14, anchors)


def test_sizes_are_positive_and_scores_are_probabilities(detector):
    with torch.inference_mode():
        output = detector(images(2))

    assert (output[:, 2:4] > 0).all()
    assert ((output[:, 4:] >= 0) & (output[:, 4:] <= 1)).all()


def test_a_batch_equals_its_images_alone(detector):
    batch = images(5)

    with torch.inference_mode():
        together = detector(batch)
        alone = torch.cat([detector(image[None]) for image in batch])

    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-5)


def test_the_same_arguments_and_seed_give_the_same_network():
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        outputs.append(build_module("tinydet", {"num_classes": 2, "width": 8, "depth": 1}).eval()(images(1, 64, 64)))

    assert torch.equal(*outputs)


def test_cells_are_counted_along_rows_from_their_centres():
    centres = cells(torch.zeros(1, 1, 2, 3), stride=8)

    assert centres.tolist() == [[4, 12, 20, 4, 12, 20], [4, 4, 4, 12, 12, 12]]


def test_a_box_is_a_shift_and_a_size_in_strides():
    size = torch.log(torch.expm1(torch.tensor(3.0))).item()
    rows = torch.tensor([0.5, -1.0, size, size]).reshape(1, 4, 1)

    box = boxes(rows, torch.tensor([[12.0], [20.0]]), torch.tensor([8.0]))

    torch.testing.assert_close(box.flatten(), torch.tensor([16.0, 12.0, 24.0, 24.0]))


def test_every_parameter_learns():
    model = build_module("tinydet", {"num_classes": 2, "width": 8})

    model(images(2, 64, 64)).sum().backward()

    assert [name for name, p in model.named_parameters() if p.grad is None] == []
