"""How good label maps are: mean IOU, the trimap, the bootstrap; a run's stage and anyone's folder."""
