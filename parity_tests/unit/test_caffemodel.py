"""caffemodel: every encoding of blobs, layers and solver states, and files that are refused."""

import struct

import h5py
import numpy as np
import pytest

import caffemodel
from caffemodel import CaffemodelError
from caffemodel.schema import FAST
from caffemodel.wire import BlobStore, detach_blobs


def tagged(number, payload):
    """Encode a length-delimited protobuf field without the package's own code."""

    def varint(value):
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    return varint(number << 3 | 2) + varint(len(payload)) + payload


VALUES = np.array([0.5, -1.25, 3e-39, np.float32(0.1), 7, -0.0], "<f4")
SHAPE = tagged(7, tagged(1, bytes([2, 3])))
PACKED = tagged(5, VALUES.tobytes())
UNPACKED = b"".join(b"\x2d" + struct.pack("<f", value) for value in VALUES)
HALVES = tagged(5, VALUES[:2].tobytes()) + tagged(5, VALUES[2:].tobytes())
MIXED = tagged(5, VALUES[:2].tobytes()) + UNPACKED[10:]
DOUBLES = tagged(8, VALUES.astype("<f8").tobytes())
UNPACKED_DOUBLES = b"".join(b"\x41" + struct.pack("<d", value) for value in VALUES)


def v2(blob, name=b"conv"):
    return tagged(1, b"net") + tagged(100, tagged(1, name) + tagged(2, b"Odd") + tagged(7, blob))


def saved(path, content):
    path.write_bytes(content)
    return path


def read(tmp_path, content):
    return caffemodel.read(saved(tmp_path / "m.caffemodel", content))


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [(PACKED, "float32"), (UNPACKED, "float32"), (HALVES, "float32"), (MIXED, "float32"),
     (DOUBLES, "float64"), (UNPACKED_DOUBLES, "float64"), (PACKED + DOUBLES, "float64")],
    ids=["packed", "unpacked", "two chunks", "packed and unpacked", "doubles", "unpacked doubles", "both"],
)  # fmt: skip
def test_every_encoding_of_numbers(tmp_path, numbers, dtype):
    net = read(tmp_path, v2(numbers + SHAPE))
    (blob,) = net.layers[0].blobs
    assert (blob.shape, blob.dtype, blob.legacy) == ((2, 3), dtype, False)
    assert blob.data.dtype == dtype
    assert blob.float32().tobytes() == VALUES.tobytes()
    caffemodel.write(net, tmp_path / "again.caffemodel")
    again = caffemodel.read(tmp_path / "again.caffemodel").layers[0].blobs[0]
    assert (again.shape, again.dtype, again.data.tobytes()) == (blob.shape, dtype, blob.data.tobytes())


def test_packed_comes_back_byte_for_byte_with_unknown_fields(tmp_path):
    """Unknown fields come last, where Caffe's protobuf writes them too, so rewriting keeps the order."""
    layer = tagged(1, b"bn") + tagged(2, b"BN") + tagged(7, PACKED + tagged(6, b"") + SHAPE + tagged(20, b"raw"))
    content = tagged(1, b"fork") + tagged(100, layer + tagged(106, b"\x08\x05") + tagged(900, b"secret"))
    content += tagged(200, b"\x01\x02")
    net = read(tmp_path, content)
    assert net.unknown == ["net field 200", "layer bn field 900", "layer bn blob 0 field 20"]
    caffemodel.write(net, tmp_path / "again.caffemodel")
    assert (tmp_path / "again.caffemodel").read_bytes() == content


def test_the_mapped_file_may_be_replaced(tmp_path):
    path = saved(tmp_path / "m.caffemodel", v2(PACKED + SHAPE))
    net = caffemodel.read(path)
    net.layers[0].blobs[0].assign(np.ones((2, 3)))
    caffemodel.write(net, path)
    assert (caffemodel.read(path).layers[0].blobs[0].data == 1).all()
    assert list(tmp_path.iterdir()) == [path]


def test_data_is_a_copy_of_its_own(tmp_path):
    blob = read(tmp_path, v2(PACKED + SHAPE)).layers[0].blobs[0]
    values = blob.data
    values[:] = 5
    assert blob.data.tobytes() == VALUES.tobytes()
    with pytest.raises(CaffemodelError, match="expected 6 values"):
        blob.assign(np.zeros(5))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 1, 1, 1, 3)])
def test_any_shape(tmp_path, shape):
    caffemodel.write(caffemodel.from_arrays("n", [("a", "T", [np.ones(shape, "f4")])]), tmp_path / "m.caffemodel")
    (blob,) = caffemodel.read(tmp_path / "m.caffemodel").layers[0].blobs
    assert (blob.shape, blob.data.shape, blob.dtype) == (shape, shape, "float32")


def test_legacy_shapes_fit_as_caffe_compares_them(tmp_path):
    four = b"".join(bytes([n << 3, size]) for n, size in ((3, 2), (4, 3)))
    numbers = tagged(5, VALUES.tobytes())
    net = read(tmp_path, v2(b"\x08\x01\x10\x01" + four + numbers))
    (blob,) = net.layers[0].blobs
    assert (blob.shape, blob.legacy) == ((1, 1, 2, 3), True)
    assert blob.fits((2, 3)) and blob.fits((1, 2, 3)) and blob.fits((1, 1, 2, 3))
    assert not blob.fits((3, 2)) and not blob.fits((6,)) and not blob.fits((1, 1, 1, 2, 3))
    new = read(tmp_path, v2(numbers + SHAPE)).layers[0].blobs[0]
    assert new.fits((2, 3)) and not new.fits((1, 1, 2, 3))


def test_v1_and_v0_types_names_and_blobs(tmp_path):
    blob = b"\x08\x01\x10\x01\x18\x02\x20\x03" + PACKED
    v1 = tagged(2, tagged(2, b"in") + tagged(3, b"out") + tagged(4, b"fc") + b"\x28\x0e" + tagged(6, blob))
    odd = tagged(2, tagged(4, b"new") + b"\x28\x63")
    net = read(tmp_path, tagged(1, b"old") + v1 + odd)
    assert (net.version, [(layer.name, layer.type) for layer in net.layers]) == (
        "V1",
        [("fc", "InnerProduct"), ("new", "99")],
    )
    assert (net.layers[0].bottoms, net.layers[0].tops) == (["in"], ["out"])
    assert net.unknown == ["layer new type 99"]
    with pytest.raises(CaffemodelError, match="layer new: expected a layer type of V1, got 99"):
        caffemodel.upgrade(net)
    nested = tagged(1, tagged(1, b"fc") + tagged(2, b"innerproduct") + tagged(50, blob))
    net = read(tmp_path, tagged(2, tagged(2, b"in") + nested))
    assert (net.version, net.layers[0].name, net.layers[0].type) == ("V0", "fc", "InnerProduct")
    assert net.layers[0].blobs[0].data.tobytes() == VALUES.tobytes()


def test_both_versions_at_once_are_refused(tmp_path):
    with pytest.raises(CaffemodelError, match="both `layer`"):
        read(tmp_path, v2(PACKED + SHAPE) + tagged(2, tagged(4, b"fc")))


def test_names_that_are_not_utf8(tmp_path):
    content = v2(PACKED + SHAPE, name=b"\xb2\xe3")
    net = read(tmp_path, content)
    assert net.layers[0].name == "\\xb2\\xe3"
    caffemodel.write(net, tmp_path / "again.caffemodel")
    assert (tmp_path / "again.caffemodel").read_bytes() == content


def test_doubles_are_rounded_as_caffe_casts(tmp_path):
    values = np.array([0.1, 1e300, 1e-46])
    caffemodel.write(caffemodel.from_arrays("n", [("a", "T", [values])]), tmp_path / "m.caffemodel")
    blob = caffemodel.read(tmp_path / "m.caffemodel").layers[0].blobs[0]
    assert blob.float32().tolist() == [np.float32(0.1), np.inf, 0.0]
    assert blob.summary()[1] is False
    assert blob.data.tolist() == values.tolist()


def test_a_blob_longer_than_a_chunk_hashes_whole(tmp_path):
    import hashlib

    values = np.random.default_rng(0).standard_normal(700_001, np.float32)
    caffemodel.write(caffemodel.from_arrays("n", [("abc", "T", [values])]), tmp_path / "m.caffemodel")
    blob = caffemodel.read(tmp_path / "m.caffemodel").layers[0].blobs[0]
    assert blob.sha256() == hashlib.sha256(values.tobytes()).hexdigest()
    assert b"".join(chunk.tobytes() for chunk in blob.chunks()) == values.tobytes()


def test_protobuf_never_sees_the_numbers(tmp_path):
    values = np.zeros(1_000_000, np.float32)
    caffemodel.write(caffemodel.from_arrays("n", [("a", "T", [values])]), tmp_path / "m.caffemodel")
    store = BlobStore()
    assert len(detach_blobs(memoryview((tmp_path / "m.caffemodel").read_bytes()), "NetParameter", store)) < 100


def test_wrong_counts_and_cut_files(tmp_path):
    content = v2(PACKED + SHAPE)
    with pytest.raises(CaffemodelError, match=r"conv blob 0: expected 6 values for shape \(2, 3\), got 5"):
        read(tmp_path, v2(tagged(5, VALUES[:5].tobytes()) + SHAPE))
    with pytest.raises(CaffemodelError, match=r"expected 6 values .* got 0 .*does not know: field 20"):
        read(tmp_path, v2(SHAPE + tagged(20, b"half precision")))
    for size in range(1, len(content)):
        with pytest.raises(CaffemodelError):
            read(tmp_path, content[:size])


def test_solverstate_of_every_encoding(tmp_path):
    blobs = b"".join(tagged(3, numbers + SHAPE) for numbers in (PACKED, UNPACKED, HALVES, DOUBLES))
    path = saved(tmp_path / "s.solverstate", b"\x08\x90\x4e" + tagged(2, b"snap.caffemodel") + blobs + b"\x20\x02")
    state = caffemodel.read_solverstate(path)
    assert (state.iter, state.learned_net, state.current_step) == (10000, "snap.caffemodel", 2)
    assert [blob.float32().tobytes() for blob in state.history] == [VALUES.tobytes()] * 4
    for name in ("again.solverstate", "again.solverstate.h5"):
        caffemodel.write_solverstate(state, tmp_path / name)
        again = caffemodel.read_solverstate(tmp_path / name)
        assert (again.iter, again.learned_net, again.current_step) == (10000, "snap.caffemodel", 2)
        assert [(b.shape, b.dtype, b.data.tobytes()) for b in again.history] == [
            (b.shape, b.dtype, b.data.tobytes()) for b in state.history
        ]
    for size in (1, 5, 30, 61):
        with pytest.raises(CaffemodelError, match="solver state"):
            caffemodel.read_solverstate(saved(tmp_path / "cut", path.read_bytes()[:-size]))
    with pytest.raises(CaffemodelError, match=r"expected a caffemodel, got a solver state"):
        caffemodel.read(path)
    with pytest.raises(CaffemodelError, match="expected a solver state"):
        caffemodel.read_solverstate(saved(tmp_path / "m", v2(PACKED + SHAPE)))


def test_hdf5_of_an_old_file_has_the_shapes_that_caffe_wants(tmp_path):
    message = FAST["NetParameter"](name="old")
    for name, kind, *shapes in (
        ("c", 4, (2, 3, 1, 1), (1, 1, 1, 2)), ("f", 14, (1, 1, 2, 3), (1, 1, 1, 2)),
        ("odd", 14, (2, 3, 1, 1), (2, 1, 1, 1))
    ):  # fmt: skip
        layer = message.layers.add(name=name, type=kind)
        for shape in shapes:
            blob = layer.blobs.add(data=np.ones(shape, "<f4").tobytes())
            blob.num, blob.channels, blob.height, blob.width = shape
    caffemodel.write(read(tmp_path, message.SerializeToString()), tmp_path / "m.h5")
    shapes = [blob.shape for layer in caffemodel.read(tmp_path / "m.h5").layers for blob in layer.blobs]
    assert shapes == [(2, 3, 1, 1), (2,), (2, 3), (2,), (2, 3, 1, 1), (2, 1, 1, 1)]


def test_hdf5_that_is_not_caffes(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(CaffemodelError, match=r"expected a group /data .* got \['weights'\]"):
        caffemodel.read(tmp_path / "m.h5")
    with pytest.raises(CaffemodelError, match="without iter, learned_net, current_step, history"):
        caffemodel.read_solverstate(tmp_path / "m.h5")
    with h5py.File(tmp_path / "shared.h5", "w") as file:
        file["data/a/1"] = np.zeros(3, "f4")
    with pytest.raises(CaffemodelError, match="/data/a: expected all blobs or none, got number 1"):
        caffemodel.read(tmp_path / "shared.h5")
    for layers in ([("a/b", "T", [])], [("a", "T", []), ("a", "T", [])]):
        with pytest.raises(CaffemodelError, match="distinct layer names"):
            caffemodel.write(caffemodel.from_arrays("n", layers), tmp_path / "new.h5")
    assert not (tmp_path / "new.h5").exists()


@pytest.mark.parametrize(
    "change",
    [lambda net: setattr(net.layers[0], "name", "new"), lambda net: setattr(net.layers[0], "type", "New"),
     lambda net: net.layers[0].tops.append("new"), lambda net: net.layers.pop(),
     lambda net: setattr(net, "name", "new"),
     lambda net: net.layers.append(caffemodel.Layer("new", "T")),
     lambda net: net.layers[0].blobs.__setitem__(0, caffemodel.array_blob(np.zeros((2, 3), "f4")))],
)  # fmt: skip
def test_a_change_that_would_not_be_written_is_refused(tmp_path, change):
    """The message is what is written, so that unknown fields stay; what changed beside it was lost without a word."""
    net, out = read(tmp_path, v2(PACKED + SHAPE)), tmp_path / "new.caffemodel"
    change(net)
    with pytest.raises(CaffemodelError, match="expected the layers as they were read, got changes in"):
        caffemodel.write(net, out)
    assert not out.exists()
    net = caffemodel.from_arrays("n", [("a", "T", [VALUES])])
    net.message.layer[0].name = "b"
    net.layers[0].blobs[0].assign(2 * VALUES)
    caffemodel.write(net, out)
    (layer,) = caffemodel.read(out).layers
    assert (layer.name, layer.blobs[0].data.tobytes()) == ("b", (2 * VALUES).tobytes())
