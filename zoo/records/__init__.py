"""What lies in a run directory and in zoo/weights; needs no TensorFlow."""
