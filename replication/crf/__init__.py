"""The fully connected CRF: parameters, engines and the stage that refines score maps."""
