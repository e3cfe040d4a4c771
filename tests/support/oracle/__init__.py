"""Asking a real Caffe, and random nets to ask it about."""
