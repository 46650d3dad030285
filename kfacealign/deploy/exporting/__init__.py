"""What writes SavedModels, TFLite files and ONNX files."""
