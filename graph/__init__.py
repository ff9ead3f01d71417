"""What the code and its history are: the private mirror, the commits, the symbols and the edges between them."""
