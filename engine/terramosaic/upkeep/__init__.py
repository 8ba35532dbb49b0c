"""An output folder as its owner keeps it: what runs there are, and what of them may go."""
