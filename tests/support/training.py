"""Which tests need PyTorch."""

from __future__ import annotations

import importlib.util

import pytest

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PyTorch isn't installed; scripts/test takes a build without CUDA only, and says so",
)
