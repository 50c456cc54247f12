"""What a recipe needs of machines one does not have: memory, operations, bytes, time, money."""
