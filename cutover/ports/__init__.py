"""What the engine needs of the world, in the words of the domain."""
