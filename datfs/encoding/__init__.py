"""Byte encodings that the Dat formats share: varints, protobuf fields, run lengths, dat URLs."""
