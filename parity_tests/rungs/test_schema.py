"""Caffe's schema of model files: `caffemodel` declares exactly Caffe's fields."""

import json

import pytest

from caffemodel.schema import FULL, is_repeated
from lib.tolerances import EXACT

ASK = """
import json
from caffe.proto import caffe_pb2
found = {}
for name, message in caffe_pb2.DESCRIPTOR.message_types_by_name.items():
    found[name] = {f.name: [f.number, f.type, f.label == f.LABEL_REPEATED] for f in message.fields}
open("/work/schema.json", "w").write(json.dumps(found))
"""
# Messages of Caffe's schema that no model file or solver state contains
ELSEWHERE = {"BlobProtoVector", "Datum", "SolverParameter"}
# Fields that only NVIDIA's Caffe has; `caffemodel` reads them, too
NVIDIA = {"raw_data", "raw_data_type", "raw_diff", "raw_diff_type"}


@pytest.fixture(scope="module")
def theirs(caffe, tmp_path_factory):
    """Return {message: {field: [number, type, is it repeated]}} from Caffe's own descriptor."""
    if caffe.name != "live":
        pytest.skip("needs live Caffe")
    folder = tmp_path_factory.mktemp("schema")
    caffe.run(["python3", "-c", ASK], folder)
    return json.loads((folder / "schema.json").read_text())


def ours_of(message):
    """Return {field: [number, type, is it repeated]} of our message."""
    fields = FULL[message].DESCRIPTOR.fields
    return {field.name: [field.number, field.type, is_repeated(field)] for field in fields if field.name not in NVIDIA}


def differences(theirs, ours):
    """Return the names of the fields that differ."""
    return sorted(name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name))


def test_every_field(theirs, parity):
    wrong = {}
    for message, fields in theirs.items():
        if message in ELSEWHERE:
            continue
        assert message in FULL, f"{message} is not declared"
        ours = ours_of(message)
        if names := differences(fields, ours):
            wrong[message] = {name: (fields.get(name), ours.get(name)) for name in names}
    parity.check("bytes", f"Caffe's schema: {sum(map(len, theirs.values()))} fields; {wrong}", len(wrong), EXACT)
    changed = {**ours_of("PoolingParameter"), "stride": [4, 13, False]}
    parity.must_fail("bytes", "wrong: another number", len(differences(theirs["PoolingParameter"], changed)), EXACT)
