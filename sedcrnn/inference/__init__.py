"""Media file of any kind and length -> the scene of every second, from a checkpoint or an ONNX file."""
