"""Random weights that nobody else's random numbers can disturb.

`torch.manual_seed` sets one generator for all threads: a model that is loaded meanwhile, on another thread,
draws from it as well, and the weights come out different. Libraries' constructors take no generator.
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class SeededInit(TorchDispatchMode):
    """Within it, this thread draws the numbers that `torch.manual_seed(seed)` would give, and the rest none.

    Args:
        seed: of a generator that belongs to this block alone.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Hand the generator to every operation that takes one."""
        kwargs = kwargs or {}
        if func is torch.ops.aten.randn.default:
            func = torch.ops.aten.randn.generator
        if any(argument.name == "generator" for argument in func._schema.arguments):
            kwargs = {**kwargs, "generator": self._generator}
        return func(*args, **kwargs)
