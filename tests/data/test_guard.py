"""The guard between training and evaluation, and what a list of ids hashes to."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.data.guard import refuse_overlap, shared_content
from replication.errors import ReplicationError

names = st.text("abc", min_size=1, max_size=2)


@given(st.sets(names), st.sets(names))
def test_refuses_exactly_when_ids_are_shared(train: set[str], evaluation: set[str]) -> None:
    if train & evaluation:
        with pytest.raises(ReplicationError, match=f"holds {len(train & evaluation)} of"):
            refuse_overlap(train, evaluation, train_name="t", eval_name="e")
    else:
        refuse_overlap(train, evaluation, train_name="t", eval_name="e")


def test_names_splits_number_and_the_first_ids() -> None:
    with pytest.raises(ReplicationError) as caught:
        refuse_overlap(list("zdcbaq"), "abcdx", train_name="mine", eval_name="val")
    message = str(caught.value)
    assert "`mine` holds 4 of the images that `val` is scored on (a, b, c, ...)" in message
    assert "\n" not in message


@given(
    st.dictionaries(names, st.sampled_from("123")), st.dictionaries(names, st.sampled_from("123"))
)
def test_shared_content_equals_brute_force(one: dict[str, str], two: dict[str, str]) -> None:
    def digest(value: str) -> str:
        return hashlib.sha256(value.encode()).hexdigest()

    expected = sorted([a, b] for a in one for b in two if one[a] == two[b])
    hashed = [{key: digest(value) for key, value in side.items()} for side in (one, two)]
    assert shared_content(*hashed) == expected
