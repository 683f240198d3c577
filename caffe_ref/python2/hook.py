"""An import hook that translates Python 2 modules below given folders in memory; the files are not changed."""

import os
import sys
from importlib.machinery import PathFinder, SourceFileLoader

UPSTREAM = "/opt/RankIQA"


def default_roots():
    """Return the image's copy of the original, and the current folder if it is a checkout."""
    roots = [os.environ.get("RANKIQA_ROOT", UPSTREAM)]
    if os.path.isfile(os.path.join("src", "MyLossLayer", "__init__.py")):
        roots.append(os.getcwd())
    return roots


class Loader(SourceFileLoader):
    """Translate a module instead of compiling it; write no bytecode."""

    def get_code(self, fullname):
        from caffe_ref.python2.translate import translate

        return translate(self.get_data(self.path), self.path, package=True)

    def exec_module(self, module):
        from caffe_ref.python2.translate import names

        Finder.prepare_once()
        vars(module).update(names())
        super().exec_module(module)
        if Finder.after_each:
            Finder.after_each(module)


class Finder:
    """Find modules like PathFinder, and use our loader for source files below one of the roots."""

    before_first = None  # called once, before the first module
    after_each = None  # called with every translated module
    roots = ()

    @classmethod
    def prepare_once(cls):
        """Call `before_first` unless it was called before."""
        before, cls.before_first = cls.before_first, None
        if before:
            before()

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader:
            return None
        place = os.path.realpath(spec.origin)
        if not place.startswith(cls.roots):
            return None
        spec.loader = Loader(fullname, spec.origin)
        spec.cached = None
        return spec


def prepare(more=None):
    """Install breakpoints that continue without a terminal and pools that do not hang, then call more()."""
    from caffe_ref.python2 import breakpoint, pool

    breakpoint.install()
    pool.install()
    if more:
        more()


def install(roots=None, before_first=None):
    """Translate modules below `roots` from now on; call before_first() once, before the first of them runs."""
    folders = default_roots() if roots is None else roots
    Finder.roots = tuple(os.path.join(os.path.realpath(root), "") for root in folders)
    Finder.before_first = lambda: prepare(before_first)
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
