"""Fixtures of the tests that ask Octave."""

import os

import pytest

import octave_client
from octave import answers


@pytest.fixture(scope="session")
def live_octave(request, tmp_path_factory):
    """Return answers.Live with the original's verified files; skip the test without the files or without Octave."""
    import get_upstream

    place = os.environ.get("RANKIQA_UPSTREAM")
    if not place:
        pytest.skip("the original's files are not here: RANKIQA_UPSTREAM=PATH names a checkout, mirror or archive")
    try:
        where = octave_client.find()
    except octave_client.OctaveError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("octave") / "RankIQA"
    get_upstream.get(folder, place)
    return answers.Live(octave_client.Octave(folder, where), keep=request.config.getoption("--record"))


@pytest.fixture(scope="module", params=[pytest.param("live", marks=pytest.mark.upstream), "recorded"])
def either_octave(request):
    """Return answers.Live in one run of each test and answers.Recorded in the other."""
    return request.getfixturevalue("live_octave") if request.param == "live" else answers.Recorded()


@pytest.fixture
def reference_name(request):
    """Return the reference's name for the report; test files of Octave import this to override Caffe's."""
    recorded = "either_octave" in request.fixturenames and request.getfixturevalue("either_octave")
    return recorded.name if recorded else answers.Live.name
