"""A multiprocessing.Pool for upstream's data layers: the same workers and chunks, but it fails if a worker dies."""

import multiprocessing
import multiprocessing.pool
import signal

TICK = 0.5  # seconds between checks of the workers
explain = None  # (argument, exception) -> what is wrong with the argument, or None; called in the worker


class BadInput(ValueError):
    """The argument of a worker cannot be used; the message says why."""


def _ignore_interrupts():
    """Ignore Ctrl-C: Caffe handles it by finishing the iteration and writing a snapshot, which needs the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Explained:
    """A function that raises BadInput if the wrapped function fails for a known reason."""

    def __init__(self, function):
        self.function = function

    def __call__(self, argument):
        try:
            return self.function(argument)
        except Exception as error:
            reason = explain(argument, error) if explain else None
            if reason:
                raise BadInput(reason) from error
            raise


class Pool(multiprocessing.pool.Pool):
    """A Pool that forks at once, as usual; map() raises RuntimeError if a worker ends before its work."""

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None):
        context = multiprocessing.get_context("fork")
        super().__init__(processes, initializer or _ignore_interrupts, initargs, maxtasksperchild, context)
        self._first = list(self._pool)  # the pool replaces dead workers in its own list
        self._replaces = maxtasksperchild is not None

    def _abandon(self):
        """Kill the remaining workers; terminate() would wait for a lock that the dead worker may hold."""
        self._terminate.cancel()
        self._worker_handler._state = multiprocessing.pool.TERMINATE
        for worker in [*self._first, *self._pool]:
            if worker.exitcode is None:
                worker.kill()

    def map(self, func, iterable, chunksize=None):
        """Apply a function to all items; raise RuntimeError if a worker ends early."""
        items = list(iterable)
        if chunksize is None:  # Pool's rule, but Pool counts living workers, which may be 0 just after all have died
            chunksize, rest = divmod(len(items), self._processes * 4)
            chunksize += bool(rest)
        waiting = self.map_async(_Explained(func), items, chunksize)
        while True:
            waiting.wait(TICK)
            if waiting.ready():
                return waiting.get()
            ended = [worker for worker in self._first if worker.exitcode is not None]
            if ended and not self._replaces:
                self._abandon()
                raise RuntimeError(f"a worker process of the data layer {_how(ended[0].exitcode)}")


def _how(exitcode):
    """Describe how a process ended."""
    if exitcode >= 0:
        return f"ended with status {exitcode}"
    name = signal.Signals(-exitcode).name
    cause = ", most often for lack of memory" if exitcode == -signal.SIGKILL else ""
    return f"died ({name}{cause})"


def install():
    """Replace multiprocessing.Pool."""
    multiprocessing.Pool = Pool
