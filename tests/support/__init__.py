"""What tests share: nets, image spaces, toy backends, real Caffe, published loops."""
