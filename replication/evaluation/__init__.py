"""How good label maps are: confusion matrices, mean IOU, and the stage that evaluates a run."""
