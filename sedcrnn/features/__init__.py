"""Sound and picture of a clip -> the arrays that networks take, and the store that keeps them."""
