"""Training with several processes, started by torchrun, with torch.distributed (gloo on the CPU, nccl on GPUs).

Each process (rank) reads and computes whole distortion groups of every minibatch. The scores of all ranks are gathered,
so every rank computes the loss of the whole minibatch, including pairs across ranks. DistributedDataParallel sums the
gradients. Each rank uses its rows of the dropout masks that a single process would draw. Therefore the trained network
does not depend on the number of ranks, except for the order in which gradients are summed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from rankiqa.caffe.layers import Dropout

Aten = torch.ops.aten
# The other ranks wait while the first one checks the lists' images and writes snapshots. torch's default timeout of 10
# to 30 minutes would end a training on millions of images before it starts. A rank that ends is noticed at once.
LONGEST_WAIT = timedelta(days=1)
ANSWER = timedelta(seconds=10)  # how long a rank waits for another rank's error message
# Keys of the store
FIRST, OTHER, READ = "message of the first rank", "message of another rank", "the first rank's message was read by {}"


@dataclass(frozen=True)
class Ranks:
    """The processes that train together.

    Attributes:
        rank: The number of this process; only rank 0 writes files.
        size: The number of processes.
    """

    rank: int = 0
    size: int = 1


ALONE = Ranks()


def ranks_of_environment() -> Ranks:
    """Return the rank of this process and the number of ranks, from the environment variables that torchrun sets."""
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
    """Return the device of this rank. For GPUs, torchrun's LOCAL_RANK selects it.

    Args:
        ranks: From `ranks_of_environment`.
        name: The --device option, which is the same for all ranks.

    Raises:
        ValueError: If all ranks would share one GPU, which nccl refuses only after minutes.
    """
    if ranks.size == 1 or not name.startswith("cuda"):
        return name
    if name != "cuda":
        raise ValueError(f"--device {name}: expected cuda with several ranks, since each rank needs its own GPU")
    return f"cuda:{_local_rank()}"


@dataclass(frozen=True)
class Group:
    """A rank that is connected to the others.

    Attributes:
        ranks: This rank's number and the number of ranks.
        device: This rank's device.
        store: Shared storage through which the ranks exchange error messages; None if there is only one rank.
    """

    ranks: Ranks
    device: torch.device
    store: dist.Store | None = None

    def line(self, error: BaseException, own: str) -> str | None:
        """Return the message that this rank prints about an error, or None if another rank prints it.

        The first rank prints an error that all ranks share. When one rank ends, the collective operations of the others
        fail; then the first rank prints the other rank's message.

        Args:
            error: The error that ended the training on this rank.
            own: Its message.
        """
        if self.store is None:
            return own
        lost = isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo/" in str(error))
        if self.ranks.rank == 0:
            if lost:
                return self._message(OTHER) or "expected all ranks until the end, got one that has ended"
            self._publish(FIRST, own)
            # This process may contain the store: it must not end before ranks with the same error have read the message
            self._wait([READ.format(rank) for rank in range(1, self.ranks.size)])
            return own
        if lost:
            return None
        self._publish(OTHER, f"rank {self.ranks.rank}: {own}")
        shared = self._message(FIRST) == own
        self._publish(READ.format(self.ranks.rank), "")
        return None if shared else own

    def _publish(self, key: str, line: str) -> None:
        assert self.store is not None
        with contextlib.suppress(RuntimeError):  # the store's own machine may have failed
            self.store.set(key, line)

    def _wait(self, keys: list[str]) -> bool:
        """Wait for keys of the store and return whether it has them."""
        assert self.store is not None
        try:
            self.store.wait(keys, ANSWER)
            return True
        except RuntimeError:
            return False

    def _message(self, key: str) -> str | None:
        assert self.store is not None
        try:
            return self.store.get(key).decode() if self._wait([key]) else None
        except RuntimeError:
            return None


@contextlib.contextmanager
def process_group(ranks: Ranks, device: torch.device) -> Iterator[Group]:
    """Connect the ranks for the duration of the context.

    Args:
        ranks: From `ranks_of_environment`.
        device: The device on which the ranks train.

    Yields:
        This rank, with its device. For GPUs, torchrun's LOCAL_RANK selects the device.
    """
    if ranks.size == 1:
        yield Group(ranks, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", _local_rank() if device.index is None else device.index)
        torch.cuda.set_device(device)
    # torchrun may keep its store when it restarts the ranks. The prefix prevents ranks from reading outdated addresses
    store, rank, size = next(dist.rendezvous("env://"))
    store = dist.PrefixStore(f"restart_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=LONGEST_WAIT)
    try:
        yield Group(ranks, device, store)
    finally:
        dist.destroy_process_group()


@dataclass(frozen=True)
class Share:
    """The rows of a minibatch that a rank computes.

    Attributes:
        ranks: The rank and the number of ranks.
        first: The first row.
        end: The row after the last one.
        total: The number of rows of the minibatch.
    """

    ranks: Ranks
    first: int
    end: int
    total: int

    @classmethod
    def of(cls, ranks: Ranks, total: int, group: int) -> Share | None:
        """Return a rank's share, which consists of whole groups; None if there is only one rank.

        Args:
            ranks: The rank and the number of ranks.
            total: The number of rows of a minibatch.
            group: The number of rows of a group.

        Raises:
            ValueError: If there are more ranks than groups.
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
        """The rows of the minibatch, as a slice."""
        return slice(self.first, self.end)

    def gather(self, values: Tensor) -> Tensor:
        """Gather the ranks' values (end - first,) to (total,). Gradients reach only this rank's own values."""
        everything = values.new_zeros(self.total)
        everything[self.rows] = values.detach()
        dist.all_reduce(everything)
        if not values.requires_grad:
            return everything
        # DistributedDataParallel averages over the ranks, but these gradients must be summed
        values.register_hook(lambda gradient: gradient * self.ranks.size)
        return torch.cat([everything[: self.first], values, everything[self.end :]])

    def any(self, wanted: bool, device: torch.device) -> bool:
        """Return whether `wanted` is true on any of the ranks."""
        count = torch.tensor(float(wanted), device=device)
        dist.all_reduce(count)
        return bool(count.item())

    def gather_objects(self, value: object) -> list[Any]:
        """Return the values of all ranks, in the order of the ranks."""
        values: list[Any] = [None] * self.ranks.size
        dist.all_gather_object(values, value)
        return values

    def wrap(self, model: nn.Module) -> DistributedDataParallel:
        """Wrap a network: gradients are summed over the ranks, and masks are the rows of a single process's masks."""
        for module in model.modules():
            if isinstance(module, Dropout):
                module.share = (self.first, self.end, self.total)
        device = next(model.parameters()).device
        ids = [device] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)

    def masks(self) -> TorchDispatchMode:
        """Return a context in which torch's masks (dropout, stochastic depth) are rows of a whole minibatch's masks."""
        return _Masks(self)


class _Masks(TorchDispatchMode):
    """A mode that draws a random mask for the whole minibatch and returns this rank's rows, the first dimension.

    The first dimension may have several rows per image (the windows of a transformer).
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
