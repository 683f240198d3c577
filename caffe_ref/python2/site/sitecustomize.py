"""In every Python of the image, the one inside `caffe train` too: upstream's modules are Python 2."""

from caffe_ref.python2 import hook


def _launcher():
    from caffe_ref.launcher import inside

    inside.prepare()


hook.install(before_first=_launcher)
