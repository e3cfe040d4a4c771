"""Programs as they were written for pycaffe, written anew; tests run them in dreamopt and in real Caffe."""
