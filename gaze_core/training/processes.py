"""Data-parallel training in several processes: their ranks, and each process's slice of a batch.

`stages/distributed.py`, or torchrun on several machines, starts the processes and sets their ranks in torchrun's
environment variables.
"""

import os
from typing import TYPE_CHECKING

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.reproducibility import choose_device

if TYPE_CHECKING:
    from lightning.fabric import Fabric  # takes seconds, and who only draws needs none


def make_fabric(runtime: Runtime) -> "Fabric":
    """The Fabric of this process, which joins the process group of a data-parallel run if there is one."""
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

    accelerator = choose_device(runtime).type
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Fabric(accelerator=accelerator, devices=1, precision=runtime.precision)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    # Which branches a step uses depends on the data (a batch may have no visible eye), so some gradients may be absent.
    strategy = DDPStrategy(
        find_unused_parameters=True, process_group_backend="nccl" if accelerator == "cuda" else "gloo"
    )
    fabric = Fabric(
        accelerator=accelerator, devices=local, num_nodes=world // local, strategy=strategy, precision=runtime.precision
    )
    fabric.launch()
    return fabric


def is_main_process() -> bool:
    """Whether this is rank 0, the only process that writes files."""
    return os.environ.get("RANK", "0") == "0"


def process_slice(batch_size: int, rank: int, world: int, accumulate: int = 1) -> slice:
    """This process's slice of the samples of a batch, which it processes in `accumulate` equal parts.

    Raises:
        BadInput: the batch cannot be divided equally.
    """
    share, rest = divmod(batch_size, world)
    if rest or share % accumulate:
        parts = "" if accumulate == 1 else f" in {accumulate} parts each"
        divisor = world * accumulate
        raise BadInput(
            f"batch_size {batch_size} cannot be shared by {world} processes{parts}; expected a multiple, for example "
            f"{(batch_size // divisor + 1) * divisor}"
        )
    return slice(rank * share, (rank + 1) * share)
