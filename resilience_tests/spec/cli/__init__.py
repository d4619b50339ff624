"""What the commands say and answer, and what bad input gets."""
