"""The figures and their captions, ``figures/<profile>/captions.json``, copied beside the page."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from replication.atomic import naming

_log = logging.getLogger(__name__)


class Caption(BaseModel):
    """One figure as the stage ``figures`` describes it; ``name`` is its file without suffix."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    title: str
    caption: str
    alt: str
    runs: list[str] = []
    files: list[str] = []


class Figure(BaseModel):
    """A figure of the page: its caption, its file and size in pixels, and the one for print."""

    model_config = ConfigDict(frozen=True)

    caption: Caption
    src: str
    width: int
    height: int
    print_file: str


def copy_figures(figures_dir: Path, out: Path, *, named: str) -> list[Figure]:
    """Copy every figure that has a caption into ``out/figures/``, in the captions' order.

    Pixels stay as they are; lossless WebP takes half of PNG's bytes. Figures without a file are
    left out (in a clone, those that show photographs of one's own), and all are where there are no
    captions: a line in the log says so.

    Args:
        figures_dir: ``figures/<profile>``.
        out: the page's folder.
        named: what to call ``figures_dir`` on the page.
    """
    path = figures_dir / "captions.json"
    try:
        captions = TypeAdapter(list[Caption]).validate_python(
            json.loads(path.read_text(encoding="utf-8"))
        )
    except FileNotFoundError:
        _log.warning("%s does not exist: the report shows no figures", path)
        return []
    except (OSError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        _log.warning("%s is no list of captions (%s): the report shows no figures", path, first)
        return []
    missing = [c.name for c in captions if not (figures_dir / f"{c.name}.png").is_file()]
    if missing:
        names = ", ".join(missing)
        _log.warning("%s has no picture of %s: the report goes without", figures_dir, names)
        captions = [caption for caption in captions if caption.name not in missing]
    (out / "figures").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:  # Pillow encodes outside Python's lock
        figures = pool.map(lambda caption: _copy(caption, figures_dir, out, named), captions)
        return [figure for figure in figures if figure is not None]


def _copy(caption: Caption, figures_dir: Path, out: Path, named: str) -> Figure | None:
    """Copy one figure; None, and a line in the log, where its file can't be read."""
    picture, src = figures_dir / f"{caption.name}.png", f"figures/{caption.name}.webp"
    try:
        with Image.open(picture) as image:
            pixels = image.convert("RGB")
    except OSError as error:
        _log.warning("%s can't be read (%s): the report goes without it", picture, error)
        return None
    with naming(out / src):
        pixels.save(out / src, lossless=True)
    width, height = pixels.size
    return Figure(
        caption=caption,
        src=src,
        width=width,
        height=height,
        print_file=f"{named}/{caption.name}.pdf",
    )
