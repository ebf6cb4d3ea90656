"""Where examples come from and how batches are made of them."""
