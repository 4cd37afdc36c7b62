"""One training run in several processes: who they are, and what share of a batch each has.

The processes are started from outside (`stages/distributed.py`, or torchrun on several machines), which tells each of
them its place by the environment variables that torchrun uses.
"""

import os

from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.reproducibility import choose_device


def make_fabric(runtime: Runtime) -> Fabric:
    """This process's Fabric: alone, or one of the processes of a data-parallel run, which it joins."""
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
    """Whether this process is the one that writes."""
    return os.environ.get("RANK", "0") == "0"


def process_slice(batch_size: int, rank: int, world: int, accumulate: int = 1) -> slice:
    """Which samples of a batch are this process's, which takes them in `accumulate` equal parts.

    Raises:
        BadInput: the batch cannot be divided equally.
    """
    share, rest = divmod(batch_size, world)
    if rest or share % accumulate:
        parts = "" if accumulate == 1 else f" in {accumulate} parts each"
        whole = world * accumulate
        raise BadInput(
            f"batch_size {batch_size} cannot be shared by {world} processes{parts}; expected a multiple, for example "
            f"{(batch_size // whole + 1) * whole}"
        )
    return slice(rank * share, (rank + 1) * share)
