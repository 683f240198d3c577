"""Caffe model files."""
