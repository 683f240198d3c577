"""Training by several processes, which torchrun starts: torch.distributed, gloo on the CPU and nccl on GPUs.

Each process (rank) reads and computes whole distortion groups of every minibatch. The scores of all are gathered, so
that every rank has the loss of the whole minibatch, whatever pairs it compares; gradients are added up by
DistributedDataParallel. Dropout masks are the rows of one process's. So any number of ranks trains the same network,
but for the order in which gradients are summed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from rankiqa.caffe.layers import Dropout

Aten = torch.ops.aten


@dataclass(frozen=True)
class Ranks:
    """The processes of a training.

    Attributes:
        rank: This one's number; rank 0 alone writes.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1


ALONE = Ranks()


def ranks_of_environment() -> Ranks:
    """What torchrun says of this process."""
    try:
        return Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    except ValueError:
        raise ValueError("RANK, WORLD_SIZE: expected numbers as torchrun sets them, got others") from None


def _local_rank() -> int:
    try:
        return int(os.environ.get("LOCAL_RANK", "0"))
    except ValueError:
        raise ValueError("LOCAL_RANK: expected a number as torchrun sets it, got another") from None


def own_device(ranks: Ranks, name: str) -> str:
    """The device of this rank, given the one option that all of them have: of GPUs, the one that torchrun means for it.

    Raises:
        ValueError: For one GPU that all ranks would share, which nccl refuses after minutes.
    """
    if ranks.size == 1 or not name.startswith("cuda"):
        return name
    if name != "cuda":
        raise ValueError(f"--device {name}: expected cuda with several ranks, each of which takes a GPU of its own")
    return f"cuda:{_local_rank()}"


@contextlib.contextmanager
def process_group(ranks: Ranks, device: torch.device) -> Iterator[torch.device]:
    """Inside, the ranks can reach each other. Yields this rank's device: of GPUs, the one that torchrun means for it.

    Args:
        ranks: From `ranks_of_environment`.
        device: Where the ranks train.
    """
    if ranks.size == 1:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", _local_rank() if device.index is None else device.index)
        torch.cuda.set_device(device)
    # torchrun may keep its store when it restarts the ranks: one would find there where another listened before
    store, rank, size = next(dist.rendezvous("env://"))
    store = dist.PrefixStore(f"restart_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield device
    finally:
        dist.destroy_process_group()


@dataclass(frozen=True)
class Share:
    """The rows of a minibatch that a rank computes.

    Attributes:
        ranks: All of them.
        first: The first row.
        end: The row after the last.
        total: Rows of the minibatch.
    """

    ranks: Ranks
    first: int
    end: int
    total: int

    @classmethod
    def of(cls, ranks: Ranks, total: int, group: int) -> Share | None:
        """A rank's share, of groups that stay together; None where there is one rank.

        Raises:
            ValueError: For more ranks than groups.
        """
        groups = total // group
        if ranks.size == 1:
            return None
        if ranks.size > groups:
            raise ValueError(f"expected at most {groups} ranks, the groups of a minibatch, got {ranks.size}")
        first, end = (number * groups // ranks.size * group for number in (ranks.rank, ranks.rank + 1))
        return cls(ranks, first, end, total)

    @property
    def rows(self) -> slice:
        """Of a minibatch."""
        return slice(self.first, self.end)

    def gather(self, values: Tensor) -> Tensor:
        """The values (total,) of all ranks' rows; gradients reach this rank's own (end - first,)."""
        everything = values.new_zeros(self.total)
        everything[self.rows] = values.detach()
        dist.all_reduce(everything)
        if not values.requires_grad:
            return everything
        # DistributedDataParallel takes the mean over the ranks, of gradients that are to be added
        values.register_hook(lambda gradient: gradient * self.ranks.size)
        return torch.cat([everything[: self.first], values, everything[self.end :]])

    def any(self, wanted: bool, device: torch.device) -> bool:
        """Whether any of the ranks says yes."""
        found = torch.tensor(float(wanted), device=device)
        dist.all_reduce(found)
        return bool(found.item())

    def wrap(self, model: nn.Module) -> DistributedDataParallel:
        """The network with gradients that are added up over the ranks, and masks that are rows of one process's."""
        for module in model.modules():
            if isinstance(module, Dropout):
                module.share = (self.first, self.end, self.total)
        device = next(model.parameters()).device
        ids = [device] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)

    def masks(self) -> TorchDispatchMode:
        """Inside, torch's masks (dropout, stochastic depth) are drawn for the whole minibatch, and cut to the rows."""
        return _Masks(self)


class _Masks(TorchDispatchMode):
    """Draws a random mask of this rank's rows, the first dimension, as the rows of the whole minibatch's mask.

    A first dimension of several rows an image (windows of a transformer) is taken in proportion.
    """

    def __init__(self, share: Share):
        super().__init__()
        self.share = share

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        if function is Aten.bernoulli_.float and (whole := self._whole(arguments[0])) is not None:
            function(whole, *arguments[1:], **options)
            return arguments[0].copy_(self._own(whole, arguments[0]))
        if function is Aten.native_dropout.default and (whole := self._whole(arguments[0])) is not None:
            kept = self._own(function(whole.fill_(1), *arguments[1:], **options)[1], arguments[0])
            scale = 1 / (1 - arguments[1])
            return arguments[0] * kept * scale, kept
        return function(*arguments, **options)

    def _whole(self, tensor: Tensor) -> Tensor | None:
        own = self.share.end - self.share.first
        if tensor.dim() == 0 or tensor.shape[0] % own:
            return None
        rows = tensor.shape[0] // own * self.share.total
        return tensor.new_empty_strided((rows, *tensor.shape[1:]), tensor.stride())

    def _own(self, whole: Tensor, tensor: Tensor) -> Tensor:
        factor = whole.shape[0] // self.share.total
        return whole[self.share.first * factor : self.share.end * factor]
