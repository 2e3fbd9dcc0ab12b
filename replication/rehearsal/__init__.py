"""A profile's stages at real size, two updates and a few images; and what the whole will cost."""
