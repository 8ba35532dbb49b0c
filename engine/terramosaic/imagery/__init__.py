"""From scenes to the stack that the model sees: reading, harmonising, compositing."""
