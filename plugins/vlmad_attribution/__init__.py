"""What a scorer can say of its scores, in numbers that rebuild them."""
