"""How good label maps are: mean IOU, trimap, bootstrap; for a run's stage and anyone's folder."""
