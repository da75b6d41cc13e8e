"""Training: config -> data, network, LightningModule -> a run folder."""
