"""Few rows times a large weight: what a decode step spends on the model."""
