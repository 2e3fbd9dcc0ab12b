"""The embedded sample: rendered scenes, packed in the layouts of the official archives."""

from replication.data.sample.scenes import classes, render_scene

__all__ = ["classes", "render_scene"]
