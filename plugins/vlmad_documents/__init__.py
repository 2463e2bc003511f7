"""What vlmad writes for others to read: the base of all documents, the file of learned tensors."""
