"""What the fleet remembers of batches that did not fit, and shards that workers give back with a death."""

from __future__ import annotations

import pytest

