"""Training, from the first step or a checkpoint to a finished run folder."""
