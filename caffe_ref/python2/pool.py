"""multiprocessing.Pool for upstream's data layers: the same workers and chunks, but a dead worker ends the wait."""

import multiprocessing
import multiprocessing.pool
import signal

TICK = 0.5  # seconds between looks at the workers
explain = None  # (argument, exception) -> what is wrong with the argument, or None; asked in the worker


class BadInput(ValueError):
    """What a worker was given cannot be used; the message says why."""


def _ignore_interrupts():
    """Ctrl-C is Caffe's: it finishes the iteration and snapshots, for which it needs the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Explained:
    """Calls a function; where it fails and the reason is known, says so."""

    def __init__(self, function):
        self.function = function

    def __call__(self, argument):
        try:
            return self.function(argument)
        except Exception as error:
            said = explain(argument, error) if explain else None
            if said:
                raise BadInput(said) from error
            raise


class Pool(multiprocessing.pool.Pool):
    """Forks at once, as ever; map() raises RuntimeError when a worker has ended before its work."""

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None):
        context = multiprocessing.get_context("fork")
        super().__init__(processes, initializer or _ignore_interrupts, initargs, maxtasksperchild, context)
        self._first = list(self._pool)  # the pool replaces the dead in its own list
        self._replaces = maxtasksperchild is not None

    def _abandon(self):
        """End what is left. terminate() would wait for a lock that the dead worker may hold."""
        self._terminate.cancel()
        self._worker_handler._state = multiprocessing.pool.TERMINATE
        for worker in [*self._first, *self._pool]:
            if worker.exitcode is None:
                worker.kill()

    def map(self, func, iterable, chunksize=None):
        items = list(iterable)
        if chunksize is None:  # Pool's own rule, which counts the living: none, for a moment after all have died
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
    if exitcode >= 0:
        return f"ended with status {exitcode}"
    name = signal.Signals(-exitcode).name
    often = ", most often for want of memory" if exitcode == -signal.SIGKILL else ""
    return f"died ({name}{often})"


def install():
    multiprocessing.Pool = Pool
