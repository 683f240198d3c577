"""Check the format of a request to record.py, before Caffe is loaded; record.py's docstring describes the format."""

FIELDS = {
    "forward": {"net", "phase", "weights", "seed", "set", "inputs", "top_diffs", "forwards", "backward", "return"},
    "solve": {"solver", "weights", "set", "inputs", "restore", "steps", "trace", "save", "return"},
    "minibatches": {"net", "iterations"},
    "score": {"net", "weights", "set", "output", "images", "offsets", "crop", "batch"},
    "upgrade": {"file"},
    "parse": {"file", "solver"},
}
NEEDED = {
    "forward": ("net",),
    "solve": ("solver", "steps"),
    "minibatches": ("net", "iterations"),
    "score": ("net", "output", "images", "offsets", "crop"),
    "upgrade": ("file",),
    "parse": ("file",),
}
RETURNS = {
    "forward": {"tops", "blobs", "diffs", "params", "param_diffs", "caffemodel", "hdf5"},
    "solve": {"params", "param_diffs", "blobs", "snapshot", "cost"},
    "minibatches": set(),
    "score": set(),
    "upgrade": set(),
    "parse": set(),
}


class RequestError(ValueError):
    """The request has a wrong format."""


def check(request):
    """Check the format of a request.

    Raises:
        RequestError: If the format is wrong. The message names the job and the field.
    """
    if not isinstance(request, dict) or not isinstance(request.get("jobs"), list):
        raise RequestError("expected an object with a list of jobs, got something else")
    if request.get("version") != 1:
        raise RequestError(f"version: expected 1, got {request.get('version')!r}")
    if request.get("device", "cpu") not in ("cpu", "gpu"):
        raise RequestError(f"device: expected cpu or gpu, got {request['device']!r}")
    for job in request["jobs"]:
        if not isinstance(job, dict) or not isinstance(job.get("name"), str):
            raise RequestError(f"expected jobs that are objects with a name, got {job!r}")
        name, kind = job["name"], job.get("kind")
        if kind not in FIELDS:
            raise RequestError(f"job {name}: kind: expected one of {sorted(FIELDS)}, got {kind!r}")
        unknown = set(job) - FIELDS[kind] - {"name", "kind"}
        if unknown:
            raise RequestError(f"job {name}: unknown fields {sorted(unknown)}")
        if lacking := [field for field in NEEDED[kind] if field not in job]:
            raise RequestError(f"job {name}: expected the fields {', '.join(NEEDED[kind])}, got none of {lacking}")
        wrong = set(job.get("return", ())) - RETURNS[kind]
        if wrong:
            raise RequestError(f"job {name}: return: expected some of {sorted(RETURNS[kind])}, got {sorted(wrong)}")
