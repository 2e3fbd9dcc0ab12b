"""The web report: results, tables, claims and figures of one profile as a folder of HTML pages.

A page asks for nothing beyond its folder, which can be zipped and opened from disk. What it says is
all in the HTML; its script only adds choosing, hovering and sliding.
"""
