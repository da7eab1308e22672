"""TensorRT as three of its generations name things, with a GPU that is ONNX Runtime.

`v8_5`, `v10_3` and `v11_4` each make a module that has the names of that version, no others. What a
version refuses is what it was seen or is documented to refuse (docs/tensorrt.md).
"""
