"""Install the Python 2 import hook in every Python of the image, including the one inside `caffe train`."""

from caffe_ref.python2 import hook


def _launcher():
    """Prepare the launcher before upstream's first module is loaded."""
    from caffe_ref.launcher import inside

    inside.prepare()


hook.install(before_first=_launcher)
