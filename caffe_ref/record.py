#!/usr/bin/env python3
"""Run the original Caffe inside its container: read a request file, write the answer as one .npz.

    record.py REQUEST.json ANSWER.npz        (paths in the request are relative to the request's folder)

The request is {"version": 1, "arrays": "arrays.npz" or null, "jobs": [job, ..]}, with "device": "gpu" to compute on the
first GPU. Every job has "name", "kind" and the fields listed here. NAME/.. are the arrays of the answer.

forward  net, phase, weights, seed, set {"layer/0": array}, inputs {blob: array}, top_diffs {blob: array},
         forwards (number of forward passes, default 1; the last is returned), backward (true: a backward pass from the
         losses, and from top_diffs if given), return, a list of:
           tops         NAME/top/LAYER/k      the output of each layer, before an in-place layer overwrote it
           blobs        NAME/blob/BLOB        every blob at the end of the forward pass
           diffs        NAME/diff/BLOB        its gradient
           params       NAME/param/LAYER/k
           param_diffs  NAME/param_diff/LAYER/k
           caffemodel   NAME/caffemodel, hdf5 NAME/hdf5: the file that Caffe saves of the net, as bytes
         NAME/loss, the weighted sum of the losses (float32), is always returned.
solve    solver, weights, set, inputs {blob of the training net: array}, restore (a .solverstate), steps, trace (a list
         of steps whose params and param_diffs are also returned, as NAME/at/STEP/param/LAYER/k ..), return, a list of
         params, param_diffs (of the last step: the values that were subtracted from the parameters), blobs, snapshot
         (NAME/file/FILENAME, the files that Caffe writes at the end, as bytes) and cost (NAME/seconds (steps,) and
         NAME/peak_bytes of the process). With save (true), a snapshot is only written, for a later job. NAME/losses
         (steps,), the first output of the training net after each step, is always returned.
minibatches  net, iterations. Returns the minibatches of its data layer: NAME/labels (iterations, N) and NAME/sha256
         (iterations, 32), the SHA-256 of the crops of each minibatch (float32).
score    net, weights, set, output (blob), images [{"path"} or {"array"}, ..], offsets (array (images, crops, 2), top
         and left), crop, batch (default 1, as upstream). Returns NAME/scores (images, crops), and NAME/pixels, the
         SHA-256 of each image's pixels (uint8 BGR, row by row), as 32 bytes each.
upgrade  file (a caffemodel of any version). Returns NAME/upgraded, the output of Caffe's upgrade_net_proto_binary, as
         bytes.
parse    file (a prototxt), solver (true for a solver). Returns NAME/digest, its digest by prototxt.py, after it was
         read by Caffe's parser.

"weights" (a caffemodel, copied by layer name) and "set" (exact parameters) are optional.
"""

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

import prototxt
from request import RequestError, check


def prepare(net, job, arrays):
    """Load the job's weights into a net."""
    if job.get("weights"):
        net.copy_from(job["weights"])
    for key, array in job.get("set", {}).items():
        layer, index = key.rsplit("/", 1)
        if layer not in net.params:
            raise RequestError(f"job {job['name']}: set {key}: the net has no parameters of layer {layer!r}")
        blob = net.params[layer][int(index)]
        assign(blob.data, arrays[array], f"job {job['name']}: set {key}")


def assign(target, values, where):
    """Copy values into an array without numpy's broadcasting, which would hide a wrong shape."""
    if target.shape != values.shape:
        raise RequestError(f"{where}: expected shape {target.shape}, got {values.shape}")
    target[...] = values


def parameters(net, what, kind, answer):
    """Add all parameters (kind "data") or their gradients ("diff") to the answer, as WHAT/LAYER/k."""
    for layer, blobs in net.params.items():
        for k, blob in enumerate(blobs):
            answer[f"{what}/{layer}/{k}"] = np.array(getattr(blob, kind))


def file_bytes(path):
    """Return a file that Caffe wrote, as uint8 (n,)."""
    return np.fromfile(path, np.uint8)


def forward(caffe, job, arrays):
    """Run a job of kind "forward"."""
    if job.get("seed") is not None:
        caffe.set_random_seed(job["seed"])
    net = caffe.Net(job["net"], getattr(caffe, job.get("phase", "TEST")))
    prepare(net, job, arrays)
    for blob, key in job.get("inputs", {}).items():
        net.blobs[blob].reshape(*arrays[key].shape)
    net.reshape()
    for blob, key in job.get("inputs", {}).items():
        assign(net.blobs[blob].data, arrays[key], f"job {job['name']}: input {blob}")
    for _ in range(job.get("forwards", 1) - 1):
        net.forward()
    name, wanted, answer = job["name"], set(job.get("return", ())), {}
    loss = np.float32(0)
    for i, layer in enumerate(net._layer_names):
        loss += np.float32(net._forward(i, i))
        if "tops" in wanted:
            for k, blob in enumerate(net._top_ids(i)):
                answer[f"{name}/top/{layer}/{k}"] = np.array(net._blobs[blob].data)
    answer[f"{name}/loss"] = np.float32(loss)
    if "blobs" in wanted:
        answer.update((f"{name}/blob/{blob}", np.array(blob_data.data)) for blob, blob_data in net.blobs.items())
    if job.get("backward"):
        net.clear_param_diffs()
        for blob, key in job.get("top_diffs", {}).items():
            assign(net.blobs[blob].diff, arrays[key], f"job {name}: top_diffs {blob}")
        net._backward(len(net.layers) - 1, 0)
        if "diffs" in wanted:
            answer.update((f"{name}/diff/{blob}", np.array(blob_data.diff)) for blob, blob_data in net.blobs.items())
        if "param_diffs" in wanted:
            parameters(net, f"{name}/param_diff", "diff", answer)
    if "params" in wanted:
        parameters(net, f"{name}/param", "data", answer)
    for kind, save in (("caffemodel", net.save), ("hdf5", net.save_hdf5)):
        if kind in wanted:
            with tempfile.TemporaryDirectory() as folder:
                save(os.path.join(folder, "saved"))
                answer[f"{name}/{kind}"] = file_bytes(os.path.join(folder, "saved"))
    return answer


def solve(caffe, job, arrays):
    """Run a job of kind "solve"."""
    solver = caffe.get_solver(job["solver"])
    prepare(solver.net, job, arrays)
    for blob, key in job.get("inputs", {}).items():
        assign(solver.net.blobs[blob].data, arrays[key], f"job {job['name']}: input {blob}")
    if job.get("restore"):
        solver.restore(job["restore"])
    name, answer, losses, seconds = job["name"], {}, [], []
    for step in range(1, job["steps"] + 1):
        start = time.perf_counter()
        solver.step(1)
        seconds.append(time.perf_counter() - start)
        losses.append(np.array(solver.net.blobs[solver.net.outputs[0]].data).reshape(-1)[0])
        if step in job.get("trace", ()):
            parameters(solver.net, f"{name}/at/{step}/param", "data", answer)
            parameters(solver.net, f"{name}/at/{step}/param_diff", "diff", answer)
    answer[f"{name}/losses"] = np.array(losses, np.float32)
    if "cost" in job.get("return", ()):
        answer[f"{name}/seconds"] = np.array(seconds)
        answer[f"{name}/peak_bytes"] = np.array(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    if "blobs" in job.get("return", ()):
        answer.update((f"{name}/blob/{blob}", np.array(blob_data.data)) for blob, blob_data in solver.net.blobs.items())
    if "params" in job.get("return", ()):
        parameters(solver.net, f"{name}/param", "data", answer)
    if "param_diffs" in job.get("return", ()):
        parameters(solver.net, f"{name}/param_diff", "diff", answer)
    returned = "snapshot" in job.get("return", ())
    if returned or job.get("save"):
        before = set(os.listdir("."))
        solver.snapshot()
    if returned:
        for file in sorted(set(os.listdir(".")) - before):
            answer[f"{name}/file/{file}"] = file_bytes(file)
    return answer


def minibatches(caffe, job, _):
    """Run a job of kind "minibatches"."""
    net = caffe.Net(job["net"], caffe.TRAIN)
    labels, digests = [], []
    for _ in range(job["iterations"]):
        net.forward()
        labels.append(np.array(net.blobs["label"].data))
        digests.append(np.frombuffer(hashlib.sha256(net.blobs["data"].data.tobytes()).digest(), np.uint8))
    return {f"{job['name']}/labels": np.array(labels), f"{job['name']}/sha256": np.array(digests)}


def read_pixels(image, arrays, where):
    """Return an image of a request as uint8 (H, W, 3) BGR."""
    if "array" in image:
        return arrays[image["array"]]
    import cv2

    pixels = cv2.imread(image["path"])
    if pixels is None:
        raise RequestError(f"{where}: {image['path']}: expected an image that OpenCV reads, got none")
    return pixels


def score(caffe, job, arrays):
    """Run a job of kind "score"."""
    net = caffe.Net(job["net"], caffe.TEST)
    prepare(net, job, arrays)
    crop, offsets, batch = job["crop"], arrays[job["offsets"]], job.get("batch", 1)
    scores, digests = np.zeros(offsets.shape[:2], np.float32), []
    for i, image in enumerate(job["images"]):
        pixels = read_pixels(image, arrays, f"job {job['name']}: image {i}")
        digests.append(np.frombuffer(hashlib.sha256(np.ascontiguousarray(pixels)).digest(), np.uint8))
        for first in range(0, offsets.shape[1], batch):
            crops = [
                pixels[top : top + crop, left : left + crop].transpose(2, 0, 1)
                for top, left in offsets[i, first : first + batch]
            ]
            net.blobs["data"].reshape(len(crops), 3, crop, crop)
            net.blobs["data"].data[...] = crops
            scores[i, first : first + batch] = net.forward()[job["output"]].reshape(-1)
    return {f"{job['name']}/scores": scores, f"{job['name']}/pixels": np.array(digests)}


def upgrade(_, job, __):
    """Run a job of kind "upgrade"."""
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "upgraded")
        subprocess.run(["upgrade_net_proto_binary", job["file"], target], check=True)
        return {f"{job['name']}/upgraded": file_bytes(target)}


def parse(_, job, __):
    """Run a job of kind "parse"."""
    from caffe.proto import caffe_pb2
    from google.protobuf import json_format, text_format

    message = caffe_pb2.SolverParameter() if job.get("solver") else caffe_pb2.NetParameter()
    with open(job["file"]) as file:
        text_format.Parse(file.read(), message)
    message_fields = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return {f"{job['name']}/digest": np.frombuffer(bytes.fromhex(prototxt.digest(message_fields)), np.uint8)}


KINDS = {
    "forward": forward,
    "solve": solve,
    "minibatches": minibatches,
    "score": score,
    "upgrade": upgrade,
    "parse": parse,
}


def main(argv=None):
    """Run the command line and return the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 2:
        print(f"record.py: expected REQUEST.json ANSWER.npz, got {' '.join(arguments) or 'nothing'}", file=sys.stderr)
        return 2
    request_path, answer_path = arguments[0], os.path.abspath(arguments[1])
    try:
        with open(request_path) as file:
            request = json.load(file)
    except (OSError, ValueError) as error:
        print(f"record.py: {request_path}: expected a request as JSON, got: {error}", file=sys.stderr)
        return 2
    os.chdir(os.path.dirname(os.path.abspath(request_path)))
    answer = {}
    try:
        check(request)
        import caffe  # imported here so that a malformed request is refused without it

        if request.get("device") == "gpu":
            caffe.set_device(0)
            caffe.set_mode_gpu()
        else:
            caffe.set_mode_cpu()
        arrays = np.load(request["arrays"], allow_pickle=False) if request.get("arrays") else {}
        for job in request["jobs"]:
            answer.update(KINDS[job["kind"]](caffe, job, arrays))
    except KeyError as error:
        print(f"record.py: expected an array or blob of this name, got none: {error}", file=sys.stderr)
        return 2
    except (RequestError, OSError, subprocess.CalledProcessError) as error:
        print(f"record.py: {error}", file=sys.stderr)
        return 2
    temporary = f"{answer_path}.{os.getpid()}.tmp"
    with open(temporary, "wb") as file:
        np.savez(file, **answer)
    os.replace(temporary, answer_path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
