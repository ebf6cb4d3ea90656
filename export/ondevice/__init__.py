"""The TFLite file that keeps learning on a device."""
