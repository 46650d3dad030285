"""What exported files cost, and how near they are to their model."""
