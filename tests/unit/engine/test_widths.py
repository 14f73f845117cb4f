"""Class names that do not belong to the weights are found before the first picture."""

import numpy as np
import pytest

from inference_engine import AutoModel
from inference_engine.errors import NoRunnableBackend


@pytest.mark.parametrize("names", ["cat\n", "cat\ndog\nbird\n"])
def test_too_few_or_too_many_names_are_refused_when_it_opens(write_package, names):
    with pytest.raises(NoRunnableBackend, match="does not belong to these weights"):
        AutoModel.from_pretrained(write_package(names=names, head=np.zeros((6, 4))))
