"""What a run will do, decided from metadata alone and written down."""
