"""The rendered scenes: the same every time, labelled as VOC labels, and rich enough."""

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache

import numpy as np
import PIL
import pytest
from scipy import ndimage

from replication.data.palette import VOC_CLASSES
from replication.data.sample import classes, render_scene
from replication.data.sample.materials import MATERIALS, Material
from replication.data.sample.scenes import KINDS, LARGEST, SIZE, SMALLEST, VOID, Scene, render
from replication.data.sample.shapes import OUTLINES, Placement, Polygon, Role, Stroke, paint
from replication.errors import ReplicationError

SETS = ("sample", "pretraining")
SEVERAL = 40

# Of scenes 0..7, image and label. A shipped backbone and the archives' checksums rest on them: a
# change here means that both must be made again.
RECORDED = {
    "sample": "a61e3038fec3fea31fc3592df9b0a22c448f44f331fc17a3bc4e53d14d4be6bc",
    "pretraining": "cdae95e5904d7524dab15474b945df20f543c5ccc36023d2d5b01151377c387a",
}
RECORDED_WITH = ("x86_64", "2.4", "13.0")  # machine, numpy, Pillow


@cache
def scenes(set_name: str) -> tuple[Scene, ...]:
    return tuple(render(set_name, index) for index in range(SEVERAL))


def fingerprint(set_name: str, indices: range = range(8)) -> str:
    digest = hashlib.sha256()
    for index in indices:
        for array in render_scene(set_name, index):
            digest.update(array.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("set_name", SETS)
def test_another_process_with_other_vector_instructions_renders_the_same_bytes(
    set_name: str,
) -> None:
    from numpy._core._multiarray_umath import (  # type: ignore[import-not-found, unused-ignore]
        __cpu_dispatch__,
    )

    code = (
        "import hashlib; from replication.data.sample import render_scene\n"
        "digest = hashlib.sha256()\n"
        "for index in reversed(range(3)):\n"
        f"    for array in render_scene({set_name!r}, index): digest.update(array.tobytes())\n"
        "print(digest.hexdigest())"
    )
    env = os.environ | {
        "NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__),
        "OMP_NUM_THREADS": "3",
        "PYTHONHASHSEED": "7",
    }
    there = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout.strip()
    here = hashlib.sha256()
    for index in (2, 1, 0):  # no scene depends on one rendered before it
        for array in render_scene(set_name, index):
            here.update(array.tobytes())
    assert there == here.hexdigest()


@pytest.mark.parametrize("set_name", SETS)
def test_scenes_are_those_that_the_backbone_and_the_archives_were_made_with(set_name: str) -> None:
    here = (
        platform.machine(),
        ".".join(np.__version__.split(".")[:2]),
        ".".join(PIL.__version__.split(".")[:2]),
    )
    if here != RECORDED_WITH:
        pytest.skip(f"recorded with {RECORDED_WITH}, this is {here}")
    assert fingerprint(set_name) == RECORDED[set_name]


@pytest.mark.parametrize("set_name", SETS)
def test_images_and_labels_have_the_promised_shape_type_and_values(set_name: str) -> None:
    for scene in scenes(set_name):
        assert scene.image.shape == (SIZE[1], SIZE[0], 3)
        assert scene.image.dtype == scene.label.dtype == scene.classes.dtype == np.uint8
        assert scene.label.shape == scene.classes.shape == (SIZE[1], SIZE[0])
        known = len(classes(set_name))
        assert set(np.unique(scene.label)) <= {*range(known), VOID}
        assert scene.classes.max() < known
        assert set(np.unique(scene.classes)) <= {0, *scene.kinds}


def test_another_size_holds_the_same_classes_with_radii_to_scale() -> None:
    small, large = render("sample", 3, size=(97, 73)), render("sample", 3)
    assert small.image.shape == (73, 97, 3)
    assert small.kinds == large.kinds
    assert SMALLEST * 97 / 193 <= min(small.radii) <= max(small.radii) <= LARGEST * 97 / 193


@pytest.mark.parametrize("set_name", SETS)
def test_void_is_a_contour_and_nothing_else(set_name: str) -> None:
    square = np.ones((3, 3), dtype=bool)
    for scene in scenes(set_name):
        void = scene.label == VOID
        np.testing.assert_array_equal(scene.label[~void], scene.classes[~void])
        np.testing.assert_array_equal(scene.objects == VOID, void)
        # Brute force: a pixel is void if some neighbour belongs to another object. Objects are
        # told apart by what `objects` says off the contour, so void has no 3 x 3 interior ...
        edge = np.zeros_like(void)
        for object_class in np.unique(scene.classes):
            inside = scene.classes == object_class
            edge |= ndimage.binary_dilation(inside, square) & ~inside
            edge |= ndimage.binary_dilation(~inside, square) & inside
        assert (void[edge]).all()  # ... and holds every pixel where two classes meet
        for x in np.unique(scene.objects[~void]):
            near = ndimage.binary_dilation(scene.objects == x, square)
            assert set(np.unique(scene.objects[near])) <= {x, VOID}
    share = np.mean([(scene.label == VOID).mean() for scene in scenes(set_name)])
    assert 0.04 < share < 0.12


def test_objects_differ_in_scale_by_five_and_more_and_all_classes_occur() -> None:
    for set_name in SETS:
        radii = [radius for scene in scenes(set_name) for radius in scene.radii]
        assert max(radii) / min(radii) >= 5
        assert SMALLEST - 0.01 <= min(radii) <= max(radii) <= LARGEST + 0.01
        assert {kind for scene in scenes(set_name) for kind in scene.kinds} >= {*range(1, 21)}
        assert all(2 <= len(scene.kinds) <= 5 for scene in scenes(set_name))
        background = np.mean([(scene.classes == 0).mean() for scene in scenes(set_name)])
        assert 0.6 < background < 0.85


def test_objects_stand_out_from_their_ground_by_colour() -> None:
    """Saturation tells most object pixels from background: what the CRF's colour kernel needs."""
    inside, outside = [], []
    for scene in scenes("sample"):
        high, low = scene.image.max(-1).astype(float), scene.image.min(-1).astype(float)
        saturation = (high - low) / np.maximum(high, 1)
        inside.append(saturation[(scene.label > 0) & (scene.label != VOID)])
        outside.append(saturation[scene.label == 0])
    assert np.percentile(np.concatenate(inside), 20) > np.percentile(np.concatenate(outside), 90)


def test_pretraining_holds_the_samples_classes_among_others_in_scenes_of_its_own() -> None:
    assert classes("sample") == VOC_CLASSES
    assert len(set(classes("pretraining"))) == 41
    assert KINDS["pretraining"][:20] == KINDS["sample"]
    assert not set(KINDS["pretraining"][20:]) & set(KINDS["sample"])
    seen = {scene.image.tobytes() for scene in scenes("sample")}
    assert not any(scene.image.tobytes() in seen for scene in scenes("pretraining"))
    assert set(classes("sample")) & set(classes("pretraining")) == {"background"}
    assert not set(OUTLINES["sample"]) & set(OUTLINES["pretraining"])
    textures = [{m.texture for m in MATERIALS[set_name]} for set_name in SETS]
    assert not textures[0] & textures[1]
    hues = [[m.first[0] for m in MATERIALS[set_name]] for set_name in SETS]
    apart = [min(abs(a - b), 1 - abs(a - b)) for a in hues[0] for b in hues[1]]
    assert min(apart) > 0.05  # further than one object's colour is moved, 0.0175 each way


@pytest.mark.parametrize("material", [m for s in SETS for m in MATERIALS[s]], ids=lambda m: m.name)
def test_textures_show_both_colours_and_stay_between_them(material: Material) -> None:
    v, u = np.mgrid[0:80, 0:80].astype(np.float32)
    mix = material.texture(u, v, np.random.default_rng(1))
    assert mix.shape == (80, 80)
    assert mix.dtype == np.float32
    assert mix.min() >= 0
    assert mix.max() <= 1
    assert np.std(mix) > 0.15


def test_paint_covers_what_geometry_says() -> None:
    square = Polygon(Role.BODY, ((-1, -1), (1, -1), (1, 1), (-1, 1)))
    hole = Stroke(Role.HOLE, ((0, 0),), 0.5, 0.5)
    mark = Stroke(Role.MARK, ((-0.5, -0.75), (0.5, -0.75)), 0.1, 0.1)
    whole, marks = paint([square, hole, mark], Placement((32.0, 32.0), 20.0), (0, 0, 64, 64))
    assert whole.sum() / 255 == pytest.approx(40 * 40 - np.pi * 10**2, rel=0.03)
    assert marks.sum() / 255 == pytest.approx(20 * 4 + np.pi * 2**2, rel=0.12)
    assert whole[32, 32] == 0
    assert (whole[marks == 255] == 255).all()


def test_placement_turns_mirrors_and_stretches() -> None:
    place = Placement((10.0, 20.0), 2.0, turn=np.pi / 2, mirror=True, stretch=1.25)
    # (1, 0) -> mirrored and stretched (-1.25, 0) -> turned a quarter (0, -1.25) -> doubled, moved
    assert place.apply((1.0, 0.0)) == pytest.approx((10.0, 17.5))


def test_an_unknown_set_or_a_negative_index_is_refused() -> None:
    with pytest.raises(ReplicationError, match="`imagenet` is unknown; choose one of sample"):
        render_scene("imagenet", 0)
    with pytest.raises(ReplicationError, match="`imagenet` is unknown"):
        classes("imagenet")
    with pytest.raises(ReplicationError, match="-1 is negative"):
        render_scene("sample", -1)
