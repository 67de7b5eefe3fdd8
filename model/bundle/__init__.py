"""The bundle: a folder of ONNX graphs and a manifest, the only thing that passes from training to service."""
