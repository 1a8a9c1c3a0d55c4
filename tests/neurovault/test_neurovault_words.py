"""Words and weights, as nilearn makes them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.datasets.neurovault import neurosynth_words_vectorized

from neurofetch import errors as _errors
from neurofetch.neurovault.fetch.neurosynth import vectorize, word_weights
from testbed.neurovault import word_weights as served_weights

weights = st.dictionaries(
    st.text("abc xé", min_size=1, max_size=4), st.floats(-1, 1, allow_nan=False), max_size=5
)


def _theirs(folder, answers):
    files = []
    for place, response in enumerate(answers):
        files.append(folder / f"words_{place}.json")
        files[-1].write_text(response)
    return neurosynth_words_vectorized(files, verbose=0)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(weights, min_size=1, max_size=5).filter(any))
def test_the_matrix_is_nilearns(tmp_path_factory, many):
    answers = [json.dumps({"data": {"values": values}}) for values in many]
    frequencies, vocabulary = _theirs(tmp_path_factory.mktemp("words"), answers)
    mine, words = vectorize([word_weights(response) for response in answers])
    assert words.tolist() == vocabulary.tolist()
    assert words.dtype.kind == vocabulary.dtype.kind
    assert mine.dtype == frequencies.dtype
    assert np.array_equal(mine, frequencies)


def test_images_without_words_are_rows_of_zeros(tmp_path):
    good = json.dumps({"data": {"values": served_weights(5)}})
    frequencies, vocabulary = _theirs(tmp_path, [good, '{"data": {"values": {}}}', good])
    mine, words = vectorize([word_weights(good), None, word_weights(good)])
    assert np.array_equal(mine, frequencies)
    assert words.tolist() == vocabulary.tolist()
    assert not mine[1].any()
    assert mine[0].any()


def test_no_words_at_all_is_none_as_in_nilearn(tmp_path):
    with pytest.warns(UserWarning, match="No word weight"):
        assert _theirs(tmp_path, ['{"data": {"values": {}}}']) == (None, None)
    assert vectorize([{}, None]) == (None, None)
    assert vectorize([]) == (None, None)


def test_unknown_weights_are_left_out():
    assert word_weights(b'{"data": {"values": {"a": null, "b": 2}}}') == {"b": 2.0}


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"<html>502</html>",
        b"[]",
        b"{}",
        b'{"data": {"values": [1]}}',
        b'{"data": null}',
        b"\xff",
        b'{"data": {"values": {"a": "b"}}}',
    ],
)
def test_other_answers_are_refused(response):
    with pytest.raises(_errors.ProtocolError, match="no word weights"):
        word_weights(response)
