"""The guard between training and evaluation: no image may stand on both sides.

A score on images that the network has trained on is the second commonest way to a wrong number
(train_aug taken from somewhere, with val inside), so it is refused rather than warned of.
"""

from collections.abc import Iterable, Mapping

from replication.errors import ReplicationError

_NAMED = 3


def refuse_overlap(
    train_ids: Iterable[str], eval_ids: Iterable[str], *, train_name: str, eval_name: str
) -> None:
    """Refuse to train on ids that the evaluation split holds.

    Args:
        train_ids: ids to train on.
        eval_ids: ids to be scored.
        train_name: the training split as the error names it (a name or a file).
        eval_name: the evaluation split likewise.

    Raises:
        ReplicationError: says how many ids the two share and names the first few.
    """
    both = sorted(set(train_ids) & set(eval_ids))
    if both:
        named = ", ".join(both[:_NAMED]) + (", ..." if len(both) > _NAMED else "")
        raise ReplicationError(
            f"`{train_name}` holds {len(both)} of the images that `{eval_name}` is scored on"
            f" ({named}); remove them from `{train_name}`, or evaluate on another split"
        )


def shared_content(train: Mapping[str, str], evaluation: Mapping[str, str]) -> list[list[str]]:
    """Find the same image under two ids: pairs [training id, evaluation id], sorted.

    Args:
        train: id to the hash of its image file's bytes.
        evaluation: likewise.

    Only identical bytes are seen; an image saved again is not.
    """
    by_hash: dict[str, list[str]] = {}
    for name, digest in train.items():
        by_hash.setdefault(digest, []).append(name)
    return sorted(
        [one, other] for other, digest in evaluation.items() for one in by_hash.get(digest, [])
    )
