"""What is run by hand, because it takes minutes and looks at the clock."""
