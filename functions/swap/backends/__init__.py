"""What may run the swapper, each behind one interface: the stack's own engine, our worker on a GPU, and Replicate."""
