"""What a rank records about its own steps."""
